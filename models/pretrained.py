"""Loading published weights into a model: strict, checked before anything is copied, accounted for tensor by tensor."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from models.checkpoint_formats import PRETRAINING_ONLY, SAMPLER, CheckpointError, Weights, read_weights
from models.load_report import LoadReport
from models.positions import interpolate_positions

Grid = tuple[int, int, int]
POSITIONS = re.compile(r"(?:^|\.)pos_embed(?:_probs)?$")
# Size and heads by width, of the builders of OpenGVLab/VideoMAEv2; both generations of sbasu276/FocusMAE.
PUBLISHED = {384: ("ViT-S", 6), 768: ("ViT-B", 12), 1024: ("ViT-L", 16), 1280: ("ViT-H", 16), 1408: ("ViT-g", 16)}
FOCUSMAE_WIDTHS, FOCUSMAE_HEADS = (384, 768), 12


def load_pretrained(model: nn.Module, path: str | Path, *, source_grid: Grid | None = None) -> LoadReport:
    """Load published weights into a video transformer.

    Read are the formats of ``models/checkpoint_formats.py``; what the weights are for and what ``model`` is follows
    from the names of their tensors: a masked autoencoder (``encoder.*``, ``decoder.*``) or an encoder (``blocks.*``).
    Loading is strict: a tensor that is missing, left over or of another shape is an error, and then ``model`` is as it
    was. These exceptions pass, each named with its reason in the report:

    - pretraining weights into an encoder: decoder, mask token and token sampler are left out; with mean pooling also
      the final ``norm``, which ``fc_norm`` takes the place of and which starts fresh like the head;
    - a head for another number of classes, or only in the file, is left out; a head only in the model starts fresh;
    - a token sampler (FocusMAE, AdaMAE) only in the file is left out, one only in the model starts fresh;
    - blocks that the model's decoder has beyond those of the file start fresh, as when FocusMAE (10 blocks) was
      initialised from AdaMAE (4 blocks);
    - learned positions of another token grid are interpolated;
    - values are converted to the floating-point type of the model.

    Args:
        model: Built model; not on the meta device. It may be compiled.
        path: Weights file.
        source_grid: Token grid (T', H', W') of learned positions in the file, for tables whose number of rows leaves
            it open; otherwise it is taken to differ from the model's either in T' or, if square, in H' and W'.

    Returns:
        What was done with each tensor.

    Raises:
        CheckpointNotFoundError: When there is no such file.
        CheckpointError: When the file cannot be read or does not fit the model; the message holds the table.
    """
    weights = read_weights(path)
    own = _own_tensors(model)
    values, report = _compare(weights, model, own, source_grid)
    if not report.complete:
        raise CheckpointError(
            f"the weights do not fit {type(model).__name__}, nothing was copied\n{report}\n"
            f"{_advice(weights, own, report)}"
        )
    with torch.no_grad():
        for name, value in values.items():
            own[name].copy_(value)
    return report


def _own_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers of ``model`` by name, without the prefix of ``torch.compile``."""
    own = {}
    for name, tensor in model.state_dict().items():
        if tensor.is_meta:
            raise CheckpointError(
                f"{type(model).__name__} has no memory yet ({name} is on the meta device): build it on a real device"
            )
        own[name.replace("_orig_mod.", "")] = tensor
    return own


def _compare(
    weights: Weights, model: nn.Module, own: dict[str, Tensor], source_grid: Grid | None
) -> tuple[dict[str, Tensor], LoadReport]:
    """Values to be copied under the model's names, and the account of both sides."""
    theirs = weights.tensors
    if is_encoder := not _part(own, *PRETRAINING_ONLY):
        theirs = {name.removeprefix("encoder."): tensor for name, tensor in theirs.items()}
    dropped, fresh = _exceptions(theirs, own, is_encoder)
    values, reshaped, missing, mismatched, converted = {}, {}, {}, {}, Counter()
    for name, target in own.items():
        if name in fresh:
            continue
        if name not in theirs:
            missing[name] = tuple(target.shape)
            continue
        value, shapes = theirs[name], (tuple(theirs[name].shape), tuple(target.shape))
        if value.shape == target.shape:
            values[name] = value
        elif POSITIONS.search(name) and shapes[0][::2] == shapes[1][::2] and (grid := _grid(model, name)):
            source = source_grid or _source_grid(shapes[0][1], grid, f"{weights.path}: {name}")
            values[name] = interpolate_positions(value.float(), source, grid)
            reshaped[name] = shapes
        else:
            mismatched[name] = shapes
        if value.dtype != target.dtype:
            converted[f"{value.dtype} -> {target.dtype}".replace("torch.", "")] += 1
    unused = {name: tuple(value.shape) for name, value in theirs.items() if name not in own and name not in dropped}
    report = LoadReport(
        weights.path,
        weights.source,
        loaded=tuple(name for name in values if name not in reshaped),
        reshaped=reshaped,
        fresh=fresh,
        dropped={**dropped, **weights.left_out},
        missing=missing,
        unused=unused,
        mismatched=mismatched,
        converted=converted,
    )
    return values, report


def _exceptions(
    theirs: Mapping[str, Tensor], own: Mapping[str, Tensor], is_encoder: bool
) -> tuple[dict[str, str], dict[str, str]]:
    """Tensors of the file that may be left out and of the model that may stay as they are, each with the reason.

    An exception covers a part that one side lacks altogether; a part that is there in pieces is an error.
    """
    dropped: dict[str, str] = {}
    fresh: dict[str, str] = {}
    if is_encoder:
        dropped |= dict.fromkeys(_part(theirs, *PRETRAINING_ONLY), "serves pretraining only")
    elif depth := _depth(theirs, "decoder"):
        further = [f"decoder.blocks.{i}." for i in range(depth, _depth(own, "decoder"))]
        fresh |= dict.fromkeys(_part(own, *further), f"the decoder in the file has {depth} blocks")
    their_sampler, own_sampler = ([name for name in side if SAMPLER.search(name)] for side in (theirs, own))
    if not own_sampler:
        dropped |= dict.fromkeys(their_sampler, "the model has no token sampler")
    if not their_sampler:
        fresh |= dict.fromkeys(own_sampler, "the file has no token sampler")
    if _part(own, "fc_norm.") and not _part(own, "norm.") and not _part(theirs, "fc_norm.", "head."):
        dropped |= dict.fromkeys(_part(theirs, "norm."), "normalised tokens; with mean pooling fc_norm takes its place")
        fresh |= dict.fromkeys(_part(own, "fc_norm."), "the file is from before fine-tuning")
    their_head, own_head = _part(theirs, "head."), _part(own, "head.")
    if not own_head:
        dropped |= dict.fromkeys(their_head, "the model has no head")
    elif not their_head:
        fresh |= dict.fromkeys(own_head, "the file has no head")
    elif len(theirs[their_head[0]]) != len(own[own_head[0]]):  # both weight and bias have a row per class
        classes = f"{len(theirs[their_head[0]])} classes in the file, {len(own[own_head[0]])} in the model"
        dropped |= dict.fromkeys(their_head, classes)
        fresh |= dict.fromkeys(own_head, classes)
    return dropped, fresh


def _part(names: Iterable[str], *prefixes: str) -> list[str]:
    return [name for name in names if name.startswith(prefixes)]


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


def _advice(weights: Weights, own: Mapping[str, Tensor], report: LoadReport) -> str:
    """What to do about a misfit, for the common causes."""
    theirs = weights.tensors
    if _width(own) is None:
        return "The model is no video transformer, it has no patch_embed.proj.weight: load into the part that is one."
    if _width(theirs) != _width(own):
        fitting = _published(weights, own)
        return f"The weights have width {_width(theirs)}, the model {_width(own)}: build it with {fitting}."
    if weights.layout == "encoder" and _part(own, *PRETRAINING_ONLY):
        return "The file holds an encoder alone: load it with load_pretrained(model.encoder, path)."
    for side in ("encoder", "decoder"):
        if _depth(theirs, side) != _depth(own, side):
            return f"The {side} of the weights has {_depth(theirs, side)} blocks, the model's {_depth(own, side)}."
    if _part(report.unused, "fc_norm."):
        return "The file was fine-tuned with mean pooling: build the model with pooling='mean'."
    if any(POSITIONS.search(name) for name in report.unused):
        return "The file has learned positions: build the model with positions='learned'."
    if any(POSITIONS.search(name) for name in report.missing):
        return "The file has no learned positions: build the model with positions='sinusoid'."
    return f"Expected the tensors of {weights.source.partition(',')[0]} with the model's sizes."


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
    if weights.has_sampler and _part(own, *PRETRAINING_ONLY) and width in FOCUSMAE_WIDTHS:
        return f"dim={width}, num_heads={FOCUSMAE_HEADS} (FocusMAE)"
    if width not in PUBLISHED:
        return f"dim={width}"
    size, num_heads = PUBLISHED[width]
    return f"dim={width}, num_heads={num_heads} ({size})"
