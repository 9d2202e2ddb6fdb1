"""How fast a training runs, and whether it waits for its data."""

from collections.abc import Iterator
from time import perf_counter
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.utilities.throughput import get_available_flops
from torch import Tensor

FORWARD_AND_BACKWARD = 3  # a backward pass costs about twice a forward pass: gradients of inputs and of weights
_DTYPES = {"bf16": torch.bfloat16, "16": torch.float16, "64": torch.float64}


class Throughput(Callback):
    """Log the speed of training every ``trainer.log_every_n_steps`` batches and at the end of each epoch.

    - ``perf/clips_per_s``: clips of all processes per second of training. Clips are counted as the length of
      ``batch["video"]``, or of the first tensor in a batch without that key; all processes are taken to be alike.
    - ``data/wait_share``: share of that time, in [0, 1], spent waiting for the next batch on the device.
    - ``perf/mfu``: model FLOPs utilisation (Chowdhery et al., PaLM, 2022, appendix B): useful FLOPs per second over
      the peak of the device. Logged where Lightning knows the peak and ``forward_flops`` is given. A training step
      counts as three forward passes; repeated work of activation checkpointing does not count.

    Evaluation, and the wait for the first batch after it, are left out of the time.

    Args:
        forward_flops: FLOPs of one forward pass on one clip, a multiply-add being two; ``core/run.py`` fills in what it
            measured when this is None.
    """

    def __init__(self, forward_flops: float | None = None) -> None:
        self.forward_flops = forward_flops
        self._peak: float | None = None
        self._waiting_since: float | None = None
        self._reset()

    def _reset(self) -> None:
        self._clips = self._batches = 0
        self._wait_s = self._busy_s = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        precision = str(trainer.precision)
        dtype = next((one for prefix, one in _DTYPES.items() if precision.startswith(prefix)), torch.float32)
        self._peak = get_available_flops(pl_module.device, dtype) if self.forward_flops else None
        self._reset()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._waiting_since = perf_counter()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._busy_since = perf_counter()
        if self._waiting_since is not None:
            self._wait_s += self._busy_since - self._waiting_since

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._clips += count_clips(batch)
        self._batches += 1
        closing = self._batches >= max(1, trainer.log_every_n_steps)
        if closing and pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)  # else the clock stops while kernels are still queued
        self._waiting_since = perf_counter()
        self._busy_s += self._waiting_since - self._busy_since
        if closing:
            self._log(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._waiting_since = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._waiting_since = None
        if self._batches:
            self._log(trainer)

    def _log(self, trainer: Trainer) -> None:
        elapsed_s = self._busy_s + self._wait_s
        per_device = self._clips / elapsed_s
        values = {"perf/clips_per_s": per_device * trainer.world_size, "data/wait_share": self._wait_s / elapsed_s}
        if self._peak and self.forward_flops:
            values["perf/mfu"] = FORWARD_AND_BACKWARD * self.forward_flops * per_device / self._peak
        for logger in trainer.loggers:
            logger.log_metrics(values, step=max(0, trainer.global_step - 1))
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in values.items()})
        self._reset()


def count_clips(batch: Any) -> int:
    """Length of ``batch["video"]``, or of the first tensor in a batch without that key; 0 without any tensor."""
    video = batch.get("video") if isinstance(batch, dict) else None
    first = video if isinstance(video, Tensor) else next(_tensors(batch), None)
    return 0 if first is None or first.ndim == 0 else len(first)


def _tensors(batch: Any) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, dict | list | tuple):
        for part in batch.values() if isinstance(batch, dict) else batch:
            yield from _tensors(part)
