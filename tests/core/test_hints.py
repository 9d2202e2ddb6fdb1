"""Which plain values fit which annotations, in both spellings of unions."""

# ruff: noqa: UP007, UP045

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Optional, Union

import pytest
import torch

from core.command_line.hints import Instance, fits, spell


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (1, int),
        (1, float),
        (1e-3, float),
        ("a", str),
        (None, Optional[int]),
        (2, int | None),
        ("tube", Literal["tube", "random"]),
        ([1, 2], tuple[int, int]),
        ([1, 2, 3], tuple[int, ...]),
        ([0.9, 1], Sequence[float]),
        ({"a": 1}, dict[str, int]),
        ("x", Path),
        ({"_target_": "a.B"}, torch.nn.Module),
        ({"_target_": "a.f", "_partial_": True}, Callable[[int], int]),
        ([torch.nn.Identity()], list[Instance]),
        (3, Any),
        ("cpu", Union[str, torch.nn.Module]),
    ],
)
def test_what_fits(value: object, hint: object) -> None:
    assert fits(value, hint)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (True, int),
        (True, float),
        (1, bool),
        (1.5, int),
        ("1", float),
        (1, str),
        (None, int),
        ("tubes", Literal["tube", "random"]),
        (True, Literal[1, 2]),
        ([1], tuple[int, int]),
        ([1, "a"], tuple[int, ...]),
        (3, Sequence[int]),
        (3, torch.nn.Module),
        ("x", torch.Tensor),
        ("x", float | torch.Tensor),
        ({"_target_": "a.B"}, int),
        ("f", Callable[[int], int]),
        ([1], dict[str, int]),
        ("x", Instance),
    ],
)
def test_what_does_not_fit(value: object, hint: object) -> None:
    assert not fits(value, hint)


def test_annotations_are_spelled_as_people_speak() -> None:
    assert spell(int | None) == "a whole number or null"
    assert spell(Union[int, float, torch.Tensor]) == "a number"
    assert spell(Literal["a", "b"] | None) == "one of a, b or null"
    assert spell(tuple[int, int]) == "a list of 2 (a whole number, a whole number)"
