"""The mean of what all tokens of all clips add, each with its weight."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from metrics.weighted_mean import WeightedMean

CLIPS, TOKENS = 500, 10
VALUES = torch.rand(CLIPS, TOKENS, generator=torch.Generator().manual_seed(0)) + 0.5
WEIGHTS = torch.rand(CLIPS, TOKENS, generator=torch.Generator().manual_seed(1))
EXPECTED = float((VALUES.double() * WEIGHTS.double()).sum() / WEIGHTS.double().sum())


def fed(metric: WeightedMean, values: Tensor, weights: Tensor, size: int = 1) -> WeightedMean:
    metric.expect(len(values))
    for index in torch.arange(len(values)).split(size):
        metric.update(index, values[index], weights[index])
    return metric


@pytest.mark.parametrize("size", [1, 7, CLIPS])
def test_the_mean_is_one_over_tokens_however_the_clips_are_cut(size: int) -> None:
    found = fed(WeightedMean(), VALUES, WEIGHTS, size).compute()
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(EXPECTED, rel=1e-12)


@pytest.mark.parametrize("convert", [nn.Module.half, nn.Module.bfloat16, lambda module: module.to(torch.bfloat16)])
def test_the_mean_stays_exact_in_a_model_of_half_precision(convert: Callable) -> None:
    metric = convert(nn.ModuleDict({"loss": WeightedMean()}))["loss"]
    assert fed(metric, VALUES, WEIGHTS).compute().item() == pytest.approx(EXPECTED, rel=1e-12)


def test_values_of_half_precision_are_added_exactly() -> None:
    values = VALUES.bfloat16()
    found = fed(WeightedMean(), values, torch.ones_like(values, dtype=torch.bool)).compute()
    assert found.item() == pytest.approx(values.double().mean().item(), rel=1e-12)


def test_bool_weights_choose() -> None:
    found = fed(WeightedMean(), VALUES, VALUES > 1).compute()
    assert found.item() == pytest.approx(VALUES[VALUES > 1].double().mean().item(), rel=1e-12)


def test_a_clip_may_have_a_single_value() -> None:
    found = fed(WeightedMean(), VALUES[:, 0], WEIGHTS[:, 0]).compute()
    expected = (VALUES[:, 0].double() * WEIGHTS[:, 0].double()).sum() / WEIGHTS[:, 0].double().sum()
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)


def test_without_weights_there_is_no_number() -> None:
    assert fed(WeightedMean(), VALUES, torch.zeros_like(VALUES)).compute().isnan()
