"""Reading published checkpoint files, whoever wrote them, without executing anything stored in them."""

import argparse
import re
import shlex
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # the type torch raises; nothing is unpickled here
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from core.safe_pickle import RefusedError, loads

BLOBS = "blobs"
# Torch training, DeepSpeed, Lightning and OpenMMLab, PySlowFast and PyTorchVideo, Caffe2; in this order if several.
CONTAINERS = ("model", "module", "state_dict", "model_state", BLOBS)
TORCH_STREAM = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9"  # how a bare stream of torch begins: protocol 2, magic number

EXPECTED = """Expected one of
  VideoMAE, VideoMAE V2: .pth from pretraining or fine-tuning, {'model': ...}, DeepSpeed {'module': ...} or flat
  FocusMAE, AdaMAE: .pth from pretraining or fine-tuning
  Hugging Face VideoMAE (transformers) or VideoMAEv2: model.safetensors or pytorch_model.bin
  SlowFast of ACAR-Net and FBI-Learning (.pth.tar), PySlowFast (.pyth, or .pkl of Caffe2), PyTorchVideo, mmaction2
  MFNet: .pth of cypw/PyTorch-MFNet
  TalkNet, Light-ASD, LR-ASD: .model of AVA, TalkSet and Ego4D
  vidzoo: a checkpoint of a run"""


class CheckpointError(ValueError):
    """A weights file that cannot be read, or that does not fit the model; the message names the file."""


class CheckpointNotFoundError(FileNotFoundError):
    """There is no weights file where one was expected."""


@dataclass(frozen=True)
class Weights:
    """Tensors of a checkpoint.

    Attributes:
        path: The file.
        layout: Whose names the tensors have, and of what; which layouts there are says who names them so.
        tensors: Name to tensor, on the CPU, in the dtype of the file.
        source: Who wrote it and how it was packed, in words.
        left_out: Tensors that belong to no model, name to reason.
    """

    path: Path
    layout: str
    tensors: dict[str, Tensor]
    source: str
    left_out: dict[str, str]


def read_file(path: str | Path) -> tuple[dict[str, Tensor], str, dict[str, str]]:
    """Read the tensors of a file as they are named there.

    Args:
        path: File of tensors: safetensors, written by ``torch.save``, or a pickle of numpy arrays.

    Returns:
        The tensors, how they were packed, and the names of those that are no weights of a model, with the reason.

    Raises:
        CheckpointNotFoundError: When there is no such file.
        CheckpointError: When the file is damaged, would execute code, or holds no tensors.
    """
    path = Path(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise CheckpointNotFoundError(f"{path}: expected a weights file, found {found}; download one and give its path")
    return _unpack(_content(path), path)


def unwrapped(tensors: Mapping[str, Tensor], wrappers: tuple[str, ...], path: Path) -> dict[str, Tensor]:
    """Take ``wrappers`` off the front of each name; ``_orig_mod.`` may also sit inside, where a part was compiled."""
    names = {}
    for name in tensors:
        short = name.replace("._orig_mod.", ".")
        while short.startswith(wrappers):
            short = short.partition(".")[2]
        names[name] = short
    return renamed(names, tensors, path)


def renamed(names: Mapping[str, str], tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Tensors under new names, refusing to let one take the place of another."""
    origin: dict[str, str] = {}
    for old, new in names.items():
        if new in origin:
            raise CheckpointError(
                f"{path}: {origin[new]} and {old} are both {new} once wrappers are taken off; "
                "the file seems to hold two models: save one of them alone"
            )
        origin[new] = old
    return {new: tensors[old] for new, old in origin.items()}


def _content(path: Path) -> Any:
    """Content of a file whose format is told by its first bytes, not by its name."""
    with path.open("rb") as file:
        head = file.read(16)
    try:
        if head[8:9] == b"{":  # safetensors: eight bytes of header length, then a JSON header
            return load_file(path)
        if head.startswith((b"PK\x03\x04", TORCH_STREAM)):  # torch: a zip archive since 1.6, a bare stream before
            with torch.serialization.safe_globals([argparse.Namespace]):  # the training scripts store their arguments
                return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        if head.startswith((b"\x80", b"(d")):  # a pickle; Python 2 may begin one with its first dictionary
            return _pickled(path)
    except UnpicklingError as error:
        foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = re.search(r"WeightsUnpickler error: (.+)", str(error))
        found = f"it refers to {foreign[1]}" if foreign else reason[1].strip() if reason else str(error)
        raise CheckpointError(
            f"{path}: refused by torch's safe reading: {found}. Only tensors, plain values and argparse.Namespace are "
            "read, because anything else could execute code. If the file is whole and you trust its author, save its "
            "state dict alone as safetensors"
        ) from error
    except RefusedError as refused:
        raise CheckpointError(
            f"{path}: a pickle that {refused}; nothing of it was run, only arrays and plain values are read. To see "
            f"what it would do, without doing it: python -m pickletools {shlex.quote(str(path))}"
        ) from None
    except Exception as error:  # a cut or altered file fails in whatever way its parser happens to
        raise CheckpointError(
            f"{path}: damaged or incomplete ({path.stat().st_size} bytes): {str(error).partition('. ')[0]}. "
            "Compare its size or checksum with the source and download it again"
        ) from error
    raise CheckpointError(
        f"{path}: neither a torch nor a safetensors file nor a pickle, it starts with {head[:8]!r} "
        f"({path.stat().st_size} bytes; a web page or a git-lfs pointer instead of the weights?)\n{EXPECTED}"
    )


def _pickled(path: Path) -> Any:
    """Content of a pickle; the arrays that Caffe2 calls blobs become tensors."""
    content = loads(path.read_bytes())
    if isinstance(content, dict) and isinstance(blobs := content.get(BLOBS), dict):
        arrays = {name: value for name, value in blobs.items() if isinstance(value, np.ndarray)}
        return {BLOBS: {str(name): torch.from_numpy(value) for name, value in arrays.items()}}
    return content


def _unpack(content: Any, path: Path) -> tuple[dict[str, Tensor], str, dict[str, str]]:
    """State dict within the file's content, how it was packed, and tensors that are no weights of a model."""
    if _is_state_dict(content):
        return dict(content), "flat", {}
    if isinstance(content, Mapping):
        for container in CONTAINERS:
            if not _is_state_dict(content.get(container)):
                continue
            tensors, left_out = dict(content[container]), {}
            if "pytorch-lightning_version" in content:  # a task may own tensors beside its model
                left_out = {name: "belongs to the task" for name in tensors if not name.startswith("model.")}
                tensors = {name: tensor for name, tensor in tensors.items() if name.startswith("model.")}
            return tensors, f"container {container!r}", left_out
    found = some(content) if isinstance(content, Mapping) else type(content).__name__
    raise CheckpointError(
        f"{path}: no state dict, neither at the top nor under {', '.join(CONTAINERS)}; found {found}\n{EXPECTED}"
    )


def _is_state_dict(content: Any) -> bool:
    return (
        isinstance(content, Mapping) and bool(content) and all(isinstance(value, Tensor) for value in content.values())
    )


def some(names: Iterable[str], limit: int = 6) -> str:
    """The first few of ``names``, for a message."""
    names = [str(name) for name in names]
    return ", ".join(names[:limit]) + (f", ... ({len(names)} in all)" if len(names) > limit else "")
