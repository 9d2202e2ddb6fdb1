"""Ctrl-C as a request: end the training after this step, with a checkpoint."""

import logging
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from lightning import Callback, LightningModule, Trainer

log = logging.getLogger(__name__)


class Interrupt(Callback):
    """End a training orderly on the first Ctrl-C (SIGINT), and at once on the second.

    Lightning stops wherever it is, and what was trained since the last checkpoint is lost. Here the step is finished,
    ``trainer.should_stop`` tells `callbacks.last_checkpoint.LastCheckpoint` to save, and only then the interrupt takes
    its course: the process ends with an exit code that is not 0. Several ranks agree every ``log_every_n_steps`` steps
    and stop after the same one, whichever of them got the signal. To stand before the checkpoint in the list of
    callbacks.
    """

    def __init__(self) -> None:
        self.asked = False
        self.stopping = False
        self._before: Any = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():  # nowhere else does Python allow handlers
            self._before = signal.signal(signal.SIGINT, self._ask)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._restore()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Between accumulated batches there are gradients that no checkpoint holds. Several ranks agree now and then
        # only: asking the others makes a GPU wait.
        every = trainer.accumulate_grad_batches * (trainer.log_every_n_steps if trainer.world_size > 1 else 1)
        if (batch_idx + 1) % max(1, every) and not trainer.is_last_batch:
            return
        if trainer.strategy.reduce_boolean_decision(self.asked, all=False):
            trainer.should_stop = self.stopping = True

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A training that is stopped within an epoch validates before it ends; nobody waits for that.
        if self.stopping and not trainer.is_last_batch:
            self._leave(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.stopping:
            self._leave(trainer)

    def _leave(self, trainer: Trainer) -> None:
        if trainer.is_global_zero:
            name = Path(trainer.default_root_dir).name
            log.warning(
                "stopped after step %d; to continue: the same command with run_id=%s ckpt_path=last",
                trainer.global_step,
                name,
            )
        raise KeyboardInterrupt

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            self._restore()
            raise KeyboardInterrupt
        self.asked = True
        log.warning("Ctrl-C: the training is about to end, with a checkpoint; once more ends it at once")

    def _restore(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
