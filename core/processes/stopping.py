"""Where a training answers a signal: after the step in which it came, on all ranks, with a checkpoint."""

import logging
import math
from typing import Any

import torch
import torch.distributed as dist
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from core.processes.signals import REQUEUE, request
from core.run_id import batch_job

KEY = "vidzoo/asked_to_stop"

log = logging.getLogger(__name__)


class StopOnSignal(Callback):
    """Save and leave at the end of the optimizer step in which any rank got a signal (`core.processes.signals`).

    Several ranks have to leave after the same step. They ask each other in every step, on a process group of their own
    that reduces one number on the CPU: it starts when the gradients are there and is read when the step is over, so
    that no GPU waits and hardly a CPU does. A signal that comes later than that is answered one step later.

    A validation is left after any of its batches, and only together. Ranks have different numbers of them, so each asks
    the others once per loader: after its last batch, before metrics are reduced; or earlier, when it got a signal or
    finds a key in the store of the process group by which another one says so. The checkpoint then is the one of the
    moment before the validation, which the continued run does from its start. Loaders without a length are not left.

    What is written is what callbacks with a method ``save_now(trainer)`` write. Not a `Checkpoint`, so that Lightning
    calls it before those.

    Args:
        run_id: Of the job; of the sweep that it is part of.
        continues: Whether the job's command says ``ckpt_path=last``.
    """

    def __init__(self, run_id: str, continues: bool = False) -> None:
        self.run_id, self.continues = run_id, continues
        self._stop = 0
        self._group: Any = None
        self._pending: tuple[Tensor, Any] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        request.listen_if_forked()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        request.check()
        request.deferred = True
        if trainer.world_size > 1:
            self._group = dist.new_group(backend="gloo")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        request.deferred = request.leaving = False

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        request.deferred = False

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        self._ask()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Between accumulated batches there are gradients that no checkpoint holds.
        if (batch_idx + 1) % trainer.accumulate_grad_batches and not trainer.is_last_batch:
            return
        self._stop = self._answer()
        request.leaving = bool(self._stop)
        if self._stop and not trainer.is_last_batch:  # the end of an epoch is saved as such
            self._save(trainer)

    # Metrics of a step are logged after on_train_batch_end, hence one of the next hooks is where the run ends.
    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._leave_if_decided(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._leave_if_decided(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _forget_restart(trainer)
        if self._stop:
            self._save_before_validation(trainer)
            self._leave_if_decided(trainer)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        batches = trainer.num_val_batches[dataloader_idx]
        if not request.deferred or math.isinf(batches):
            return
        if batch_idx + 1 < batches and not self._somebody_was_asked():
            return
        self._stop = self._answer()
        if self._stop:
            self._save_before_validation(trainer)
            self._leave_if_decided(trainer)

    def _ask(self) -> None:
        """Start to find out whether any rank was asked to stop."""
        if self._group is not None and self._pending is None:
            number = torch.tensor([request.number])
            self._pending = number, dist.all_reduce(number, dist.ReduceOp.MAX, group=self._group, async_op=True)

    def _answer(self) -> int:
        """The signal that any rank had got when it asked, else 0."""
        if self._group is None:
            return request.number
        self._ask()
        (number, work), self._pending = self._pending, None
        work.wait()
        return int(number)

    def _somebody_was_asked(self) -> bool:
        if self._group is None:
            return bool(request.number)
        store = dist.distributed_c10d._get_default_store()
        if request.number:
            store.set(KEY, str(request.number))
        return bool(request.number) or store.check([KEY])

    def _save(self, trainer: Trainer) -> None:
        for callback in trainer.checkpoint_callbacks:
            if hasattr(callback, "save_now"):
                callback.save_now(trainer)

    def _save_before_validation(self, trainer: Trainer) -> None:
        # Lightning continues a validation whose first batch was begun and not finished; that is from its start.
        progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress
        done = progress.total.completed - progress.current.completed
        for counts, finished in ((progress.total, done), (progress.current, 0)):
            counts.ready = counts.started = finished + 1
            counts.processed = counts.completed = finished
        self._save(trainer)

    def _leave_if_decided(self, trainer: Trainer) -> None:
        if not self._stop:
            return
        if trainer.is_global_zero:
            saves = any(hasattr(callback, "save_now") for callback in trainer.checkpoint_callbacks)
            log.warning(
                "stopped after step %d; %s",
                trainer.global_step,
                f"to continue: the same command with run_id={self.run_id} ckpt_path=last"
                if saves and not trainer.fast_dev_run
                else "nothing was saved, since no callback keeps a last checkpoint",
            )
            if self._stop == REQUEUE and batch_job() is not None and not self.continues:
                log.warning("the job that is queued again starts anew: its command does not say ckpt_path=last")
        request.leave(self._stop)


def leave_signals_to_us(trainer: Trainer) -> None:
    """Keep Lightning from answering signals beside `core.processes.signals`.

    On SIGTERM it would wait for other ranks within the handler and stop wherever it is, without a checkpoint; under
    SLURM it would save a file of its own on SIGUSR1, and ignore SIGTERM.
    """
    if request.listening:
        trainer._signal_connector.register_signal_handlers = lambda: None


def _forget_restart(trainer: Trainer) -> None:
    """Let a validation that is repeated count as one, or each continuation would repeat it."""
    loop = trainer.fit_loop.epoch_loop.val_loop
    if loop.restarted_mid_evaluation:
        counts = loop.batch_progress.total
        counts.ready = counts.started = counts.completed
