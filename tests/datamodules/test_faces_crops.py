"""Face crops: where they lie, what they hold, how boxes are smoothed along a track."""

import numpy as np
import pytest

from datamodules.faces.crops import OUTSIDE, crop, rectangles, to_grey
from datamodules.faces.smoothing import lagging, running_median

SIZE = (90, 120)
BOX = [40.0, 20.0, 70.0, 60.0]


def boxes(*rows: list[float]) -> np.ndarray:
    return np.array(rows)


def squares() -> np.ndarray:
    """A picture whose pixels differ, (90, 120)."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return ((2 * x + y) % 256).astype(np.uint8)


def test_the_box_itself_is_cut_out_in_whole_pixels() -> None:
    assert rectangles(boxes([40.7, 20.2, 70.9, 60.9]), "ava", *SIZE).tolist() == [[20, 60, 40, 70]]


def test_the_mouth_is_in_the_middle_of_the_lower_half() -> None:
    top, bottom, left, right = rectangles(boxes(BOX), "talkset", *SIZE)[0].tolist()
    half, (x, y) = 20, (55, 40)
    assert (top, bottom) == (y - half, y + int(1.8 * half)) and (left, right) == (
        x - int(1.4 * half),
        x + int(1.4 * half),
    )


@pytest.mark.parametrize("mode", ["talkset", "ego4d_upstream"])
def test_beyond_the_picture_is_grey(mode: str) -> None:
    black = np.zeros(SIZE, np.uint8)
    left, inside, below = ([-60.0, 20, -20, 60], [30.0, 20, 70, 60], [40.0, 200, 80, 240])
    faces = [crop(black, rectangles(boxes(box), mode, *SIZE)[0], mode, 112) for box in (left, inside, below)]
    assert [sorted(set(face.ravel().tolist())) for face in faces] == [[OUTSIDE], [0], [OUTSIDE]]


def test_a_box_that_leaves_the_picture_is_cut_at_its_edge() -> None:
    found = rectangles(boxes([-10.0, -5, 30, 40], [100.0, 80, 140, 100]), "ava", *SIZE)
    assert found.tolist() == [[0, 40, 0, 30], [80, 90, 100, 120]]


@pytest.mark.parametrize("box", [[-30.0, 20, -10, 50], [130.0, 20, 150, 50], [20.0, -40, 60, -10]])
def test_a_box_of_which_nothing_is_in_the_picture_is_black(box: list[float]) -> None:
    rectangle = rectangles(boxes(box), "ava", *SIZE)[0]
    assert not crop(np.full(SIZE, 200, np.uint8), rectangle, "ava", 32).any()


@pytest.mark.parametrize("mode", ["ava", "talkset", "ego4d_upstream"])
def test_a_box_without_area_is_a_pixel(mode: str) -> None:
    face = crop(squares(), rectangles(boxes([50.0, 40, 50, 40]), mode, *SIZE)[0], mode, 112)
    assert len(set(face.ravel().tolist())) == 1 and int(face[0, 0]) == int(squares()[40, 50])


@pytest.mark.parametrize("mode", ["ava", "talkset", "ego4d_upstream"])
@pytest.mark.parametrize("size", [112, 48, 20])
def test_faces_of_any_size_show_the_same(mode: str, size: int) -> None:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    smooth = (x + y).astype(np.uint8)
    rectangle = rectangles(boxes(BOX), mode, *SIZE)[0]
    small, large = crop(smooth, rectangle, mode, size), crop(smooth, rectangle, mode, 2 * size)
    means = large.reshape(size, 2, size, 2).mean((1, 3))
    assert small.shape == (size, size) and np.abs(small - means).max() <= 1.5


def test_small_faces_are_means_and_not_single_pixels() -> None:
    stripes = np.tile(np.array([0, 200], np.uint8), (SIZE[0], SIZE[1] // 2))
    face = crop(stripes, np.array([0, 56, 0, 56]), "ava", 14)
    assert np.abs(face.astype(int) - 100).max() <= 10


def test_colours_become_the_brightness_that_people_see() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    assert to_grey(colours).tolist() == [[76, 150, 29, 255]]
    assert crop(np.full((9, 9, 3), [10, 20, 30], np.uint8), np.array([0, 9, 0, 9]), "ava", 4)[0, 0] == 18


def test_a_track_of_one_frame_is_not_smoothed() -> None:
    one = boxes(BOX)
    assert len({tuple(rectangles(one, mode, *SIZE)[0].tolist()) for mode in ("talkset", "ego4d_upstream")}) == 1


def test_the_published_smoothing_lags_and_shrinks_at_the_ends_and_ours_does_not() -> None:
    moving = boxes(*([x, 20.0, x + 40, 60.0] for x in range(0, 80, 4)))
    ours, theirs = rectangles(moving, "talkset", *SIZE), rectangles(moving, "ego4d_upstream", *SIZE)
    centre = np.arange(20, 100, 4)
    middle = slice(6, -6)
    assert np.abs(ours[middle, 2:].mean(1) - centre[middle]).max() <= 1
    assert (centre[middle] - theirs[middle, 2:].mean(1)).min() >= 3
    heights = [found[:, 1] - found[:, 0] for found in (ours, theirs)]
    assert len(set(heights[0].tolist())) == 1
    growing = boxes(*([20.0, 20.0, 60.0 + 2 * t, 60.0 + 2 * t] for t in range(20)))
    ends = [rectangles(growing, mode, *SIZE)[-1] for mode in ("talkset", "ego4d_upstream")]
    assert ends[0][1] - ends[0][0] > ends[1][1] - ends[1][0] + 10


def test_a_median_repeats_the_ends_and_is_no_longer_than_the_track() -> None:
    assert running_median(np.array([1, 9, 2, 3, 3]), 3).tolist() == [1, 2, 3, 3, 3]
    assert running_median(np.array([5.0, 1.0]), 13).tolist() == [5, 1]
    assert running_median(np.array([5, 6, 7]), 3, ends="constant").tolist() == [5, 6, 6]
    with pytest.raises(ValueError, match="expected an odd kernel, found 4"):
        running_median(np.ones(9), 4)


def test_the_lag_mixes_neighbours_alone() -> None:
    assert lagging(np.array([0.0, 10, 0, 0])).tolist() == pytest.approx([0, 2, 8, 0])


def test_an_unknown_way_to_crop_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of ava, talkset, ego4d_upstream as crop, found 'face'"):
        rectangles(boxes(BOX), "face", *SIZE)
