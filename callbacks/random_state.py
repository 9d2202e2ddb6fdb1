"""Continue the random streams, so that a resumed run draws the masks a straight run would have drawn."""

import logging
import random
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer

SEED_STRIDE = 1_000_003  # a prime: ranks of runs with neighbouring seeds do not share a stream

log = logging.getLogger(__name__)


class RandomState(Callback):
    """Save and restore the Python, NumPy, CPU and CUDA generators of every rank.

    They are restored in ``on_fit_start``; ``on_train_start`` is too late, since the loader's iterator has drawn by
    then. Without a checkpoint every rank but the first is given a stream of its own there: Lightning seeds all ranks
    alike, and they would drop out the same units of different clips.

    A checkpoint written in the middle of a validation holds the state before it, since the validation is repeated.

    A checkpoint written by another number of processes cannot be continued exactly: streams start anew, with a warning.
    """

    def __init__(self) -> None:
        self._saved: list[dict[str, Any]] | None = None
        self._before_validation: dict[str, Any] | None = None

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        # A validation may follow. Its own first hook is too late: the loader's iterator may have drawn by then.
        if trainer.is_last_batch or trainer.val_check_interval != 1.0:
            self._before_validation = current_state(pl_module.device)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._before_validation = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self._before_validation = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        state = self._before_validation if trainer.validating else None
        state = state or current_state(pl_module.device)
        ranks: list[Any] = [state]
        if trainer.world_size > 1:
            ranks = [None] * trainer.world_size
            torch.distributed.all_gather_object(ranks, state)
        checkpoint["random_state"] = ranks

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._saved = checkpoint.get("random_state")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        saved, self._saved = self._saved, None
        if saved is not None and len(saved) == trainer.world_size:
            self._before_validation = saved[trainer.global_rank]  # it may go on with a validation
            restore_state(saved[trainer.global_rank], pl_module.device)
            return
        if saved is not None and trainer.is_global_zero:
            log.warning(
                "random streams start anew: the checkpoint holds those of %d processes, this run has %d",
                len(saved),
                trainer.world_size,
            )
        if trainer.global_rank > 0:
            seed = torch.initial_seed() + SEED_STRIDE * trainer.global_rank
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.manual_seed(seed)


def current_state(device: torch.device) -> dict[str, Any]:
    """State of this process's generators as tensors and plain values, which torch loads in its safe mode."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, list(internal), gauss],
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def restore_state(state: dict[str, Any], device: torch.device) -> None:
    """Put the generators back to a state that ``current_state`` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
