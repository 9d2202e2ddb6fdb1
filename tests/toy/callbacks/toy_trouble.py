"""Toy callback that brings a run into trouble at a chosen moment."""

import math
import os
import signal
import time
from typing import Any, Literal

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

Moment = Literal["setup", "fit_start", "train_batch", "loss", "validation_batch", "saving", "fit_end"]


class Trouble(Callback):
    """Send this process a signal, or fail.

    Args:
        moment: When.
        count: How many times that moment has to come.
        rank: On which rank.
        what: Name of a signal; ``error`` to raise one, ``hang`` to do nothing any more, ``spoil`` to make a
            batch or a loss NaN.
    """

    def __init__(self, moment: Moment, count: int = 1, rank: int = 0, what: str = "SIGTERM") -> None:
        self.moment, self.count, self.rank, self.what = moment, count, rank, what
        self._seen = 0

    def setup(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        self._come(trainer, "setup")

    def on_fit_start(self, trainer: Trainer, *_: Any) -> None:
        self._come(trainer, "fit_start")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: dict, batch_idx: int) -> None:
        self._come(trainer, "train_batch", batch["video"][0])

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        self._come(trainer, "loss", loss.data)

    def on_validation_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self._come(trainer, "validation_batch")

    def on_save_checkpoint(self, trainer: Trainer, *_: Any) -> None:
        self._come(trainer, "saving")

    def on_fit_end(self, trainer: Trainer, *_: Any) -> None:
        self._come(trainer, "fit_end")

    def _come(self, trainer: Trainer, moment: str, value: Tensor | None = None) -> None:
        self._seen += moment == self.moment
        if moment != self.moment or self._seen != self.count or trainer.global_rank != self.rank:
            return
        if self.what == "error":
            raise RuntimeError("planted error")
        if self.what == "spoil":
            value.fill_(math.nan)
            return
        if self.what == "hang":
            time.sleep(1000)
        os.kill(os.getpid(), getattr(signal, self.what))
