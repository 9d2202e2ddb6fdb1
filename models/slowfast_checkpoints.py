"""What the parameters of SlowFast are called by those who have published some, and reading their files.

Rules are written in one direction, from the names of `models.slowfast.SlowFast`, which are those of ACAR-Net and
FBI-Learning, to the others; the way back is the same table read backwards.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from models.checkpoint_formats import EXPECTED, CheckpointError, Weights, read_file, renamed, some, unwrapped

OWN = "ACAR-Net"  # and CKK-coder/FBI-Learning, and this project
WRAPPERS = ("_orig_mod.", "module.", "model.")  # torch.compile, DDP, Lightning and PyTorchVideo's detectors
BACKBONE = re.compile(r"^backbone\.(?:module\.)?")  # the training scripts of ACAR-Net wrap each part
_OWN_NAME = re.compile(
    r"(?:(?P<path>slow|fast)_(?:(?P<stem>conv1|bn1)|res(?P<stage>[1-4])\.(?P<block>\d+)\."
    r"(?:(?P<kind>conv|bn)(?P<place>[123])|(?P<shortcut>downsample\.0|downsample_bn)))"
    r"|Tconv(?P<lateral>[1-4])(?:\.(?P<layer>[01]))?)\.(?P<leaf>\w+)"
)
_CAFFE2_LEAVES = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}


class Place(NamedTuple):
    """Where a tensor is in a SlowFast.

    Attributes:
        part: ``stem``, ``block``, ``shortcut`` or ``lateral``.
        pathway: 0 slow, 1 fast.
        stage: 0 stem, 1 to 4; of a lateral connection the one it leads into.
        block: Within the stage; of a lateral connection the last one of the stage it comes from.
        number: 1 to 3, of the convolutions of a block.
        norm: Whether it belongs to a batch norm.
        leaf: ``weight``, ``bias``, ``running_mean``, ``running_var``, ``num_batches_tracked``.
    """

    part: str
    pathway: int
    stage: int
    block: int
    number: int
    norm: bool
    leaf: str


def pyslowfast(at: Place) -> str:
    """Name in facebookresearch/SlowFast."""
    if at.part == "lateral":
        return f"s{at.stage}_fuse.{'bn' if at.norm else 'conv_f2s'}.{at.leaf}"
    if at.part == "stem":
        return f"s1.pathway{at.pathway}_stem.{'bn' if at.norm else 'conv'}.{at.leaf}"
    conv = "branch1" if at.part == "shortcut" else f"branch2.{'abc'[at.number - 1]}"
    return f"s{at.stage + 1}.pathway{at.pathway}_res{at.block}.{conv}{'_bn' if at.norm else ''}.{at.leaf}"


def pytorchvideo(at: Place) -> str:
    """Name in facebookresearch/pytorchvideo."""
    kind = "norm" if at.norm else "conv"
    if at.part == "lateral":
        return f"blocks.{at.stage - 1}.multipathway_fusion.{'norm' if at.norm else 'conv_fast_to_slow'}.{at.leaf}"
    path = f"blocks.{at.stage}.multipathway_blocks.{at.pathway}"
    if at.part == "stem":
        return f"{path}.{kind}.{at.leaf}"
    conv = f"branch1_{kind}" if at.part == "shortcut" else f"branch2.{kind}_{'abc'[at.number - 1]}"
    return f"{path}.res_blocks.{at.block}.{conv}.{at.leaf}"


def mmaction2(at: Place) -> str:
    """Name in open-mmlab/mmaction2, after ``backbone.``."""
    kind = "bn" if at.norm else "conv"
    if at.part == "lateral":
        return f"slow_path.{'conv1' if at.stage == 1 else f'layer{at.stage - 1}'}_lateral.{kind}.{at.leaf}"
    path = f"{('slow', 'fast')[at.pathway]}_path"
    if at.part == "stem":
        return f"{path}.conv1.{kind}.{at.leaf}"
    conv = "downsample" if at.part == "shortcut" else f"conv{at.number}"
    return f"{path}.layer{at.stage}.{at.block}.{conv}.{kind}.{at.leaf}"


def caffe2(at: Place) -> str | None:
    """Name of a blob in the model zoo of facebookresearch/SlowFast; None for what Caffe2 does not store."""
    if at.leaf == "num_batches_tracked":
        return None
    prefix, leaf = "t_" * at.pathway, f"bn_{_CAFFE2_LEAVES[at.leaf]}" if at.norm else "w"
    if at.part == "lateral":
        start = "pool1" if at.stage == 1 else f"res{at.stage}_{at.block}_branch2c_bn"
        return f"{prefix}{start}_subsample_{leaf}"
    if at.part == "stem":
        return f"{prefix}{'res_' * at.norm}conv1_{leaf}"
    conv = "branch1" if at.part == "shortcut" else f"branch2{'abc'[at.number - 1]}"
    return f"{prefix}res{at.stage + 1}_{at.block}_{conv}_{leaf}"


SPELLINGS = {"PySlowFast": pyslowfast, "Caffe2": caffe2, "PyTorchVideo": pytorchvideo, "mmaction2": mmaction2}
# Beginnings of the names of a last, linear layer. The one of mmaction2's detectors has a row for the background first,
# the one of its classifiers has the columns for the fast features first, as mmaction/models/heads/slowfast_head.py
# joins them.
BACKGROUND_FIRST = "roi_head.bbox_head.fc_cls."
FAST_FIRST = "cls_head.fc_cls.weight"
OF_CLIPS = ("blocks.6.proj.", "cls_head.fc_cls.")  # others name those of clips and of boxes alike
CLASSIFIERS = {
    "PySlowFast": ("head.projection.",),
    "Caffe2": ("pred_",),
    "PyTorchVideo": ("blocks.6.proj.", "detection_head.proj."),
    "mmaction2": (BACKGROUND_FIRST, "cls_head.fc_cls."),
}


def foreign_names(names: Iterable[str], layout: str) -> dict[str, str | None]:
    """What others call the tensors of a SlowFast.

    Args:
        names: All names of its state dict; others are left out.
        layout: A key of ``SPELLINGS``, or ``ACAR-Net``.

    Returns:
        Our name to theirs; None for what they do not store.
    """
    matches = {name: match for name in names if (match := _OWN_NAME.fullmatch(name))}
    if layout == OWN:
        return {name: name for name in matches}
    last = [0] * 5  # blocks of a stage, counted from 0; the stem has none
    for match in matches.values():
        if match["stage"]:
            last[int(match["stage"])] = max(last[int(match["stage"])], int(match["block"]))
    return {name: SPELLINGS[layout](_place(match, last)) for name, match in matches.items()}


def _place(match: re.Match[str], last: list[int]) -> Place:
    leaf, pathway = match["leaf"], int(match["path"] != "slow")
    if match["lateral"]:
        stage = int(match["lateral"])
        return Place("lateral", pathway, stage, last[stage - 1], 0, match["layer"] == "1", leaf)
    if match["stem"]:
        return Place("stem", pathway, 0, 0, 0, match["stem"] == "bn1", leaf)
    stage, block = int(match["stage"]), int(match["block"])
    if match["shortcut"]:
        return Place("shortcut", pathway, stage, block, 0, match["shortcut"] == "downsample_bn", leaf)
    return Place("block", pathway, stage, block, int(match["place"]), match["kind"] == "bn", leaf)


def in_layout(state: Mapping[str, Tensor], layout: str) -> dict[str, Tensor]:
    """The state dict of a SlowFast under the names of others, for their programs."""
    names = foreign_names(state, layout)
    return {theirs: state[ours] for ours, theirs in names.items() if theirs is not None}


def read_slowfast(path: str | Path) -> Weights:
    """Read a published checkpoint of a SlowFast, or of a network around one.

    Wrappers in front of names and ``backbone.`` are taken off; apart from that tensors keep their names. ``layout`` is
    a key of ``SPELLINGS``, or ``ACAR-Net``.

    Raises:
        CheckpointNotFoundError: When there is no such file.
        CheckpointError: When the file is damaged, would execute code, or holds no SlowFast.
    """
    path = Path(path)
    tensors, packing, left_out = read_file(path)
    tensors = unwrapped(tensors, WRAPPERS, path)
    tensors = renamed({name: BACKBONE.sub("", name) for name in tensors}, tensors, path)
    stem = "slow_conv1.weight"
    for layout in (OWN, *SPELLINGS):
        if foreign_names([stem], layout)[stem] in tensors:
            break
    else:
        raise CheckpointError(f"{path}: holds no SlowFast: none of its stems among {some(tensors)}\n{EXPECTED}")
    if layout == "Caffe2":
        rest = [name for name in tensors if "momentum" in name or name in ("lr", "model_iter")]
        left_out |= {name: "belongs to the optimizer" for name in rest}
        tensors = {name: tensor for name, tensor in tensors.items() if name not in left_out}
    return Weights(path, layout, tensors, f"SlowFast as in {layout}, {packing}", left_out)
