"""Sorts by digits do what sorts by comparison do."""

import numpy as np
import pytest

from metrics.sorting import by_appearance, descending_ranks, stable_order


@pytest.mark.parametrize("highest", [1, 9, 300, 70_000, 5 * 10**9])
def test_positions_are_those_of_a_stable_sort_by_all_keys(highest: int) -> None:
    random = np.random.default_rng(0)
    keys = random.integers(0, highest, 5000), random.integers(0, 20, 5000)
    assert np.array_equal(stable_order(*keys), np.lexsort(keys))
    assert np.array_equal(stable_order(*keys[::-1]), np.lexsort(keys[::-1]))


def test_equal_values_share_a_rank_and_the_highest_is_first() -> None:
    assert descending_ranks(np.array([0.5, -1.0, 2.0, 0.5, 0.0, -0.0])).tolist() == [1, 3, 0, 1, 2, 2]


def test_values_are_numbered_as_they_appear() -> None:
    assert by_appearance(np.array([7, 2, 7, 0, 2, 9])).tolist() == [0, 1, 0, 2, 1, 3]


def test_nothing_is_in_order() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert [len(each) for each in (stable_order(nothing), by_appearance(nothing), descending_ranks(np.zeros(0)))] == [
        0
    ] * 3
