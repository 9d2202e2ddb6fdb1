"""The linear scaling rule."""

import logging

import pytest

from core.optim import scale_to_batch


def test_reference_batch_scales_the_learning_rates_and_says_so(caplog):
    with caplog.at_level(logging.INFO):
        optim, scheduler, factor = scale_to_batch(
            {"lr": 1.5e-4, "weight_decay": 0.05, "reference_batch": 256},
            {"min_lr": 1e-5, "start_lr": 1e-6, "warmup_epochs": 40},
            total_batch=8,
        )
    assert factor == 8 / 256
    assert optim == {"lr": pytest.approx(1.5e-4 / 32), "weight_decay": 0.05}
    assert scheduler == {"min_lr": pytest.approx(1e-5 / 32), "start_lr": pytest.approx(1e-6 / 32), "warmup_epochs": 40}
    assert caplog.messages == ["optim.lr 0.00015 x 8/256 = 4.69e-06 (reference_batch=256)"]


def test_null_means_that_lr_is_the_real_peak(caplog):
    with caplog.at_level(logging.INFO):
        optim, scheduler, factor = scale_to_batch({"lr": 1e-3, "reference_batch": None}, {"min_lr": 1e-5}, 4096)
    assert (optim, scheduler, factor) == ({"lr": 1e-3}, {"min_lr": 1e-5}, 1.0)
    assert not caplog.messages


@pytest.mark.parametrize("scheduler", [None, {}])
def test_a_run_without_schedule_is_scaled_as_well(scheduler: dict | None):
    optim, unchanged, _ = scale_to_batch({"lr": 1e-3, "reference_batch": 256}, scheduler, 512)
    assert optim["lr"] == 2e-3
    assert unchanged == scheduler


def test_given_configs_are_not_changed():
    optim, scheduler = {"lr": 1e-3, "reference_batch": 256}, {"min_lr": 1e-5}
    scale_to_batch(optim, scheduler, 512)
    assert optim == {"lr": 1e-3, "reference_batch": 256}
    assert scheduler == {"min_lr": 1e-5}


@pytest.mark.parametrize("reference", [0, -256, 256.0, "256", True])
def test_reference_batch_that_is_no_batch_size_is_refused(reference: object):
    with pytest.raises(ValueError, match=r"optim\.reference_batch"):
        scale_to_batch({"lr": 1e-3, "reference_batch": reference}, None, 8)


def test_missing_learning_rate_is_named():
    with pytest.raises(ValueError, match=r"optim\.lr: expected a number"):
        scale_to_batch({"reference_batch": 256}, None, 8)
