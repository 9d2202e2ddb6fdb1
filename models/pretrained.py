"""Loading published weights into a model: strict, checked before anything is copied, accounted for tensor by tensor."""

from collections import Counter
from pathlib import Path

import torch
from torch import Tensor, nn

from models.asd_loading import SpeakerWeights, network_of
from models.checkpoint_formats import CheckpointError, Weights
from models.load_report import LoadReport
from models.mfnet_loading import MultiFiberWeights, has_mfnet
from models.slowfast_loading import SlowFastWeights, has_slowfast
from models.vit_loading import Grid, VideoTransformerWeights
from models.weights_family import Family


def load_pretrained(model: nn.Module, path: str | Path, *, source_grid: Grid | None = None) -> LoadReport:
    """Load published weights into a video transformer, a SlowFast or what has one, an MFNet, a detector of speakers.

    Read are the formats of ``models/checkpoint_formats.py``; what the weights are for and what ``model`` is follows
    from the names of their tensors. Loading is strict: a tensor that is missing, left over or of another shape is an
    error, and then ``model`` is as it was. The exceptions are those of ``models/vit_loading.py``,
    ``models/slowfast_loading.py``, ``models/mfnet_loading.py`` and ``models/asd_loading.py``, each named with its
    reason in the report. Values are converted to the floating-point type of the model.

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
    own = _own_tensors(model)
    family = _family(model, own, source_grid)
    weights = family.read(path)
    theirs = family.named(weights)
    values, report = _compare(family, weights, theirs)
    if not report.complete:
        raise CheckpointError(
            f"the weights do not fit {type(model).__name__}, nothing was copied\n{report}\n"
            f"{family.advice(weights, theirs, report)}"
        )
    if objection := family.objection(weights):
        raise CheckpointError(f"{weights.path}: {objection}; nothing was copied")
    with torch.no_grad():
        for name, value in values.items():
            own[name].copy_(value)
    return report


def _family(model: nn.Module, own: dict[str, Tensor], source_grid: Grid | None) -> Family:
    if has_slowfast(own):
        return SlowFastWeights(model, own)
    if has_mfnet(own):
        return MultiFiberWeights(model, own)
    if network_of(own):
        return SpeakerWeights(model, own)
    return VideoTransformerWeights(model, own, source_grid)


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


def _compare(family: Family, weights: Weights, theirs: dict[str, Tensor]) -> tuple[dict[str, Tensor], LoadReport]:
    """Values to be copied under the model's names, and the account of both sides."""
    own = family.own
    dropped, fresh = family.exceptions(weights, theirs)
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
        elif (resized := family.resized(weights, name, value)) is not None:
            values[name] = resized
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
