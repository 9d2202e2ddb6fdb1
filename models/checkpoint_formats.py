"""Reading published checkpoint files and naming their tensors as VideoMAE does, whoever wrote them."""

import argparse
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # the type torch raises; nothing is unpickled here
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

CONTAINERS = ("model", "module", "state_dict")  # torch training, DeepSpeed, Lightning; in this order if several
WRAPPERS = ("_orig_mod.", "module.", "backbone.", "model.")  # torch.compile, DDP, OpenMMLab, Lightning and Hugging Face
PRETRAINING_ONLY = ("decoder.", "encoder_to_decoder.", "mask_token")
SAMPLER = re.compile(r"(?:^|\.)(?:pos_embed_probs$|get_token_probs\.)")

EXPECTED = """Expected one of
  VideoMAE, VideoMAE V2: .pth from pretraining or fine-tuning, {'model': ...}, DeepSpeed {'module': ...} or flat
  FocusMAE, AdaMAE: .pth from pretraining or fine-tuning
  Hugging Face VideoMAE (transformers) or VideoMAEv2: model.safetensors or pytorch_model.bin
  vidzoo: a checkpoint of a run"""

_HUGGING_FACE_BLOCK = {
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "attention.attention": "attn",
    "attention.output.dense": "attn.proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}
_HUGGING_FACE_REST = {
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "layernorm": "norm",
    "classifier": "head",
}


class CheckpointError(ValueError):
    """A weights file that cannot be read, or that does not fit the model; the message names the file."""


class CheckpointNotFoundError(FileNotFoundError):
    """There is no weights file where one was expected."""


@dataclass(frozen=True)
class Weights:
    """Tensors of a checkpoint under the names of the published VideoMAE code.

    Attributes:
        path: The file.
        layout: ``pretraining`` (names start with ``encoder.`` or ``decoder.``) or ``encoder`` (``blocks.0...``).
        tensors: Name to tensor, on the CPU, in the dtype of the file.
        source: Who wrote it and how it was packed, in words.
        left_out: Tensors that belong to no model, name to reason.
    """

    path: Path
    layout: str
    tensors: dict[str, Tensor]
    source: str
    left_out: dict[str, str]

    @property
    def has_sampler(self) -> bool:
        """Whether the weights include the token sampler of AdaMAE and FocusMAE."""
        return any(SAMPLER.search(name) for name in self.tensors)


def read_weights(path: str | Path) -> Weights:
    """Read a published checkpoint without executing anything stored in it.

    Names are brought to the layout of MCG-NJU/VideoMAE and OpenGVLab/VideoMAEv2: wrappers in front (``_orig_mod.``,
    ``module.``, ``backbone.``, ``model.``, nested in any order) are taken off, the separate query, key and value
    matrices of Hugging Face transformers are joined to ``attn.qkv.weight``.

    Args:
        path: File of tensors, either safetensors or written by ``torch.save``.

    Raises:
        CheckpointNotFoundError: When there is no such file.
        CheckpointError: When the file is damaged, would execute code, or holds no vision transformer over tubelets.
    """
    path = Path(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise CheckpointNotFoundError(f"{path}: expected a weights file, found {found}; download one and give its path")
    content = _read(path)
    tensors, packing, left_out = _unpack(content, path)
    tensors = _unwrap(tensors, path)
    maker = "VideoMAE"
    if any(re.search(r"(?:^|\.)(?:encoder\.layer|decoder\.decoder_layers)\.\d+\.", name) for name in tensors):
        maker, tensors = "Hugging Face VideoMAE", _from_hugging_face(tensors, path)
    if any(name.startswith(PRETRAINING_ONLY) for name in tensors):
        layout, kind = "pretraining", "pretraining"
    else:  # an encoder saved alone may have kept the name it had within its model
        tensors = _renamed({name: name.removeprefix("encoder.") for name in tensors}, tensors, path)
        layout, kind = "encoder", "fine-tuning" if "head.weight" in tensors else "encoder"
    prefix = "encoder." if layout == "pretraining" else ""
    if f"{prefix}patch_embed.proj.weight" not in tensors:
        raise CheckpointError(
            f"{path}: holds no video transformer: no patch_embed.proj.weight among {_some(tensors)}\n{EXPECTED}"
        )
    if any(SAMPLER.search(name) for name in tensors):
        maker = "FocusMAE or AdaMAE"
    return Weights(path, layout, tensors, f"{maker} {kind}, {packing}", left_out)


def _read(path: Path) -> Any:
    """Content of a file whose format is told by its first bytes, not by its name."""
    with path.open("rb") as file:
        head = file.read(16)
    try:
        if head[8:9] == b"{":  # safetensors: eight bytes of header length, then a JSON header
            return load_file(path)
        if head.startswith((b"PK\x03\x04", b"\x80")):  # torch: a zip archive since 1.6, a bare stream before
            with torch.serialization.safe_globals([argparse.Namespace]):  # the training scripts store their arguments
                return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except UnpicklingError as error:
        foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = re.search(r"WeightsUnpickler error: (.+)", str(error))
        found = f"it refers to {foreign[1]}" if foreign else reason[1].strip() if reason else str(error)
        raise CheckpointError(
            f"{path}: refused by torch's safe reading: {found}. Only tensors, plain values and argparse.Namespace are "
            "read, because anything else could execute code. If the file is whole and you trust its author, save its "
            "state dict alone as safetensors"
        ) from error
    except Exception as error:  # a cut or altered file fails in whatever way its parser happens to
        raise CheckpointError(
            f"{path}: damaged or incomplete ({path.stat().st_size} bytes): {str(error).partition('. ')[0]}. "
            "Compare its size or checksum with the source and download it again"
        ) from error
    raise CheckpointError(
        f"{path}: neither a torch nor a safetensors file, it starts with {head[:8]!r} "
        f"({path.stat().st_size} bytes; a web page or a git-lfs pointer instead of the weights?)\n{EXPECTED}"
    )


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
    found = _some(content) if isinstance(content, Mapping) else type(content).__name__
    raise CheckpointError(
        f"{path}: no state dict, neither at the top nor under {', '.join(CONTAINERS)}; found {found}\n{EXPECTED}"
    )


def _is_state_dict(content: Any) -> bool:
    return (
        isinstance(content, Mapping) and bool(content) and all(isinstance(value, Tensor) for value in content.values())
    )


def _unwrap(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Take wrappers off the front of each name; ``_orig_mod.`` may also sit inside, where a part was compiled."""
    names = {}
    for name in tensors:
        short = name.replace("._orig_mod.", ".")
        while short.startswith(WRAPPERS):
            short = short.partition(".")[2]
        names[name] = short
    return _renamed(names, tensors, path)


def _renamed(names: Mapping[str, str], tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
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


def _from_hugging_face(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Rename and join the tensors of transformers' VideoMAE: bare, for pretraining or for classification."""
    pretraining = any(name.startswith("decoder.") for name in tensors)
    renamed = _renamed({name: _hugging_face_name(name, pretraining) for name in tensors}, tensors, path)
    for stem in [name.removesuffix("query.weight") for name in renamed if name.endswith("attn.query.weight")]:
        parts = [renamed.pop(f"{stem}{part}.weight", None) for part in ("query", "key", "value")]
        if any(part is None for part in parts):
            raise CheckpointError(f"{path}: {stem}query.weight comes without its key and value")
        renamed[f"{stem}qkv.weight"] = torch.cat(parts)
    return renamed


def _hugging_face_name(name: str, pretraining: bool) -> str:
    """Name in VideoMAE's layout of a tensor called ``name`` by transformers."""
    inner = name.removeprefix("videomae.")
    block = re.fullmatch(r"(encoder\.layer|decoder\.decoder_layers)\.(\d+)\.(.+)\.(\w+)", inner)
    if block:
        side, index, part, leaf = block.groups()
        for theirs, ours in _HUGGING_FACE_BLOCK.items():
            if part == theirs or part.startswith(f"{theirs}."):
                part = ours + part[len(theirs) :]
                break
        inner = f"blocks.{index}.{part}.{leaf}"
        if side.startswith("decoder"):
            return f"decoder.{inner}"
    elif inner.rpartition(".")[0] in _HUGGING_FACE_REST:
        stem, _, leaf = inner.rpartition(".")
        inner = f"{_HUGGING_FACE_REST[stem]}.{leaf}"
    else:
        return inner
    return f"encoder.{inner}" if pretraining else inner


def _some(names: Iterable[str], limit: int = 6) -> str:
    """The first few of ``names``, for a message."""
    names = [str(name) for name in names]
    return ", ".join(names[:limit]) + (f", ... ({len(names)} in all)" if len(names) > limit else "")
