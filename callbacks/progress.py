"""A progress bar in a terminal, one plain line per epoch everywhere else."""

import logging
import sys
from time import perf_counter

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

log = logging.getLogger(__name__)


class Progress(RichProgressBar):
    """Lightning's rich progress bar, which falls back to log lines where nothing can be redrawn.

    In a file, a pipe or a batch job a bar is either invisible or thousands of lines. There each epoch gives one line:
    ``epoch 3/20  step 36  train/loss 0.912  val/loss 0.874  14 clips/s  6.1 s``, with the metrics of the bar.

    Args:
        refresh_rate: Redraws per second.
        leave: Keep the bars of finished epochs.
    """

    def __init__(self, refresh_rate: int = 10, leave: bool = False) -> None:
        super().__init__(refresh_rate=refresh_rate, leave=leave)
        self._started = perf_counter()
        if not sys.stdout.isatty():
            self.disable()

    def enable(self) -> None:
        """Called by Lightning on the first rank; has no effect where nothing can be redrawn."""
        if sys.stdout.isatty():
            super().enable()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_start(trainer, pl_module)
        self._started = perf_counter()

    def _get_train_description(self, current_epoch: int) -> str:
        """Count epochs from one, as lines and pictures do; Lightning's bar counts from zero."""
        return f"Epoch {epoch_of(self.trainer)}".ljust(len(self.validation_description))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if self.is_enabled or not trainer.is_global_zero:
            return
        shown = {name: value for name, value in self.get_metrics(trainer, pl_module).items() if name != "v_num"}
        speed = trainer.callback_metrics.get("perf/clips_per_s")
        parts = [
            f"epoch {epoch_of(trainer)}",
            f"step {trainer.global_step}",
            *(f"{name} {value:.4g}" for name, value in shown.items() if isinstance(value, int | float)),
            *([f"{speed:.3g} clips/s"] if speed is not None else []),
            f"{perf_counter() - self._started:.1f} s",
        ]
        log.info("%s", "  ".join(parts))


def epoch_of(trainer: Trainer) -> str:
    """Spell the number of the running epoch, and how many there will be: ``3/20``."""
    last = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else "?"
    return f"{trainer.current_epoch + 1}/{last}"
