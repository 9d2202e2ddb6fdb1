"""Finds the reference numbers of FBIL by what files hold, and builds the heads they belong to."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.fbil import BRANCHES, FBILHead
from models.fbil_keys import our_key
from tests.conftest import fixtures_root
from tests.prefixes import stripped

# Upstream's arguments by ours; those of regions come in pairs, and its "global" masks are for the foreground.
ARGUMENTS = {
    "num_classes": "num_classes",
    "dim": "reduce_dim",
    "num_heads": "head",
    "encoder_depth": "e_depth",
    "foreground_depth": "l_depth",
    "background_depth": "c_depth",
    "aggregation": "act",
    "roi_size": "roi_spatial",
    "bias": "bias",
}
BLOCKED = {
    "foreground_blocked": ("global_beta", "global_delta"),
    "background_blocked": ("local_beta", "local_delta"),
}
# Upstream's defaults where they differ from its config, whose values are our defaults.
UPSTREAM_DEFAULTS = {"act": "sigmoid", "e_depth": 1, "c_depth": 1, "l_depth": 3}


def folder() -> Path:
    return fixtures_root() / "fbil"


def some(found: list, kind: str) -> list:
    assert found, f"no {kind} in {folder()}"
    return found


def documents(fits: Callable[[Any], bool], kind: str) -> list[tuple[Path, Any]]:
    """Every JSON file whose content fits; there must be one."""
    files = [(path, json.loads(path.read_text())) for path in sorted(folder().glob("*.json"))]
    return some([(path, content) for path, content in files if fits(content)], kind)


def objects(*keys: str) -> list[tuple[Path, dict]]:
    """Every JSON object with all of ``keys``; there must be one."""
    return documents(lambda content: isinstance(content, dict) and set(keys) <= set(content), f"objects with {keys}")


def tensor_files(fits: Callable[[dict[str, Tensor]], bool], kind: str) -> list[tuple[Path, dict[str, Tensor]]]:
    """Every safetensors file whose content fits; there must be one."""
    files = [(path, load_file(path)) for path in sorted(folder().glob("*.safetensors"))]
    return some([(path, tensors) for path, tensors in files if fits(tensors)], kind)


def beside(path: Path, part: str) -> dict[str, Tensor]:
    """Tensors that belong to a document: of its name and the name of the part."""
    return load_file(path.with_name(f"{path.stem}_{part}.safetensors"))


def numbered(tensors: dict[str, Tensor], prefix: str) -> dict[int, Tensor]:
    return {int(name): tensor for name, tensor in stripped(tensors, prefix).items()}


def num_pose() -> int:
    """How many of the first classes are poses."""
    [(_, content)] = objects("pose_slice")
    first, behind = content["pose_slice"]
    assert first == 0
    return behind


def arguments(constructor: dict[str, Any]) -> dict[str, Any]:
    """Our arguments for upstream's."""
    theirs = UPSTREAM_DEFAULTS | constructor
    given = {ours: theirs[name] for ours, name in ARGUMENTS.items() if name in theirs}
    pairs = {ours: pair for ours, pair in BLOCKED.items() if set(pair) <= set(theirs)}
    return given | {ours: tuple(theirs[name] for name in pair) for ours, pair in pairs.items()}


def build_head(
    constructor: dict[str, Any], ffn_dim: int, tensors: dict[str, Tensor], widths: list[int], **options: Any
) -> FBILHead:
    """The head that upstream's constructor makes, with upstream's weights, in evaluation."""
    assert sum(widths) == constructor["width"]
    head = FBILHead(widths, **arguments(constructor), ffn_dim=ffn_dim, as_published=True, **options)
    state = stripped(tensors, "state.")
    head.load_state_dict({our_key(name): tensor for name, tensor in state.items()}, strict=True)
    return head.eval()


def given_masks(
    foreground: dict[int, Tensor], background: dict[int, Tensor], cells: Tensor, grid: tuple[int, int]
) -> Tensor:
    """Masks (B, 2, h, w) of stored ones (n, rows * columns) of some clips, which are the same for all n actors."""
    masks = torch.ones(len(cells), BRANCHES, *grid, dtype=torch.bool)
    for branch, stored in enumerate((foreground, background)):
        for clip, mask in stored.items():
            assert (mask == mask[:1]).all()
            rows, columns = cells[clip].tolist()
            masks[clip, branch, :rows, :columns] = mask[0].view(rows, columns)
    return masks
