"""Which weights and which network, in 64 digits that do not depend on device, file format or the order of things."""

import hashlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def weights_sha256(model: nn.Module) -> str:
    """Sum of the state dict: names, types, shapes and bytes of its tensors, in the order of their names."""
    return _sha256(_tensor_parts(model.state_dict()))


def structure_sha256(model: nn.Module) -> str:
    """Sum of what decides the output beside the weights.

    That is the class and the plain public attributes of every submodule (number of heads, epsilon of a norm, kind of
    pooling) and the tables that the state dict leaves out. Two networks may have the same weights and yet differ here.
    """
    kept = model.state_dict().keys()
    tables = {name: buffer for name, buffer in model.named_buffers() if name not in kept}
    described = (_description(name, module).encode() for name, module in model.named_modules())
    return _sha256([*described, *_tensor_parts(tables)])


def class_name(part: object) -> str:
    """Module and name of the class of an object."""
    return f"{type(part).__module__}.{type(part).__qualname__}"


def _description(name: str, module: nn.Module) -> str:
    values = {key: value for key, value in sorted(vars(module).items()) if not key.startswith("_") and _is_plain(value)}
    values.pop("training", None)
    return f"{name} {class_name(module)} {values}\n"


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return isinstance(value, bool | int | float | str | None)


def _tensor_parts(tensors: dict[str, Tensor]) -> Iterable[bytes | memoryview]:
    for name, tensor in sorted(tensors.items()):
        yield f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode()
        values = tensor.detach().cpu().contiguous().reshape(-1)
        yield values.view(torch.uint8).numpy().data


def _sha256(parts: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
