"""Finds the reference numbers of detectors of active speakers by what files hold, and makes their formula weights."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from tests.conftest import fixtures_root

TOLERANCE = {"atol": 1e-5, "rtol": 1e-4}
MASK = 0xFFFFFFFF  # of 32 bits
FACE = 112


def folder() -> Path:
    return fixtures_root() / "asd"


def tensor_files(*keys: str) -> list[tuple[Path, dict[str, Tensor], dict[str, Any]]]:
    """Every safetensors file that has all of ``keys``, with its settings; there must be one."""
    found = []
    for path in sorted(folder().rglob("*.safetensors")):
        with safe_open(path, "pt") as file:
            if set(keys) <= set(file.keys()):
                settings = {name: json.loads(value) for name, value in (file.metadata() or {}).items()}
                found.append((path, {name: file.get_tensor(name) for name in file.keys()}, settings))  # noqa: SIM118
    assert found, f"no tensors {keys} in {folder()}"
    return found


def objects(*keys: str) -> list[tuple[Path, dict[str, Any]]]:
    """Every JSON object with all of ``keys``; there must be one."""
    files = [(path, json.loads(path.read_text())) for path in sorted(folder().rglob("*.json"))]
    found = [(path, content) for path, content in files if isinstance(content, dict) and set(keys) <= set(content)]
    assert found, f"no object with {keys} in {folder()}"
    return found


def load(
    module: nn.Module,
    tensors: dict[str, Tensor],
    our_key: Callable[[str], str | None],
    theirs: str = "",
    ours: str = "",
) -> nn.Module:
    """Fill a part of a network, which is called ``theirs`` and ``ours`` within it, with upstream's tensors."""
    state = {our_key(theirs + name).removeprefix(ours): tensor for name, tensor in tensors.items()}
    module.load_state_dict(state, strict=True)
    return module.eval()


def close(found: Tensor, expected: Tensor, **tolerance: float) -> None:
    torch.testing.assert_close(found.detach(), expected, check_dtype=False, **(tolerance or TOLERANCE))


def formula_weights(shapes: dict[str, Iterable[int]], salt: int) -> dict[str, Tensor]:
    """Weights of a network without a file of weights: a function of the sorted names alone."""
    weights = {}
    for number, name in enumerate(sorted(shapes)):
        shape = tuple(shapes[name])
        weights[name] = torch.from_numpy(_formula_weight(name, shape, number + salt)).reshape(shape)
    return weights


def _formula_weight(name: str, shape: tuple[int, ...], number: int) -> np.ndarray:
    last, size = name.rpartition(".")[2], int(np.prod(shape))
    if last == "num_batches_tracked":
        return np.zeros(1, np.int64)
    x = (np.arange(size, dtype=np.uint64) * 2654435761 + (number * 2654460389 + 97)) & MASK
    x = (x ^ x >> 15) * 2246822519 & MASK
    x = (x ^ x >> 13) * 3266489917 & MASK
    r = 2 * ((x ^ x >> 16) / 2.0**32 - 0.5)
    if last == "running_mean" or "bias" in last or last == "beta":
        value = 0.1 * r
    elif last == "running_var":
        value = 1 + 0.5 * r
    elif last == "gamma":
        value = 1 + 0.2 * r
    elif size == 1:
        value = np.full(1, 0.25)
    elif len(shape) == 1:
        value = 1 + 0.2 * r
    else:
        value = r * np.sqrt(3 / np.prod(shape[1:]))
    return value.astype(np.float32)


def first_values(weights: dict[str, Tensor], tensors: int = 8, values: int = 4) -> Tensor:
    """The first values of the first tensors that have as many and count nothing, in the order of names."""
    large = [weights[name] for name in sorted(weights) if weights[name].numel() >= values]
    return torch.cat([tensor.flatten()[:values] for tensor in large[:tensors]])


def formula_faces(frames: int) -> Tensor:
    """Faces (1, T, 112, 112) uint8 that belong to the formula weights."""
    return faces_of("4*x + 3*y + 9*t + (x*y)//16 + ((x-56)**2 + (y-56)**2)//(20 + t%7)", frames)


def faces_of(formula: str, frames: int) -> Tensor:
    """Faces (1, T, 112, 112) uint8 whose grey at frame t, row y and column x is a formula of whole numbers."""
    assert not set(formula) - set("xyt0123456789+-*/%() "), formula
    t, y, x = np.ogrid[:frames, :FACE, :FACE]
    grey = eval(formula, {"__builtins__": {}}, {"t": t, "y": y, "x": x}) % 256
    return torch.from_numpy(grey.astype(np.uint8)).unsqueeze(0)


def formula_cepstra(frames: int) -> Tensor:
    """Cepstra (1, 4 T, 13) that belong to the formula weights."""
    j = torch.arange(frames * 4 * 13)
    return (((37 * j) % 101 - 50) / 10).view(1, frames * 4, 13)
