"""Pooling over tokens against the same computed by hand."""

import pytest
import torch

from callbacks.pooling import axes_of_a_clip, pool_clips

TOKENS = torch.tensor([[[1.0, 10.0], [2.0, -10.0], [6.0, 3.0]]])


def test_mean_std_max_are_three_rows_in_this_order_with_the_unbiased_deviation() -> None:
    pooled = pool_clips(TOKENS, "mean_std_max")
    mean = [3.0, 1.0]
    std = [((4 + 1 + 9) / 2) ** 0.5, ((81 + 121 + 4) / 2) ** 0.5]
    assert torch.allclose(pooled, torch.tensor([[mean, std, [6.0, 10.0]]]))
    assert axes_of_a_clip(3, "mean_std_max") == ("statistic", "channel")


def test_the_mean_is_over_tokens_and_of_a_vector_the_vector_itself() -> None:
    assert pool_clips(TOKENS, "mean").tolist() == [[3.0, 1.0]]
    assert torch.equal(pool_clips(TOKENS[:, 0], "mean"), TOKENS[:, 0])
    assert axes_of_a_clip(3, "mean") == axes_of_a_clip(2, "mean") == ("channel",)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 2, 4, 5)])
def test_the_positions_of_a_map_are_its_tokens(shape: tuple[int, ...]) -> None:
    features = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    positions = tuple(range(2, len(shape)))
    assert torch.allclose(pool_clips(features, "mean"), features.mean(positions))
    tokens = pool_clips(features, "tokens")
    assert torch.equal(tokens[1, 0], features[(1, slice(None), *(0 for _ in positions))])
    assert torch.equal(tokens[1, -1], features[(1, slice(None), *(-1 for _ in positions))])
    spread = pool_clips(features, "mean_std_max")
    assert torch.allclose(spread[:, 1], features.flatten(2).var(2).sqrt())
    assert torch.equal(spread[:, 2], features.amax(positions))


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((2, 3), ("channel",)),
        ((2, 4, 3), ("token", "channel")),
        ((2, 3, 4, 5), ("channel", "height", "width")),
        ((2, 3, 2, 4, 5), ("channel", "time", "height", "width")),
    ],
)
def test_none_keeps_everything_as_it_is(shape: tuple[int, ...], axes: tuple[str, ...]) -> None:
    features = torch.randn(shape)
    assert torch.equal(pool_clips(features, "none"), features)
    assert axes_of_a_clip(len(shape), "none") == axes and len(axes) == len(shape) - 1


def test_half_precision_is_pooled_in_float32() -> None:
    tokens = torch.full((1, 3001, 1), 1.0, dtype=torch.bfloat16)
    tokens[0, 0] = 4.0
    mean, std, _ = pool_clips(tokens, "mean_std_max")[0, :, 0].tolist()
    assert mean == pytest.approx(1 + 3 / 3001, rel=1e-6)
    assert std == pytest.approx(3 / 3001**0.5, rel=1e-4)


@pytest.mark.parametrize("pool", ["tokens", "mean_std_max"])
def test_a_vector_has_no_tokens(pool: str) -> None:
    with pytest.raises(ValueError, match=rf"pool={pool}: expected tokens .*found one vector \(2, 3\) per clip"):
        pool_clips(torch.zeros(2, 3), pool)


def test_one_token_has_no_deviation() -> None:
    with pytest.raises(ValueError, match="one token per clip"):
        pool_clips(torch.zeros(2, 1, 3), "mean_std_max")


@pytest.mark.parametrize("shape", [(2,), (2, 3, 1, 1, 1, 1)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(B, C\), \(B, N, C\) or a feature map"):
        pool_clips(torch.zeros(shape), "mean")
