"""Features of boxes: two scales, the cells of a clip alone, and boxes that are hardly there."""

import pytest
import torch

from models.roi_features import Placement, box_extents, own_cells, pool_boxes, published_cells, to_cells

CLIP = torch.tensor([0, 1, 1])
BOXES = torch.tensor([[0.1, 0.2, 0.9, 0.8], [0.0, 0.0, 1.0, 1.0], [0.97, 0.9, 0.99, 1.0]])


def place(cells: torch.Tensor, grid: tuple[int, int]) -> Placement:
    return Placement(grid, cells, to_cells(BOXES, CLIP, cells.float()), CLIP)


def test_the_border_of_a_clip_is_that_of_its_last_cell_or_counted_in_pixels() -> None:
    size, padded, grid = torch.tensor([[256, 340], [256, 455]]), (256, 455), (16, 29)
    assert own_cells(size, 16, grid).tolist() == published_cells(size, padded, grid).tolist() == [[16, 22], [16, 29]]
    assert box_extents(size, 16, padded, grid, "cells").tolist() == [[16, 22], [16, 29]]
    assert box_extents(size, 16, padded, grid, "pixels").tolist() == [[16, 21.25], [16, 455 / 16]]
    assert box_extents(size, 16, padded, grid, "batch")[0, 1].item() == pytest.approx(29 * 340 / 455)


def test_what_lies_beyond_a_clip_is_as_if_not_there() -> None:
    features, cells = torch.rand(2, 4, 5, 6), torch.tensor([[5, 6], [3, 4]])
    pooled = pool_boxes(features, place(cells, (5, 6)), output=3)
    own = Placement((3, 4), cells[1:], place(cells, (5, 6)).boxes[1:], CLIP[1:] - 1)
    alone = pool_boxes(features[1:, :, :3, :4], own, output=3)
    assert torch.equal(pooled[1:], alone)
    features[1, :, 3:] = torch.nan
    features[1, :, :, 4:] = torch.nan
    assert torch.equal(pool_boxes(features, place(cells, (5, 6)), output=3), pooled)
    assert pool_boxes(features, place(cells, (5, 6)), output=3, cut=False).isnan().any()  # as published


def test_boxes_are_left_as_they_are() -> None:
    rois = BOXES.clone()
    scaled = to_cells(rois, CLIP, torch.tensor([[5.0, 6.0], [3.0, 4.0]]))
    assert torch.equal(rois, BOXES) and scaled[1].tolist() == [0, 0, 4, 3]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_coordinate_that_is_no_number_is_named(value: float) -> None:
    rois = BOXES.clone()
    rois[2, 1] = value
    with pytest.raises(ValueError, match=r"rois: expected finite coordinates, found \[.*\] for actor 2.* clip 1"):
        to_cells(rois, CLIP, torch.ones(2, 2))


@pytest.mark.parametrize("box", [[0.5] * 4, [1.0] * 4, [0.8, 0.8, 0.2, 0.2], [0.0, 0.0, 0.0, 1.0]])
@pytest.mark.parametrize("aligned", [False, True])
def test_a_degenerate_box_has_features(box: list[float], aligned: bool) -> None:
    features = torch.rand(1, 4, 5, 6, requires_grad=True)
    boxes = to_cells(torch.tensor([box]), torch.zeros(1, dtype=torch.int64), torch.tensor([[5.0, 6.0]]))
    placement = Placement((5, 6), torch.tensor([[5, 6]]), boxes, torch.zeros(1, dtype=torch.int64))
    pooled = pool_boxes(features, placement, 7, aligned)
    pooled.sum().backward()
    assert pooled.isfinite().all() and features.grad.isfinite().all()


def test_no_box_gives_no_features_but_gradients_of_zero() -> None:
    features = torch.rand(2, 4, 5, 6, requires_grad=True)
    placement = Placement((5, 6), torch.tensor([[5, 6], [3, 4]]), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    pooled = pool_boxes(features, placement, 7)
    pooled.sum().backward()
    assert pooled.shape == (0, 4) and not features.grad.any()
