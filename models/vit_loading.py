"""Loading published weights into video transformers."""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor, nn

from models.checkpoint_formats import CheckpointError, Weights
from models.load_report import LoadReport
from models.positions import interpolate_positions
from models.vit_checkpoints import PRETRAINING_ONLY, SAMPLER, read_weights
from models.weights_family import Family, Reasons, Tensors, last_layer, part

Grid = tuple[int, int, int]
POSITIONS = re.compile(r"(?:^|\.)pos_embed(?:_probs)?$")
# Size and heads by width, of the builders of OpenGVLab/VideoMAEv2; both generations of sbasu276/FocusMAE.
PUBLISHED = {384: ("ViT-S", 6), 768: ("ViT-B", 12), 1024: ("ViT-L", 16), 1280: ("ViT-H", 16), 1408: ("ViT-g", 16)}
FOCUSMAE_WIDTHS, FOCUSMAE_HEADS = (384, 768), 12


class VideoTransformerWeights(Family):
    """Weights of a masked autoencoder (``encoder.*``, ``decoder.*``) or of an encoder (``blocks.*``).

    What may be missing:

    - pretraining weights into an encoder: decoder, mask token and token sampler are left out; with mean pooling also
      the final ``norm``, which ``fc_norm`` takes the place of and which starts fresh like the head;
    - a head for another number of classes, or only in the file, is left out; a head only in the model starts fresh;
    - a token sampler (FocusMAE, AdaMAE) only in the file is left out, one only in the model starts fresh;
    - blocks that the model's decoder has beyond those of the file start fresh, as when FocusMAE (10 blocks) was
      initialised from AdaMAE (4 blocks).

    Learned positions of another token grid are interpolated.

    Args:
        model: The model.
        own: Its parameters and persistent buffers.
        source_grid: Token grid of learned positions in the file, where their number leaves it open.
    """

    def __init__(self, model: nn.Module, own: Tensors, source_grid: Grid | None = None) -> None:
        super().__init__(model, own)
        self.source_grid = source_grid

    def read(self, path: str | Path) -> Weights:
        return read_weights(path)

    def named(self, weights: Weights) -> dict[str, Tensor]:
        prefix = "encoder." if _is_encoder(self.own) else ""
        return {name.removeprefix(prefix): tensor for name, tensor in weights.tensors.items()}

    def exceptions(self, weights: Weights, theirs: Tensors) -> tuple[Reasons, Reasons]:
        own, dropped, fresh = self.own, {}, {}
        if _is_encoder(own):
            dropped |= dict.fromkeys(part(theirs, *PRETRAINING_ONLY), "serves pretraining only")
        elif depth := _depth(theirs, "decoder"):
            further = [f"decoder.blocks.{i}." for i in range(depth, _depth(own, "decoder"))]
            fresh |= dict.fromkeys(part(own, *further), f"the decoder in the file has {depth} blocks")
        their_sampler, own_sampler = ([name for name in side if SAMPLER.search(name)] for side in (theirs, own))
        if not own_sampler:
            dropped |= dict.fromkeys(their_sampler, "the model has no token sampler")
        if not their_sampler:
            fresh |= dict.fromkeys(own_sampler, "the file has no token sampler")
        if part(own, "fc_norm.") and not part(own, "norm.") and not part(theirs, "fc_norm.", "head."):
            dropped |= dict.fromkeys(
                part(theirs, "norm."), "normalised tokens; with mean pooling fc_norm takes its place"
            )
            fresh |= dict.fromkeys(part(own, "fc_norm."), "the file is from before fine-tuning")
        head_dropped, head_fresh = last_layer(theirs, own, "head.")
        return dropped | head_dropped, fresh | head_fresh

    def resized(self, weights: Weights, name: str, value: Tensor) -> Tensor | None:
        same_ends = value.shape[::2] == self.own[name].shape[::2]
        if not POSITIONS.search(name) or not same_ends or not (grid := _grid(self.model, name)):
            return None
        source = self.source_grid or _source_grid(value.shape[1], grid, f"{weights.path}: {name}")
        return interpolate_positions(value.float(), source, grid)

    def advice(self, weights: Weights, theirs: Tensors, report: LoadReport) -> str:
        own, theirs = self.own, weights.tensors
        if _width(own) is None:
            return (
                "The model is no video transformer, it has no patch_embed.proj.weight: load into the part that is one."
            )
        if _width(theirs) != _width(own):
            fitting = _published(weights, own)
            return f"The weights have width {_width(theirs)}, the model {_width(own)}: build it with {fitting}."
        if weights.layout == "encoder" and part(own, *PRETRAINING_ONLY):
            return "The file holds an encoder alone: load it with load_pretrained(model.encoder, path)."
        for side in ("encoder", "decoder"):
            if _depth(theirs, side) != _depth(own, side):
                return f"The {side} of the weights has {_depth(theirs, side)} blocks, the model's {_depth(own, side)}."
        if part(report.unused, "fc_norm."):
            return "The file was fine-tuned with mean pooling: build the model with pooling='mean'."
        if any(POSITIONS.search(name) for name in report.unused):
            return "The file has learned positions: build the model with positions='learned'."
        if any(POSITIONS.search(name) for name in report.missing):
            return "The file has no learned positions: build the model with positions='sinusoid'."
        return f"Expected the tensors of {weights.source.partition(',')[0]} with the model's sizes."


def _is_encoder(own: Tensors) -> bool:
    return not part(own, *PRETRAINING_ONLY)


def _grid(model: nn.Module, name: str) -> Grid | None:
    """Token grid of the part of ``model`` that owns the positional table ``name``."""
    return getattr(model.get_submodule(name.rpartition(".")[0]), "grid", None)


def _source_grid(rows: int, grid: Grid, table: str) -> Grid:
    """Token grid of a table of ``rows`` positions: another length in time or another square, if that is unambiguous."""
    time, height, width = grid
    found = set()
    if rows % (height * width) == 0:
        found.add((rows // (height * width), height, width))
    side = math.isqrt(rows // time)
    if time * side * side == rows:
        found.add((time, side, side))
    if len(found) != 1:
        choices = " or ".join(map(str, sorted(found))) or "nothing like it"
        raise CheckpointError(
            f"{table}: {rows} positions could be laid out as {choices}, the model's grid is {tuple(grid)}: "
            "give source_grid=(T', H', W')"
        )
    return found.pop()


def _width(tensors: Mapping[str, Tensor]) -> int | None:
    for name in ("encoder.patch_embed.proj.weight", "patch_embed.proj.weight"):
        if name in tensors:
            return len(tensors[name])
    return None


def _depth(tensors: Iterable[str], side: str) -> int:
    """Number of blocks of the ``encoder`` or ``decoder``; an encoder saved alone has no prefix."""
    prefix = "decoder." if side == "decoder" else "(?:encoder\\.)?"
    return len({match[1] for name in tensors if (match := re.match(rf"{prefix}blocks\.(\d+)\.", name))})


def _published(weights: Weights, own: Iterable[str]) -> str:
    """The arguments of the published model with the width of the weights, where there is one.

    How many heads a model has cannot be seen from its weights: another number loads as well and computes nonsense.
    """
    width = _width(weights.tensors)
    if (
        any(SAMPLER.search(name) for name in weights.tensors)
        and part(own, *PRETRAINING_ONLY)
        and width in FOCUSMAE_WIDTHS
    ):
        return f"dim={width}, num_heads={FOCUSMAE_HEADS} (FocusMAE)"
    if width not in PUBLISHED:
        return f"dim={width}"
    size, num_heads = PUBLISHED[width]
    return f"dim={width}, num_heads={num_heads} ({size})"
