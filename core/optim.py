"""The linear scaling rule: learning rates given for a reference batch, applied visibly."""

import logging
from typing import Any

from core.errors import ConfigError

log = logging.getLogger(__name__)
SCALED_WITH_LR = ("min_lr", "start_lr")  # absolute learning rates among the arguments of a schedule


def scale_to_batch(
    optim: dict[str, Any], scheduler: dict[str, Any] | None, total_batch: int
) -> tuple[dict[str, Any], dict[str, Any] | None, float]:
    """Take ``reference_batch`` out of the optimizer's config and scale the learning rates by it.

    With ``reference_batch`` = null ``lr`` is the real peak value. Otherwise ``lr`` and the absolute learning rates of
    the schedule are multiplied by ``total_batch`` / ``reference_batch`` (Goyal et al., 2017, section 2.1; the published
    MAE recipes use 256). As in MCG-NJU/VideoMAE and OpenGVLab/VideoMAEv2 the batch counts videos: several clips of one
    video enlarge the real batch and are not counted.

    Args:
        optim: Plain config of the optimizer; not changed.
        scheduler: Plain config of the schedule, empty or None without one; not changed.
        total_batch: Videos per optimisation step: batch size x processes x accumulated batches.

    Returns:
        Config of the optimizer without ``reference_batch``, config of the schedule, and the factor.

    Raises:
        ConfigError: When ``reference_batch`` is not a positive whole number or ``lr`` is not a number.
    """
    optim = dict(optim)
    scheduler = dict(scheduler) if scheduler is not None else None
    reference = optim.pop("reference_batch", None)
    if reference is None:
        return optim, scheduler, 1.0
    if isinstance(reference, bool) or not isinstance(reference, int) or reference < 1:
        raise ConfigError(
            f"optim.reference_batch: expected a positive whole number, or null for an unscaled lr, found {reference!r}"
        )
    lr = optim.get("lr")
    if isinstance(lr, bool) or not isinstance(lr, int | float):
        raise ConfigError(f"optim.lr: expected a number to scale by optim.reference_batch={reference}, found {lr!r}")
    factor = total_batch / reference
    optim["lr"] = lr * factor
    log.info("optim.lr %.3g x %d/%d = %.3g (reference_batch=%d)", lr, total_batch, reference, optim["lr"], reference)
    for name in SCALED_WITH_LR:
        if scheduler and isinstance(scheduler.get(name), int | float):
            scheduler[name] *= factor
    return optim, scheduler, factor
