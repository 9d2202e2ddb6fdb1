"""Masks hide exactly what they say, as pure functions of noise."""

import pytest
import torch

from models.masking import (
    count_visible,
    gather_tokens,
    mask_from_visible,
    random_mask,
    running_cell_mask,
    sample_visible,
    split_tokens,
    tube_hidden_count,
    tube_mask,
    visible_count,
)

GRID = (4, 4, 6)
PLACES, N = 24, 96


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("ratio", "visible"), [(0.8, 313), (0.9, 156), (0.95, 78), (0.75, 392)])
def test_visible_tokens_are_counted_with_the_truncation_of_the_published_code(ratio: float, visible: int) -> None:
    assert visible_count(1568, ratio) == visible


def test_hidden_places_of_a_tube_are_rounded_down() -> None:
    assert tube_hidden_count((8, 14, 14), 0.9) == 176
    assert tube_hidden_count((8, 16, 16), 0.9) == 230


def test_random_masks_hide_the_same_number_in_every_sample_and_every_token_equally_often() -> None:
    masks = random_mask(noise(2000, N), 0.75)
    assert masks.dtype == torch.bool
    assert ((~masks).sum(1) == visible_count(N, 0.75)).all()
    assert masks.float().mean(0).sub(0.75).abs().max() < 0.05


def test_tubes_hide_the_same_places_in_every_slice_and_other_places_in_other_samples() -> None:
    masks = tube_mask(noise(50, PLACES), GRID, 0.75).view(50, 4, PLACES)
    assert (masks == masks[:, :1]).all()
    assert (masks[:, 0].sum(1) == 18).all()
    assert len(masks[:, 0].unique(dim=0)) == 50


def test_the_running_cell_moves_on_by_one_place_per_slice_and_keeps_each_place_once_in_four_slices() -> None:
    masks = running_cell_mask(noise(20), GRID, 0.75).view(20, 4, 4, 6)
    cells = masks.unflatten(3, (3, 2)).unflatten(2, (2, 2))  # B, T', rows of cells, row, columns of cells, column
    assert (cells == cells[:, :, :1, :, :1]).all()
    assert (masks.sum((2, 3)) == 18).all()
    assert ((~masks).sum(1) == 1).all()
    assert len(masks.flatten(1).unique(dim=0)) == 4


def test_the_running_cell_starts_and_turns_as_published() -> None:
    masks = running_cell_mask(torch.tensor([0.1, 0.3]), (4, 2, 2), 0.5).long().view(2, 4, 4).tolist()
    assert masks[0] == [[1, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 0]]
    assert masks[1] == masks[0][1:] + masks[0][:1]


def test_masks_are_functions_of_noise_alone() -> None:
    for make, shape in (
        (lambda u: random_mask(u, 0.8), (3, N)),
        (lambda u: tube_mask(u, GRID, 0.8), (3, PLACES)),
        (lambda u: running_cell_mask(u, GRID, 0.5), (3,)),
    ):
        whole = make(noise(*shape))
        assert torch.equal(make(noise(*shape)), whole)
        assert torch.equal(make(noise(*shape)[1:2]), whole[1:2])  # whatever else is in the batch


def test_draws_without_replacement_follow_the_probabilities() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    drawn = sample_visible(probabilities.log().expand(20000, 4), noise(20000, 4), 2)
    assert (drawn[:, 0] != drawn[:, 1]).all()
    first = torch.bincount(drawn[:, 0], minlength=4) / 20000
    assert (first - probabilities).abs().max() < 0.015
    for i in range(4):  # the second draw, given the first
        second = torch.bincount(drawn[drawn[:, 0] == i, 1], minlength=4) / (drawn[:, 0] == i).sum()
        expected = probabilities.clone()
        expected[i] = 0
        assert (second - expected / expected.sum()).abs().max() < 0.05


def test_noise_at_the_ends_of_its_range_gives_valid_draws() -> None:
    u = noise(3, N)
    u[:, :40], u[:, 40:50] = 0.0, 1 - 2**-24
    drawn = sample_visible(torch.zeros(3, N), u, 60)
    assert all(len(set(row)) == 60 for row in drawn.tolist())
    assert all({*range(40, 50)} <= set(row) for row in drawn.tolist())


def test_draws_take_no_part_in_the_gradient() -> None:
    logits = torch.zeros(2, N, requires_grad=True)
    assert not sample_visible(logits, noise(2, N), 5).requires_grad


def test_tokens_are_split_in_token_order() -> None:
    mask = random_mask(noise(5, N), 0.75)
    visible, hidden = split_tokens(mask, 24)
    for row, shown, covered in zip(mask, visible, hidden, strict=True):
        assert shown.tolist() == (~row).nonzero().flatten().tolist()
        assert covered.tolist() == row.nonzero().flatten().tolist()
    assert torch.equal(mask_from_visible(visible.flip(1), N), mask)


def test_gathered_tokens_are_those_at_the_index() -> None:
    tokens = torch.arange(24.0).view(2, 4, 3)
    assert gather_tokens(tokens, torch.tensor([[3, 0], [1, 1]])).tolist() == [
        [[9, 10, 11], [0, 1, 2]],
        [[15, 16, 17], [15, 16, 17]],
    ]


def test_masks_work_without_data() -> None:
    u = torch.empty(2, N, device="meta")
    mask = random_mask(u, 0.75)
    visible, hidden = split_tokens(mask, 24)
    assert (visible.shape, hidden.shape) == ((2, 24), (2, 72))
    assert tube_mask(u[:, :PLACES], GRID, 0.75).shape == running_cell_mask(u[:, 0], GRID, 0.5).shape == (2, N)


@pytest.mark.parametrize("ratio", [0.0, 1.0, 0.995, -0.1, 1.2])
def test_ratios_that_hide_nothing_or_everything_are_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match=f"mask_ratio={ratio}"):
        random_mask(noise(1, N), ratio)


@pytest.mark.parametrize("ratio", [0.0, 0.04, 1.0])
def test_tubes_that_hide_nothing_or_everything_are_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match=f"mask_ratio={ratio} hides"):
        tube_mask(noise(1, PLACES), GRID, ratio)


@pytest.mark.parametrize("ratio", [0.0, 0.2, 1.0])
def test_running_cells_hidden_whole_or_not_at_all_are_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match=f"decoder_mask_ratio={ratio}"):
        running_cell_mask(noise(1), GRID, ratio)


@pytest.mark.parametrize("grid", [(4, 3, 4), (4, 4, 3)])
def test_running_cells_on_odd_slices_are_refused(grid: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="even size only"):
        running_cell_mask(noise(1), grid, 0.5)


def test_masks_from_outside_are_checked() -> None:
    good = random_mask(noise(2, N), 0.75)
    assert count_visible(good, N, "encoder_mask") == 24
    unequal = good.clone()
    unequal[0, unequal[0].nonzero()[0]] = False
    with pytest.raises(ValueError, match=r"encoder_mask: every sample .* found \[25, 24\]"):
        count_visible(unequal, N, "encoder_mask")
    for wrong in (good.long(), good[:, 1:], good[0]):
        with pytest.raises(ValueError, match="expected bool of shape"):
            count_visible(wrong, N, "encoder_mask")
    for constant in (torch.ones_like(good), torch.zeros_like(good)):
        with pytest.raises(ValueError, match="neither all nor none"):
            count_visible(constant, N, "encoder_mask")
