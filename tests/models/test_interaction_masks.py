"""Masks of interaction: shares of regions, uniform, never everything, and of own cells only."""

import random

import pytest
import torch
from torch import Tensor

from models.interaction_masks import foreground_region, own_region, random_masks, region_masks, upstream_masks

GRID = (6, 8)
PUBLISHED = ((0.2, 1.0), (0.9, 0.2))
CELLS = torch.tensor([[6, 8], [4, 5], [6, 8]])
CLIP = torch.tensor([0, 0, 1])  # the last clip has no actors
BOXES = torch.tensor([[1.2, 0.5, 2.6, 2.5], [3.0, 1.0, 4.5, 3.0], [1.0, 1.0, 2.0, 2.0]])


def regions() -> tuple[Tensor, Tensor]:
    own = own_region(CELLS, GRID)
    return foreground_region(BOXES, CLIP, own), own


def test_the_foreground_is_one_rectangle_around_all_or_twice_the_box_of_one() -> None:
    foreground, _ = regions()
    expected = torch.zeros(3, *GRID, dtype=torch.bool)
    expected[0, 0:4, 1:6] = True
    expected[1, 0:4, 0:4] = True  # 0.5 to 2.5, rounded outwards, and one more
    assert torch.equal(foreground, expected)


def test_the_order_of_actors_does_not_matter() -> None:
    order = torch.tensor([2, 1, 0])
    own = own_region(CELLS, GRID)
    assert torch.equal(foreground_region(BOXES[order], CLIP[order], own), regions()[0])


def test_shares_of_both_regions_are_blocked_and_all_that_is_not_own() -> None:
    foreground, own = regions()
    masks = random_masks(torch.rand(3, 2, *GRID), foreground, own, PUBLISHED)
    for clip in (0, 1):
        for branch, shares in enumerate(PUBLISHED):
            for region, share in zip((foreground[clip], own[clip] & ~foreground[clip]), shares, strict=True):
                assert masks[clip, branch][region].sum() == int(region.sum() * share)
    assert masks[~own.unsqueeze(1).expand_as(masks)].all()


def test_every_cell_of_a_region_is_blocked_equally_often() -> None:
    foreground, own = regions()
    draws, share = 4000, 0.3
    noise = torch.rand(draws, 3, 2, *GRID, generator=torch.Generator().manual_seed(0))
    masks = random_masks(noise, foreground, own, ((share, share),) * 2)
    for region in (foreground[0], ~foreground[0]):
        expected = int(region.sum() * share) / region.sum()
        spread = (expected * (1 - expected) / draws).sqrt()
        assert ((masks[:, 0, 0].float().mean(0)[region] - expected).abs() < 5 * spread).all()
        pairs = masks[:, 0, 0][:, region].float()
        assert (torch.corrcoef(pairs.T).fill_diagonal_(0).abs() < 0.15).all()  # no two cells go together


def test_without_chance_a_branch_sees_its_region_alone() -> None:
    foreground, own = regions()
    masks = region_masks(foreground, own, PUBLISHED)
    assert torch.equal(masks[:2, 0], ~foreground[:2])
    assert torch.equal(masks[:2, 1], ~own[:2] | foreground[:2])


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_no_branch_is_left_with_nothing_to_see(share: float) -> None:
    foreground, own = regions()
    blocked = ((1.0, 1.0), (share, 1.0))
    everywhere = own.clone()  # an actor that fills its clip
    for region in (foreground, everywhere, torch.zeros_like(own)):
        has_actors = torch.ones(3, dtype=torch.bool)
        for masks in (
            random_masks(torch.rand(3, 2, *GRID), region, own, blocked),
            region_masks(region, own, blocked),
            upstream_masks(random.Random(0), region, own, has_actors, blocked),
        ):
            seen = (~masks & own.unsqueeze(1)).flatten(2)
            assert seen.any(-1).all()
            assert torch.equal(seen[:, 0], own.flatten(1))  # all was blocked: all is seen


def test_noise_of_other_clips_does_not_matter() -> None:
    foreground, own = regions()
    noise = torch.rand(3, 2, *GRID)
    together = random_masks(noise, foreground, own, PUBLISHED)
    alone = random_masks(noise[1:2], foreground[1:2], own[1:2], PUBLISHED)
    assert torch.equal(together[1:2], alone)


def test_clips_without_actors_draw_nothing_in_the_published_order() -> None:
    foreground, own = regions()
    for_all, for_last = random.Random(1), random.Random(1)
    masks = upstream_masks(for_all, foreground[[2, 1]], own[[2, 1]], torch.tensor([False, True]), PUBLISHED)
    alone = upstream_masks(for_last, foreground[1:2], own[1:2], torch.tensor([True]), PUBLISHED)
    assert torch.equal(masks[1:], alone)
