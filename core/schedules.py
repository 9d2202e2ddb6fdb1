"""Learning-rate schedules, given as one value per optimisation step."""

import logging
import math
from collections.abc import Sequence
from typing import Annotated

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from core.errors import ConfigError

log = logging.getLogger(__name__)


def warmup_cosine_values(
    peak: float,
    final: float,
    total_steps: int,
    *,
    steps_per_epoch: int,
    warmup_epochs: float = 0,
    warmup_steps: int = 0,
    start: float = 0.0,
) -> list[float]:
    """Tabulate a linear warm-up followed by half a cosine, one value per step.

    With S = ``total_steps`` and W warm-up steps, the first W values run evenly from ``start`` to ``peak``, both
    included, so the peak occurs twice; value W + i is final + (peak - final) / 2 (1 + cos(pi i / (S - W))), so
    ``final`` itself is not reached. The table of MCG-NJU/VideoMAE and OpenGVLab/VideoMAEv2 (``cosine_scheduler``).

    Args:
        peak: Value at the end of the warm-up.
        final: Value that the cosine approaches.
        total_steps: S, optimisation steps of the whole training.
        steps_per_epoch: Optimisation steps in one epoch; turns ``warmup_epochs`` into steps.
        warmup_epochs: Length of the warm-up in epochs; fractions are rounded to a whole step.
        warmup_steps: Length of the warm-up in steps; takes precedence over ``warmup_epochs`` when positive.
        start: Value of the first step when there is a warm-up.

    Returns:
        S values.

    Raises:
        ConfigError: Where the published schedule fails too: for ``warmup_steps`` with ``warmup_epochs`` = 0 and for a
            warm-up that is longer than the training; also for negative ``warmup_epochs``.
    """
    if warmup_epochs < 0:
        raise ConfigError(f"scheduler.warmup_epochs={warmup_epochs:g}: expected 0 or a positive number")
    if warmup_steps > 0 and warmup_epochs == 0:
        raise ConfigError(
            f"scheduler.warmup_steps={warmup_steps} replaces the length of a warm-up and warmup_epochs is 0: "
            "make warmup_epochs positive or warmup_steps 0"
        )
    warmup = warmup_length(steps_per_epoch, warmup_epochs, warmup_steps)
    if warmup > total_steps:
        raise ConfigError(f"a warm-up of {warmup} steps does not fit into a training of {total_steps} steps")
    rise = [start + (peak - start) * (step / (warmup - 1) if warmup > 1 else 0.0) for step in range(warmup)]
    fall = total_steps - warmup
    return rise + [final + 0.5 * (peak - final) * (1 + math.cos(math.pi * i / fall)) for i in range(fall)]


def warmup_length(steps_per_epoch: int, warmup_epochs: float, warmup_steps: int) -> int:
    """Steps of the warm-up: ``warmup_steps`` when positive, else ``warmup_epochs`` epochs."""
    return warmup_steps if warmup_steps > 0 else round(warmup_epochs * steps_per_epoch)


def warmup_cosine(
    optimizer: Optimizer,
    total_steps: int,
    steps_per_epoch: int,
    warmup_epochs: Annotated[float, "warmup_epochs >= 0"] = 1.0,
    warmup_steps: Annotated[int, "warmup_steps >= 0"] = 0,
    min_lr: Annotated[float, "min_lr >= 0"] = 0.0,
    start_lr: Annotated[float, "start_lr >= 0"] = 0.0,
) -> LambdaLR:
    """Make a schedule that sets the learning rates before each step to the values of ``warmup_cosine_values``.

    The table is made for the optimizer's own ``lr``; every parameter group follows it in proportion to the rate it
    starts with, so that layer-wise rates (``tasks/parameter_groups.py``) keep their ratio at every step, also after
    a resume. A training that goes on beyond the table stays at its last value. A training that ends within the warm-up
    (one epoch of a recipe with 40 epochs of warm-up, tried out) is let through with a warning.

    Args:
        optimizer: Its default ``lr`` is the peak of the schedule.
        total_steps: Optimisation steps of the whole training.
        steps_per_epoch: Optimisation steps in one epoch.
        warmup_epochs: Length of the warm-up in epochs.
        warmup_steps: Length of the warm-up in steps; takes precedence when positive.
        min_lr: Learning rate that the cosine approaches, for a group that starts with the optimizer's ``lr``.
        start_lr: Learning rate of the first step, likewise.

    Returns:
        A scheduler to be stepped once after each optimisation step.

    Raises:
        ConfigError: For a training without a known end, a peak of 0, and as in ``warmup_cosine_values``.
    """
    peak, total_steps = _peak_and_length(optimizer, total_steps)
    table_steps = max(total_steps, warmup_length(steps_per_epoch, warmup_epochs, warmup_steps))
    if table_steps > total_steps:
        log.warning(
            "scheduler: the warm-up takes %d steps and the training ends after %d, so optim.lr=%g is not reached",
            table_steps,
            total_steps,
            peak,
        )
    values = warmup_cosine_values(
        peak,
        min_lr,
        table_steps,
        steps_per_epoch=steps_per_epoch,
        warmup_epochs=warmup_epochs,
        warmup_steps=warmup_steps,
        start=start_lr,
    )
    return _following(optimizer, values, peak)


def _peak_and_length(optimizer: Optimizer, total_steps: float) -> tuple[float, int]:
    """The peak of the learning rate and the steps of the training, which must both be known."""
    peak = float(optimizer.defaults["lr"])
    if peak <= 0:
        raise ConfigError(f"optim.lr={peak:g}: a schedule with a warm-up needs a positive learning rate")
    if not math.isfinite(total_steps) or total_steps < 1:
        raise ConfigError(
            f"a schedule needs to know where the training ends, found {total_steps} steps: "
            "set trainer.max_epochs or trainer.max_steps, or scheduler=none"
        )
    return peak, int(total_steps)


def _following(optimizer: Optimizer, values: Sequence[float], peak: float) -> LambdaLR:
    """A schedule that follows a table made for ``peak``, and stays at its end."""
    # A plain function on purpose: torch would store the attributes of a callable object in the checkpoint and a
    # resumed run of another length would silently keep the old table.
    return LambdaLR(optimizer, lambda step: values[min(step, len(values) - 1)] / peak)


def warmup_steps_decay_values(
    peak: float,
    total_steps: int,
    *,
    steps_per_epoch: int,
    warmup_epochs: float,
    start: float,
    milestones: Sequence[float],
    factor: float,
) -> list[float]:
    """Tabulate a linear warm-up followed by steps down, one value per step.

    With W warm-up steps, value i < W is start + (peak - start) i / W, so that the peak comes right after the warm-up;
    from each milestone on values are ``factor`` times as large. The table of Siyu-C/ACAR-Net and
    CKK-coder/FBI-Learning, who call ``start`` base_lr and the peak warmup_lr.

    Args:
        peak: Value at the end of the warm-up.
        total_steps: Optimisation steps of the whole training.
        steps_per_epoch: Optimisation steps in one epoch; turns epochs into steps.
        warmup_epochs: Length of the warm-up, rounded to a whole step; may be 0.
        start: Value of the first step when there is a warm-up.
        milestones: Epochs after which values drop, ascending and not within the warm-up; may be fractions.
        factor: By which they drop.

    Returns:
        One value per step.

    Raises:
        ConfigError: For milestones out of order or within the warm-up.
    """
    if list(milestones) != sorted(milestones) or any(milestone < warmup_epochs for milestone in milestones):
        raise ConfigError(
            f"scheduler.milestones={list(milestones)}: expected epochs in ascending order, none before the end of the "
            f"warm-up after {warmup_epochs:g}"
        )
    warmup = warmup_length(steps_per_epoch, warmup_epochs, 0)
    drops = [round(milestone * steps_per_epoch) for milestone in milestones]
    rise = [start + (peak - start) * step / warmup for step in range(min(warmup, total_steps))]
    level = [peak * factor ** sum(drop <= step for drop in drops) for step in range(warmup, total_steps)]
    return rise + level


def warmup_steps_decay(
    optimizer: Optimizer,
    total_steps: int,
    steps_per_epoch: int,
    warmup_epochs: Annotated[float, "warmup_epochs >= 0"] = 1.0,
    start_lr: Annotated[float, "start_lr >= 0"] = 0.0,
    milestones: Sequence[float] = (),
    factor: Annotated[float, "factor > 0"] = 0.1,
) -> LambdaLR:
    """Make a schedule that sets the learning rates before each step to the values of `warmup_steps_decay_values`.

    Args:
        optimizer: Its default ``lr`` is the peak; groups follow in proportion to the rate they start with.
        total_steps: Optimisation steps of the whole training.
        steps_per_epoch: Optimisation steps in one epoch.
        warmup_epochs: Length of the warm-up in epochs.
        start_lr: Learning rate of the first step, for a group that starts with the optimizer's ``lr``.
        milestones: Epochs after which the learning rate drops.
        factor: By which it drops.

    Raises:
        ConfigError: For a training without a known end, a peak of 0, and as in `warmup_steps_decay_values`.
    """
    peak, total_steps = _peak_and_length(optimizer, total_steps)
    values = warmup_steps_decay_values(
        peak,
        total_steps,
        steps_per_epoch=steps_per_epoch,
        warmup_epochs=warmup_epochs,
        start=start_lr,
        milestones=milestones,
        factor=factor,
    )
    return _following(optimizer, values, peak)


def epoch_decay(
    optimizer: Optimizer, total_steps: int, steps_per_epoch: int, factor: Annotated[float, "0 < factor <= 1"] = 0.95
) -> LambdaLR:
    """Make a schedule whose learning rates drop by the same factor after every epoch: lr * factor ** epoch.

    TaoRuijie/TalkNet-ASD, Junhua-Liao/Light-ASD and LR-ASD.

    Args:
        optimizer: Its groups start with the rates that they have.
        total_steps: Does not matter: training may go on for as long as it likes.
        steps_per_epoch: Optimisation steps in one epoch.
        factor: By which they drop.
    """
    # A plain function, as in `_following`.
    return LambdaLR(optimizer, lambda step: factor ** (step // steps_per_epoch))
