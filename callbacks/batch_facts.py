"""What is worth knowing about a batch that led to trouble, as plain values."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

_MEASURED = ("min", "max", "mean", "non_finite")


class BatchFacts:
    """Identities and statistics of a batch, worked out when they are asked for.

    Args:
        batch: As the task gets it: a mapping, a sequence or a tensor. First dimensions count samples.
    """

    def __init__(self, batch: Any) -> None:
        self._parts: dict[str, Any] = dict(_named(batch))
        self._measured: dict[str, Tensor] = {}

    def let_go(self) -> None:
        """Measure large tensors now, on their device and without waiting for it, and keep the measures alone."""
        for name, value in list(self._parts.items()):
            if _is_large(value):
                self._measured[name] = measure(self._parts.pop(name))

    def told(self) -> dict[str, Any]:
        """Text and whole numbers as they are; of other tensors min, max and mean of finite values per sample.

        ``non_finite`` is how many values of a sample are NaN or infinite.
        """
        self.let_go()
        measured = {
            name: {kind: row.tolist() for kind, row in zip(_MEASURED, rows.cpu(), strict=True)}
            for name, rows in self._measured.items()
        }
        parts = {name: value.tolist() if isinstance(value, Tensor) else value for name, value in self._parts.items()}
        return plain(parts | measured)


def _named(batch: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(batch, Mapping):
        yield from ((str(name), value) for name, value in batch.items())
    elif isinstance(batch, Sequence) and not isinstance(batch, str):
        yield from ((str(index), value) for index, value in enumerate(batch))
    else:
        yield "batch", batch


def _is_large(value: Any) -> bool:
    """Pixels, samples of sound, boxes and the like; not labels, frame numbers and indices."""
    return isinstance(value, Tensor) and value.ndim > 0 and (value.is_floating_point() or value.ndim > 2)


def measure(value: Tensor) -> Tensor:
    """Smallest, largest and mean finite value, and number of others, of each sample.

    Args:
        value: (B, ...), any type.

    Returns:
        (4, B) float64; infinite where a sample has no finite value.
    """
    size = math.prod(value.shape[1:])
    flat = value.detach().reshape(len(value), size).float()
    if size == 0:  # no boxes, say; torch finds no smallest of nothing
        flat = flat.new_full((len(value), 1), math.nan)
    finite = flat.isfinite()
    count = finite.sum(1)
    smallest = flat.where(finite, math.inf).amin(1)
    largest = flat.where(finite, -math.inf).amax(1)
    mean = flat.where(finite, 0.0).sum(1, dtype=torch.float64) / count
    return torch.stack([smallest.double(), largest.double(), mean, (size - count).double()])


def plain(value: Any) -> Any:
    """Make JSON of ``value``: NaN and infinities become words, what JSON does not know becomes its text."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, Tensor):
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
