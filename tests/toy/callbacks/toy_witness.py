"""Toy callback that keeps what each rank ended with."""

from pathlib import Path

import torch
from lightning import Callback, LightningModule, Trainer


class Witness(Callback):
    """Write ``rank<number>.pt``, the state of the task at the end of a training.

    Args:
        folder: Where it goes.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        torch.save(dict(pl_module.state_dict()), self.folder / f"rank{trainer.global_rank}.pt")
