"""Boxes find the box of their key that overlaps them most, and claim it once."""

import numpy as np

from metrics.box_matching import NONE, closest, first_come

SQUARE = np.array([[0.0, 0, 4, 4]])


def test_the_closest_box_is_one_of_the_same_key_and_the_first_of_equal_ones() -> None:
    others = np.array([[0.0, 0, 4, 4], [2, 0, 6, 4], [-2, 0, 2, 4], [-1, 0, 3, 4]])
    position, overlap = closest(np.array([3, 3, 1, 0, 9]), SQUARE.repeat(5, 0), np.array([1, 3, 3, 0]), others)
    assert position.tolist() == [1, 1, 0, 3, NONE]  # 1 and 2 overlap it alike
    np.testing.assert_allclose(overlap, [1 / 3, 1 / 3, 1, 0.6, 0])


def test_the_first_to_come_claims_a_box() -> None:
    position, overlap = np.array([0, 1, 0, 0, NONE]), np.array([0.4, 0.5, 0.9, 1.0, 0.0])
    assert first_come(position, overlap, 0.5).tolist() == [False, True, True, False, False]


def test_without_boxes_nothing_is_found() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert closest(nothing, np.zeros((0, 4)), np.array([0]), SQUARE)[0].tolist() == []
    assert closest(np.array([0]), SQUARE, nothing, np.zeros((0, 4)))[0].tolist() == [NONE]
