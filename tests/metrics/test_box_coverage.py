"""Shares of cells that boxes cover."""

import pytest
import torch

from metrics.box_coverage import box_coverage
from metrics.faithfulness import energy_inside


def test_a_cell_is_covered_as_far_as_the_box_reaches_into_it() -> None:
    [found] = box_coverage(torch.tensor([[0.25, 0.0, 0.625, 0.75]]), (2, 4))
    assert found.tolist() == [[0, 1, 0.5, 0], [0, 0.5, 0.25, 0]]


def test_all_covered_cells_are_the_area_of_the_box_and_what_is_beyond_counts_nowhere() -> None:
    boxes = torch.tensor([[0.11, 0.2, 0.93, 0.35], [-1.0, -1.0, 2.0, 2.0], [0.5, 0.5, 0.5, 0.9], [1.2, 0.0, 1.4, 1.0]])
    found = box_coverage(boxes, (7, 5))
    assert found.mean((1, 2)).tolist() == pytest.approx([0.82 * 0.15, 1.0, 0.0, 0.0])
    assert (found >= 0).all() and (found <= 1).all()


def test_of_evidence_that_is_the_same_everywhere_the_share_of_the_area_lies_in_a_box() -> None:
    region = box_coverage(torch.tensor([[0.1, 0.2, 0.4, 0.9]]), (3, 4)).unsqueeze(1)
    assert energy_inside(torch.ones(1, 6, 3, 4), region.expand(1, 6, 3, 4)).item() == pytest.approx(0.3 * 0.7)
