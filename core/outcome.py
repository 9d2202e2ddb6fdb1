"""What came of a training, in a number."""

import math
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class DivergedError(RuntimeError):
    """A training ended without one finite value of what it was monitored by."""


def best_of(trainer: Trainer, config: dict[str, Any]) -> tuple[float | None, Path | None]:
    """Best value of the monitored metric and its file; without checkpoints the last value and no file.

    Raises:
        DivergedError: When that value is infinite or NaN.
    """
    value, path = _monitored(trainer, config)
    if value is not None and not math.isfinite(value):
        metric, rate = config["monitor"]["metric"], (config.get("optim") or {}).get("lr")
        advice = "" if rate is None else f"; lower optim.lr, which is {rate:g}"
        raise DivergedError(f"monitor.metric={metric}: training gave no finite value, its best is {value:g}{advice}")
    return value, path


def _monitored(trainer: Trainer, config: dict[str, Any]) -> tuple[float | None, Path | None]:
    for kept in trainer.checkpoint_callbacks:
        if isinstance(kept, ModelCheckpoint) and kept.best_model_score is not None:
            return float(kept.best_model_score), Path(kept.best_model_path) if kept.best_model_path else None
    value = trainer.callback_metrics.get((config.get("monitor") or {}).get("metric"))
    return None if value is None else float(value), None
