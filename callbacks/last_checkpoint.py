"""The checkpoint that a run is continued from."""

from pathlib import Path
from time import monotonic
from typing import Annotated, Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

_ONLY_WEIGHTS = False  # the optimizer, the schedule, counters and random streams too


class LastCheckpoint(Checkpoint):
    """Keep ``<folder>/last.ckpt``: at the end of every epoch, every few minutes within one, and where a run is stopped.

    ModelCheckpoint's ``save_last`` writes its file only when it also writes a best one (Lightning 2.6), so that a run
    whose metric no longer improves would be continued from far behind. The file is replaced in one step.

    Args:
        folder: Where the file goes.
        interval_s: Seconds after which a file is written within an epoch, looked at every ``trainer.log_every_n_steps``
            batches; None for the ends of epochs alone.
    """

    def __init__(self, folder: str, interval_s: Annotated[float | None, "interval_s >= 0"] = 600.0) -> None:
        self.path = Path(folder, "last.ckpt")
        self.interval_s = interval_s
        self._saved_at = monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._saved_at = monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_last_batch:
            return  # the end of the epoch is near
        # An early stop that min_epochs or min_steps puts off is none yet.
        stops = trainer.should_stop and trainer.fit_loop.epoch_loop.done
        if stops or trainer.global_step == trainer.max_steps or self._is_due(trainer, batch_idx):
            self.save_now(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # An epoch that was stopped midway counts as finished here; continued from here it would lose its rest.
        if trainer.is_last_batch:
            self.save_now(trainer)

    def _is_due(self, trainer: Trainer, batch_idx: int) -> bool:
        if self.interval_s is None or (batch_idx + 1) % max(1, trainer.log_every_n_steps):
            return False
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return False  # gradients are summed up that no checkpoint holds
        # The first rank's clock decides, since saving is a joint act.
        return trainer.strategy.broadcast(monotonic() - self._saved_at >= self.interval_s)

    def save_now(self, trainer: Trainer) -> None:
        """Write the file; to be called on all ranks, where no gradients are accumulated."""
        if not trainer.fast_dev_run:
            trainer.save_checkpoint(self.path, _ONLY_WEIGHTS)
            self._saved_at = monotonic()
