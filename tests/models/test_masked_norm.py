"""Norms know only of the rows that are there."""

import pytest
import torch
from torch import Tensor, nn

from models.masked_norm import GlobalNorm, MaskedBatchNorm, masked_mean

MASK = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1]], dtype=torch.bool)


def global_norm(width: int) -> GlobalNorm:
    norm = GlobalNorm(width)
    with torch.no_grad():
        norm.scale.normal_(generator=torch.Generator().manual_seed(0))
        norm.bias.normal_(generator=torch.Generator().manual_seed(1))
    return norm


def test_a_masked_batch_norm_of_maps_is_the_ordinary_one_of_the_columns_that_count() -> None:
    x = torch.randn(2, 3, 4, 5)
    masked, ordinary = MaskedBatchNorm(3), nn.BatchNorm1d(3)
    found = masked(x, MASK)
    columns = x.permute(0, 3, 1, 2)[MASK]  # (N, C, F)
    torch.testing.assert_close(found.permute(0, 3, 1, 2)[MASK], ordinary(columns))
    assert not found.permute(0, 3, 1, 2)[~MASK].any()
    for name, expected in ordinary.state_dict().items():
        torch.testing.assert_close(masked.state_dict()[name], expected)
    found = masked.eval()(x, MASK)
    torch.testing.assert_close(found.permute(0, 3, 1, 2)[MASK], ordinary.eval()(columns))
    assert not found.permute(0, 3, 1, 2)[~MASK].any()


def test_without_a_mask_it_is_the_ordinary_batch_norm_of_any_shape() -> None:
    x = torch.randn(2, 3, 4, 5)
    masked, ordinary = MaskedBatchNorm(3, eps=1e-3, momentum=0.01), nn.BatchNorm2d(3, eps=1e-3, momentum=0.01)
    torch.testing.assert_close(masked(x), ordinary(x))
    torch.testing.assert_close(masked.running_var, ordinary.running_var)


@pytest.mark.parametrize("x", [torch.randn(1, 3, 1), torch.randn(0, 3, 4, 4)])
def test_what_has_no_statistics_is_normalised_by_the_known_ones(x: Tensor) -> None:
    norm = MaskedBatchNorm(3)
    norm.running_mean.fill_(2.0)
    expected = norm.eval()(x)
    assert torch.equal(norm.train()(x), expected)
    assert torch.equal(norm.running_mean, torch.full((3,), 2.0))
    assert norm.num_batches_tracked == 0


def test_rows_that_do_not_count_change_no_gradient() -> None:
    gradients = []
    for filling in (0.0, 9.0):
        norm, x = MaskedBatchNorm(3), torch.linspace(-1, 1, 30).view(2, 3, 5).masked_fill(~MASK[:, None], filling)
        norm(x, MASK)[..., 0].square().sum().backward()
        gradients.append(torch.cat([norm.weight.grad, norm.bias.grad]))
    assert torch.equal(*gradients)
    assert gradients[0].any()


def test_a_global_norm_is_that_of_the_rows_that_count() -> None:
    norm, x = global_norm(3), torch.randn(2, 3, 5) * 3 + 1
    found = norm(x, MASK)
    for item, counted in enumerate(MASK):
        alone = x[item : item + 1, :, counted]
        mean, deviation = alone.mean(), alone.std(correction=0)
        torch.testing.assert_close(
            found[item : item + 1, :, counted], (alone - mean) / deviation * norm.scale + norm.bias
        )
        assert not found[item, :, ~counted].any()
    torch.testing.assert_close(norm(x, torch.ones_like(MASK)), norm(x))


def test_an_item_without_any_row_is_nothing_and_harmless() -> None:
    norm, x = global_norm(3), torch.randn(2, 3, 5, requires_grad=True)
    norm(x, MASK & torch.tensor([[True], [False]])).sum().backward()
    assert x.grad.isfinite().all()
    assert not x.grad[1].any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_global_norm_computes_in_float32_whatever_the_precision(dtype: torch.dtype) -> None:
    x = torch.randn(1, 4, 50) * 1e-3 + 1e-3  # of a variance that is 0 in float16
    norm = global_norm(4)
    expected = norm(x.to(dtype).float())
    found = norm.to(dtype)(x.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.02)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(global_norm(4)(x), global_norm(4)(x))
        assert global_norm(4)(x).dtype == torch.float32


@pytest.mark.parametrize("by_channel", [False, True])
def test_a_masked_mean_is_that_of_the_columns_that_count(by_channel: bool) -> None:
    x = torch.randn(2, 3, 4, 5)
    found = masked_mean(x, MASK, by_channel)
    for item, counted in enumerate(MASK):
        expected = x[item][..., counted].mean((1, 2) if by_channel else None)
        torch.testing.assert_close(found[item].flatten(), expected.flatten())
    torch.testing.assert_close(masked_mean(x, torch.ones_like(MASK), by_channel), masked_mean(x, None, by_channel))
