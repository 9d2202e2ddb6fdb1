"""Tensors whose names get or lose a prefix."""

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def prefixed(tensors: Mapping[str, T], prefix: str) -> dict[str, T]:
    """All of them, with a prefix before their names."""
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def stripped(tensors: Mapping[str, T], prefix: str) -> dict[str, T]:
    """Those whose names have a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
