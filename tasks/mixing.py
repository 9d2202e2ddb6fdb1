"""Soft targets of a batch of clips: mixup, CutMix and label smoothing, as functions of which clips they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
from timm.data.mixup import Mixup
from torch import Tensor
from torch.nn import functional as F

Mode = Literal["batch", "pair", "elem"]


class Mixing:
    """Mixes clips and their classes: mixup (Zhang et al., 2018) and CutMix (Yun et al., 2019), by timm.

    The rectangle of CutMix is the same in all frames of a clip, as in OpenGVLab/VideoMAEv2, which mixes clips as images
    of 3 T channels. What is drawn is a function of ``(seed, epoch, index of the clips of the batch)``: neither workers
    nor an interruption change it.

    Args:
        num_classes: K.
        mixup: Parameter of the beta distribution of mixup; 0 for none.
        cutmix: The same of CutMix; 0 for none.
        switch: Probability of CutMix where both are there.
        mode: One draw for the ``batch``, for each ``pair`` of clips, or for each clip (``elem``).
        label_smoothing: s: a class has the target 1 - s + s / K, all others s / K.
        seed: Seed of the draws.
    """

    def __init__(
        self,
        num_classes: int,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        switch: float = 0.5,
        mode: Mode = "batch",
        label_smoothing: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.num_classes, self.label_smoothing, self.seed = num_classes, label_smoothing, seed
        self.mix = None
        if mixup > 0 or cutmix > 0:
            options = {"mode": mode, "label_smoothing": label_smoothing, "num_classes": num_classes}
            self.mix = Mixup(mixup_alpha=mixup, cutmix_alpha=cutmix, switch_prob=switch, **options)

    def __call__(self, video: Tensor, class_id: Tensor, index: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Mix a batch; the batch itself stays as it is.

        Args:
            video: (B, 3, T, H, W), normalised.
            class_id: (B,) int64.
            index: (B,) int64, position of the clips in their split.
            epoch: Not negative.

        Returns:
            Clips (B, 3, T, H, W) and targets (B, K) float32, whose rows sum to 1.

        Raises:
            ValueError: When clips are mixed and there is an odd number of them.
        """
        if self.mix is None:
            one_hot = F.one_hot(class_id, self.num_classes).float()
            return video, one_hot * (1 - self.label_smoothing) + self.label_smoothing / self.num_classes
        if len(video) % 2:
            raise ValueError(
                f"task.mixup and task.cutmix mix clips in pairs: expected an even number of clips in a batch, found "
                f"{len(video)}; change datamodule.batch_size x datamodule.clips_per_video"
            )
        with numpy_seeded(self.seed, epoch, *index.tolist()):
            mixed, target = self.mix(video.flatten(1, 2).clone(), class_id)
        return mixed.view_as(video), target.float()


@contextmanager
def numpy_seeded(*numbers: int) -> Iterator[None]:
    """Let NumPy's global generator, from which timm draws, be a function of ``numbers`` for a while."""
    state = np.random.get_state()
    np.random.seed(np.random.SeedSequence(numbers).generate_state(4))
    try:
        yield
    finally:
        np.random.set_state(state)
