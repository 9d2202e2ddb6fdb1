"""Which cells of the context actors do not see: drawn for each clip by itself, so that it depends on no batch."""

import hashlib
import random
from typing import Literal, get_args

import torch
from torch import Tensor

from models.actor_head import ActorHead

Masks = Literal["seeded", "random", "average", "none", "upstream"]


class MaskDraws:
    """Draw what a head needs to make its masks, as keyword arguments of a detector.

    The published code draws masks in evaluation too, from one stream of numbers: results depend on the seed, on the
    order of samples and on the number of processes, by as much as a third of the spread of logits.

    Args:
        head: The head; nothing is drawn for one without masks.
        masks: In evaluation: ``seeded``, one draw for each video, second and view, always the same; ``average``, the
            mean logits of several such draws; ``none``, no chance: a branch sees its region and nothing else;
            ``random``, a new draw each time; ``upstream``, from one stream in the order of the published code.
        draws: Of ``average``.
        seed: Seed of all but ``random``.

    Raises:
        ValueError: For an unknown ``masks`` or no draw.
    """

    def __init__(self, head: ActorHead, masks: Masks = "seeded", draws: int = 8, seed: int = 0) -> None:
        if masks not in get_args(Masks):
            raise ValueError(f"task.masks: expected one of {', '.join(get_args(Masks))}, found {masks!r}")
        if draws < 1:
            raise ValueError(f"task.mask_draws: expected at least 1, found {draws}")
        self.head, self.masks, self.draws, self.seed = head, masks, draws, seed
        self._stream = random.Random(seed)

    def of_training(self, batch: dict, epoch: int) -> dict[str, Tensor]:
        """Draws of the clips of a batch, which depend on seed, epoch and sample alone."""
        return self._noise(batch, [(epoch, index) for index in batch["index"].tolist()], 1)

    def of_evaluation(self, batch: dict) -> dict[str, Tensor]:
        """Draws of the clips of a batch, as ``masks`` says."""
        if not self.head.masked or self.masks == "random":
            return {}
        if self.masks in ("none", "upstream"):
            padded = tuple(batch["video"].shape[-2:])
            placement = self.head.place(batch["rois"], batch["clip"], batch["size"], padded)
            if self.masks == "none":
                return {"masks": self.head.region_masks(placement)}
            return {"masks": self.head.upstream_masks(placement, self._stream)}
        return self._seeded(batch, self.draws if self.masks == "average" else 1)

    def of_explanation(self, batch: dict) -> dict[str, Tensor]:
        """The same, but for what is new each time: a clip that is explained keeps its masks, and no stream moves on."""
        if self.masks in ("random", "upstream"):
            return self._seeded(batch, 1)
        return self.of_evaluation(batch)

    def _seeded(self, batch: dict, draws: int) -> dict[str, Tensor]:
        clips = zip(batch["name"], batch["second"].tolist(), batch["view"].tolist(), strict=True)
        return self._noise(batch, list(clips), draws)

    def _noise(self, batch: dict, clips: list[tuple], draws: int) -> dict[str, Tensor]:
        if not self.head.masked:
            return {}
        generators = [torch.Generator().manual_seed(number(self.seed, *clip)) for clip in clips]
        return {"noise": self.head.draw_noise(batch["size"], tuple(batch["video"].shape[-2:]), generators, draws)}


def number(*facts: object) -> int:
    """A number below 2^63 that follows from ``facts`` on every machine."""
    digest = hashlib.blake2b(repr(facts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
