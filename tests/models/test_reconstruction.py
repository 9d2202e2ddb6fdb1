"""Targets, pictures and losses of masked pretraining."""

import pytest
import torch

from models.masking import gather_tokens
from models.reconstruction import (
    denormalise,
    flat_cubes,
    normalised_targets,
    patchify,
    reconstruction_loss,
    sampling_loss,
    token_errors,
    unpatchify,
)

TUBELET, GRID = (2, 4, 8), (2, 3, 2)


def pixels() -> torch.Tensor:
    return torch.rand(2, 3, 4, 12, 16, generator=torch.Generator().manual_seed(0))


def test_cubes_are_in_token_order_with_the_channel_fastest() -> None:
    cubes = patchify(pixels(), TUBELET)
    assert cubes.shape == (2, 12, 2 * 4 * 8 * 3)
    time, row, column = 1, 2, 1
    cube = pixels()[:, :, 2:4, 8:12, 8:16]  # (B, 3, t, h, w)
    assert torch.equal(cubes[:, time * 6 + row * 2 + column], cube.permute(0, 2, 3, 4, 1).flatten(1))


def test_cutting_and_joining_are_inverse() -> None:
    assert torch.equal(unpatchify(patchify(pixels(), TUBELET), GRID, TUBELET), pixels())


def test_targets_have_zero_mean_and_unit_unbiased_variance_per_cube_and_channel() -> None:
    targets = normalised_targets(pixels(), TUBELET).unflatten(2, (-1, 3))
    assert targets.mean(2).abs().max() < 1e-5
    assert (targets.var(2, unbiased=True) - 1).abs().max() < 1e-4


def test_targets_stay_in_single_precision_without_gradient() -> None:
    clip = pixels().requires_grad_()
    expected = normalised_targets(clip, TUBELET)
    assert not expected.requires_grad
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(normalised_targets(clip, TUBELET), expected)
    assert normalised_targets(clip.half(), TUBELET).dtype == torch.float32


def test_epsilon_is_added_to_the_standard_deviation() -> None:
    clip = torch.full((1, 3, 2, 4, 8), 0.5)
    clip[..., 0, 0] = 0.5 + 1 / 255  # one column of one row, of both frames: std far above epsilon
    std = clip[0, 0].std()
    target = normalised_targets(clip, TUBELET, eps=0.5).view(2, 4, 8, 3)
    torch.testing.assert_close(target[0, 0, 0], ((clip - clip.mean()) / (std + 0.5))[0, :, 0, 0, 0])


def test_near_flat_cubes_get_full_weight_targets_unless_left_out() -> None:
    clip = torch.full((1, 3, 4, 12, 16), 0.5)
    clip[:, :, 0, 0, 0] += 1 / 255  # one pixel of the first cube, by one grey level
    clip[:, 1, 2:, 8:, 8:] = pixels()[:1, 1, 2:, 8:, 8:]  # one channel of the last cube
    assert normalised_targets(clip, TUBELET)[0, 0].max() > 7
    assert flat_cubes(clip, TUBELET, 1 / 255)[0].tolist() == [True] * 11 + [False]
    assert flat_cubes(clip, TUBELET, 1e-4)[0].tolist() == [False] + [True] * 10 + [False]
    assert not flat_cubes(clip, TUBELET, 0.0).any()


def test_denormalising_targets_gives_the_pixels_back() -> None:
    targets = normalised_targets(pixels(), TUBELET)
    torch.testing.assert_close(denormalise(targets, pixels(), TUBELET), patchify(pixels(), TUBELET))
    index = torch.tensor([[3, 0, 11], [5, 5, 2]])
    some = denormalise(gather_tokens(targets, index), pixels(), TUBELET, index)
    torch.testing.assert_close(some, gather_tokens(patchify(pixels(), TUBELET), index))


def test_errors_are_mean_squares_in_single_precision() -> None:
    prediction, target = torch.tensor([[[1.0, 2.0], [3.0, 5.0]]]), torch.tensor([[[0.0, 0.0], [3.0, 3.0]]])
    errors = token_errors(prediction.bfloat16(), target)
    assert errors.dtype == torch.float32
    assert errors.tolist() == [[2.5, 2.0]]


def test_the_loss_averages_the_tokens_that_count_over_the_batch() -> None:
    errors = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    counted = torch.tensor([[True, False, False], [True, True, True]])
    assert reconstruction_loss(errors, counted).item() == 4.0  # (1 + 4 + 5 + 6) / 4, not the mean of per-sample means
    assert reconstruction_loss(errors, torch.zeros_like(counted)).item() == 0.0


def test_the_sampling_loss_rewards_showing_what_is_hard_and_moves_the_sampler_alone() -> None:
    logits = torch.zeros(1, 4, requires_grad=True)
    errors = torch.tensor([[1.0, 3.0]], requires_grad=True)
    index = torch.tensor([[2, 0]])
    loss = sampling_loss(logits.log_softmax(1), errors, index)
    assert loss.item() == pytest.approx(torch.log(torch.tensor(4.0)).item() * 2)
    loss.backward()
    assert errors.grad is None
    assert logits.grad[0].argmin() == 0  # a step against the gradient raises the hardest token most
    assert logits.grad[0, 0] < logits.grad[0, 2] < logits.grad[0, 1]


def test_the_sampling_loss_can_leave_tokens_out() -> None:
    log_probability = torch.tensor([[-1.0, -2.0, -4.0]])
    errors, index = torch.tensor([[1.0, 1.0]]), torch.tensor([[0, 2]])
    assert sampling_loss(log_probability, errors, index).item() == 2.5
    assert sampling_loss(log_probability, errors, index, torch.tensor([[False, True]])).item() == 4.0
