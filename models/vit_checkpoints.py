"""Published weights of video transformers, named as VideoMAE does; ``layout`` is ``pretraining`` (names start with
``encoder.`` or ``decoder.``) or ``encoder`` (``blocks.0...``)."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from models.checkpoint_formats import EXPECTED, CheckpointError, Weights, read_file, renamed, some, unwrapped

WRAPPERS = ("_orig_mod.", "module.", "backbone.", "model.")  # torch.compile, DDP, OpenMMLab, Lightning and Hugging Face
PRETRAINING_ONLY = ("decoder.", "encoder_to_decoder.", "mask_token")
SAMPLER = re.compile(r"(?:^|\.)(?:pos_embed_probs$|get_token_probs\.)")

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


def read_weights(path: str | Path) -> Weights:
    """Read a published checkpoint of a video transformer.

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
    tensors, packing, left_out = read_file(path)
    tensors = unwrapped(tensors, WRAPPERS, path)
    maker = "VideoMAE"
    if any(re.search(r"(?:^|\.)(?:encoder\.layer|decoder\.decoder_layers)\.\d+\.", name) for name in tensors):
        maker, tensors = "Hugging Face VideoMAE", _from_hugging_face(tensors, path)
    if any(name.startswith(PRETRAINING_ONLY) for name in tensors):
        layout, kind = "pretraining", "pretraining"
    else:  # an encoder saved alone may have kept the name it had within its model
        tensors = renamed({name: name.removeprefix("encoder.") for name in tensors}, tensors, path)
        layout, kind = "encoder", "fine-tuning" if "head.weight" in tensors else "encoder"
    prefix = "encoder." if layout == "pretraining" else ""
    if f"{prefix}patch_embed.proj.weight" not in tensors:
        raise CheckpointError(
            f"{path}: holds no video transformer: no patch_embed.proj.weight among {some(tensors)}\n{EXPECTED}"
        )
    if any(SAMPLER.search(name) for name in tensors):
        maker = "FocusMAE or AdaMAE"
    return Weights(path, layout, tensors, f"{maker} {kind}, {packing}", left_out)


def _from_hugging_face(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Rename and join the tensors of transformers' VideoMAE: bare, for pretraining or for classification."""
    pretraining = any(name.startswith("decoder.") for name in tensors)
    joined = renamed({name: _hugging_face_name(name, pretraining) for name in tensors}, tensors, path)
    for stem in [name.removesuffix("query.weight") for name in joined if name.endswith("attn.query.weight")]:
        parts = [joined.pop(f"{stem}{part}.weight", None) for part in ("query", "key", "value")]
        if any(part is None for part in parts):
            raise CheckpointError(f"{path}: {stem}query.weight comes without its key and value")
        joined[f"{stem}qkv.weight"] = torch.cat(parts)
    return joined


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
