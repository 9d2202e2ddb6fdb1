"""Regions, counts and, drawn in the published order, masks are those of the published generator."""

import random

import torch
from torch import Tensor

from models.interaction_masks import foreground_region, own_region, random_masks, upstream_masks
from tests.reference.fbil.numbers import documents


def cells(rows: list[str]) -> Tensor:
    return torch.tensor([[digit == "1" for digit in row] for row in rows])


def calls() -> list[dict]:
    def fits(content: object) -> bool:
        return isinstance(content, list) and all("foreground_rows" in each for each in content)

    return [call for _, content in documents(fits, "calls of a mask generator") for call in content]


def test_masks_are_the_published_ones() -> None:
    for call in calls():
        grid = call["h"], call["w"]
        boxes = torch.tensor(call["rois_xyxy_normalised"]) * torch.tensor(grid)[[1, 0, 1, 0]]
        assert len(boxes) == call["n"]
        own = own_region(torch.tensor([grid]), grid)
        foreground = foreground_region(boxes, torch.zeros(len(boxes), dtype=torch.int64), own)
        assert torch.equal(foreground[0], cells(call["foreground_rows"])), call
        assert (own & foreground).sum() == call["n_foreground"] and (own & ~foreground).sum() == call["n_background"]

        blocked = ((call["beta"], call["delta"]),) * 2
        generator = random.Random(call["python_random_seed"])
        drawn_first = upstream_masks(generator, foreground, own, torch.tensor([True]), blocked)[0, 1]
        assert torch.equal(drawn_first, cells(call["masked_rows"])), call

        masks = random_masks(torch.rand(50, 1, 2, *grid), foreground, own, blocked)
        assert ((masks & foreground).sum((-1, -2)) == call["n_masked_foreground"]).all()
        assert ((masks & ~foreground).sum((-1, -2)) == call["n_masked_background"]).all()
