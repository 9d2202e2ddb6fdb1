"""Boxes follow the pixels through every view, and jitter keeps to its bounds."""

import numpy as np
import pytest
import torch

from datamodules.actor_boxes import Framing, follow, jittered
from datamodules.crops import View
from datamodules.transforms import transform_boxes, transform_clip

HEIGHT, WIDTH = 40, 60
CHAINS = {
    "resized and mirrored": [View(0, 0, HEIGHT, WIDTH, (20, 30), mirrored=True)],
    "resized, mirrored, cropped": [
        View(0, 0, HEIGHT, WIDTH, (80, 120), mirrored=True),
        View(10, 30, 50, 50, (50, 50)),
    ],
    "cropped twice, mirrored twice": [
        View(4, 10, 32, 40, (32, 40), mirrored=True),
        View(2, 4, 24, 30, (48, 60), mirrored=True),
    ],
}


@pytest.mark.parametrize("views", CHAINS.values(), ids=CHAINS)
def test_a_marked_rectangle_is_found_where_its_box_says(views: list[View]) -> None:
    frame = torch.zeros(1, 1, HEIGHT, WIDTH)
    frame[..., 12:28, 20:40] = 1
    box = np.array([[20 / WIDTH, 12 / HEIGHT, 40 / WIDTH, 28 / HEIGHT]])
    seen = transform_clip(frame, views)[0, 0] > 0.5
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    moved, kept = follow(box, Framing.of(views, HEIGHT, WIDTH))
    height, width = views[-1].size
    found = moved[0] * [width, height, width, height]
    marked = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert kept.all() and np.abs(found - np.array([float(side) for side in marked])).max() <= 1
    pixels, _ = transform_boxes(torch.from_numpy(box * [WIDTH, HEIGHT, WIDTH, HEIGHT]), views)
    np.testing.assert_allclose(found, pixels[0], atol=1e-9)


def test_a_box_is_dropped_when_too_little_of_it_is_visible() -> None:
    boxes = np.array([[0.0, 0.0, 0.5, 1.0], [0.4, 0.0, 0.6, 1.0], [0.6, 0.2, 0.9, 0.4]])
    right_half = Framing(x1=0.5)
    assert follow(boxes, right_half)[1].tolist() == [False, True, True]
    assert follow(boxes, right_half, 0.49)[1].tolist() == [False, True, True]
    assert follow(boxes, right_half, 0.51)[1].tolist() == [False, False, True]
    np.testing.assert_allclose(follow(boxes, right_half)[0][1:], [[0, 0, 0.2, 1], [0.2, 0.2, 0.8, 0.4]])


def test_jitter_stays_within_its_bounds_and_the_frame() -> None:
    boxes = np.array([[0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 1.0, 1.0]])
    noise = np.random.default_rng(0).uniform(-1, 1, (50, 2, 4))
    moved = jittered(boxes, noise, 0.075)
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    assert (np.abs(moved - boxes) <= 0.075 * sides + 1e-12).all() and moved.min() >= 0 and moved.max() <= 1
    assert (np.abs(moved - boxes).max(0)[0] > 0.9 * 0.075 * sides[0]).all()
    assert np.array_equal(jittered(boxes, np.zeros((2, 4)), 0.075), boxes)
