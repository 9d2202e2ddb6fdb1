"""The learning rate of every step, as seen by the optimizer."""

import io
import logging

import pytest
import torch
from torch import nn

from core.schedules import epoch_decay, warmup_cosine, warmup_cosine_values


def adamw(lr: float = 1e-3, scale: float = 0.5) -> torch.optim.AdamW:
    """An optimizer with one group at its own rate and one at ``scale`` times it."""
    plain, scaled = nn.Linear(2, 2), nn.Linear(2, 2)
    groups = [{"params": plain.parameters()}, {"params": scaled.parameters(), "lr": lr * scale, "lr_scale": scale}]
    return torch.optim.AdamW(groups, lr=lr)


def rates(optimizer: torch.optim.Optimizer, scheduler, steps: int) -> list[list[float]]:
    """Learning rate of each group at each of the next ``steps`` optimisation steps."""
    seen = []
    for _ in range(steps):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return seen


def test_warm_up_includes_both_ends_and_the_final_value_is_not_reached():
    values = warmup_cosine_values(1.0, 0.1, 10, steps_per_epoch=5, warmup_epochs=1, start=0.2)
    assert values[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert values[5] == 1.0
    assert values == sorted(values[:6]) + sorted(values[6:], reverse=True)
    assert values[-1] > 0.1


def test_warm_up_in_steps_takes_precedence_over_epochs():
    by_steps = warmup_cosine_values(1.0, 0.0, 12, steps_per_epoch=4, warmup_epochs=2, warmup_steps=3)
    assert by_steps[2] == 1.0 and by_steps[4] < 1.0
    assert len(by_steps) == 12


def test_fraction_of_an_epoch_is_rounded_to_a_step():
    values = warmup_cosine_values(1.0, 0.0, 20, steps_per_epoch=10, warmup_epochs=0.34)
    assert values[:3] == pytest.approx([0.0, 0.5, 1.0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warmup_epochs": 0, "warmup_steps": 5}, "make warmup_epochs positive"),
        ({"warmup_epochs": 4}, "does not fit"),
        ({"warmup_epochs": -1}, "warmup_epochs=-1: expected"),
    ],
)
def test_a_table_that_the_published_schedule_cannot_make_is_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        warmup_cosine_values(1.0, 0.0, 15, steps_per_epoch=5, **options)


def test_each_step_uses_its_value_of_the_table_times_the_scale_of_the_group():
    optimizer = adamw()
    scheduler = warmup_cosine(optimizer, total_steps=20, steps_per_epoch=5, warmup_epochs=1, min_lr=1e-5, start_lr=1e-6)
    table = warmup_cosine_values(1e-3, 1e-5, 20, steps_per_epoch=5, warmup_epochs=1, start=1e-6)
    for (plain, scaled), value in zip(rates(optimizer, scheduler, 20), table, strict=True):
        assert plain == pytest.approx(value, rel=1e-12)
        assert scaled == pytest.approx(0.5 * value, rel=1e-12)


def test_training_beyond_the_table_stays_at_its_last_value():
    optimizer = adamw()
    scheduler = warmup_cosine(optimizer, total_steps=10, steps_per_epoch=5)
    seen = rates(optimizer, scheduler, 13)
    assert seen[9] == seen[10] == seen[12]
    assert seen[8] > seen[9]


def test_resumed_run_continues_the_same_rates_with_the_scale_of_each_group():
    whole, first, second = adamw(), adamw(), adamw()
    options = {"total_steps": 12, "steps_per_epoch": 4, "warmup_epochs": 1}
    expected = rates(whole, warmup_cosine(whole, **options), 12)
    scheduler = warmup_cosine(first, **options)
    rates(first, scheduler, 5)
    stored = io.BytesIO()
    torch.save({"optimizer": first.state_dict(), "scheduler": scheduler.state_dict()}, stored)
    stored.seek(0)
    state = torch.load(stored, weights_only=True)
    resumed = warmup_cosine(second, **options)
    second.load_state_dict(state["optimizer"])
    resumed.load_state_dict(state["scheduler"])
    assert rates(second, resumed, 7) == expected[5:]
    assert second.param_groups[1]["lr_scale"] == 0.5


def test_longer_training_on_resume_uses_its_own_table():
    first, second = adamw(), adamw()
    scheduler = warmup_cosine(first, total_steps=10, steps_per_epoch=5)
    rates(first, scheduler, 5)
    resumed = warmup_cosine(second, total_steps=30, steps_per_epoch=5)
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    long = warmup_cosine_values(1e-3, 0.0, 30, steps_per_epoch=5, warmup_epochs=1)
    assert rates(second, resumed, 3)[-1][0] == pytest.approx(long[7])


def test_training_that_ends_within_the_warm_up_is_warned_about(caplog):
    optimizer = adamw()
    with caplog.at_level(logging.WARNING):
        scheduler = warmup_cosine(optimizer, total_steps=3, steps_per_epoch=3, warmup_epochs=2)
    assert "optim.lr=0.001 is not reached" in caplog.text
    assert [plain for plain, _ in rates(optimizer, scheduler, 3)] == pytest.approx([0, 2e-4, 4e-4])


@pytest.mark.parametrize("total_steps", [float("inf"), -1, 0])
def test_training_without_an_end_is_refused(total_steps: float):
    with pytest.raises(ValueError, match=r"set trainer\.max_epochs"):
        warmup_cosine(adamw(), total_steps=total_steps, steps_per_epoch=5)


def test_zero_learning_rate_is_refused():
    with pytest.raises(ValueError, match=r"optim\.lr=0"):
        warmup_cosine(adamw(lr=0.0), total_steps=10, steps_per_epoch=5)


def test_the_rate_drops_by_the_same_factor_after_every_epoch_however_long_the_training():
    optimizer = adamw()
    seen = rates(optimizer, epoch_decay(optimizer, total_steps=4, steps_per_epoch=2, factor=0.5), 6)
    expected = [1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4, 2.5e-4]
    assert seen == [pytest.approx([rate, rate / 2]) for rate in expected]
