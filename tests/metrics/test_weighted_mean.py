"""One number, however the data are cut and whatever the model is converted to."""

import pytest
import torch
from torch import nn

from metrics.weighted_mean import WeightedMean

VALUES = torch.rand(5000, generator=torch.Generator().manual_seed(0)) + 0.5
WEIGHTS = torch.rand(5000, generator=torch.Generator().manual_seed(1))
EXPECTED = float((VALUES.double() * WEIGHTS.double()).sum() / WEIGHTS.double().sum())


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_the_mean_does_not_depend_on_how_the_data_are_cut(size: int) -> None:
    metric = WeightedMean()
    for values, weights in zip(VALUES.split(size), WEIGHTS.split(size), strict=True):
        metric.update(values, weights)
    assert metric.compute().item() == pytest.approx(EXPECTED, rel=1e-7)


@pytest.mark.parametrize("convert", [nn.Module.half, nn.Module.bfloat16, lambda module: module.to(torch.bfloat16)])
def test_sums_stay_exact_in_a_model_of_half_precision(convert) -> None:
    metric = convert(nn.ModuleDict({"loss": WeightedMean()}))["loss"]
    for values, weights in zip(VALUES.split(10), WEIGHTS.split(10), strict=True):
        metric.update(values, weights)
    metric.reset()
    for values, weights in zip(VALUES.split(10), WEIGHTS.split(10), strict=True):
        metric.update(values, weights)
    assert metric.compute().dtype == torch.float32
    assert metric.compute().item() == pytest.approx(EXPECTED, rel=1e-7)


def test_bool_weights_choose() -> None:
    metric = WeightedMean()
    metric.update(VALUES, VALUES > 1)
    assert metric.compute().item() == pytest.approx(VALUES[VALUES > 1].mean().item(), rel=1e-6)


def test_without_weights_there_is_no_number() -> None:
    metric = WeightedMean()
    metric.update(VALUES, torch.zeros_like(VALUES))
    assert metric.compute().isnan()


def test_processes_are_added_up() -> None:
    shares = [WeightedMean(), WeightedMean()]
    for share, values, weights in zip(shares, VALUES.split(3000), WEIGHTS.split(3000), strict=True):
        share.update(values, weights)
    together = WeightedMean()
    for name, reduce in together._reductions.items():  # what torchmetrics does with the gathered states
        setattr(together, name, reduce(torch.stack([getattr(share, name) for share in shares])))
    together._update_count = 1
    assert together.compute().item() == pytest.approx(EXPECTED, rel=1e-7)
