"""What tests of training steps share: batches that processes take in turn, and weights that are to be the same."""

from collections.abc import Mapping

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader


class InTurn(LightningDataModule):
    """Gives batches in turn to the processes.

    Args:
        batches: Of training; as many for each process.
    """

    def __init__(self, batches: list[dict]) -> None:
        super().__init__()
        self.batches = batches

    def train_dataloader(self) -> DataLoader:
        trainer = self.trainer
        return DataLoader(self.batches[trainer.global_rank :: trainer.world_size], batch_size=None)


def assert_close(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Weights are the same but for rounding."""
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        assert torch.allclose(found[name], weight, atol=1e-6), name
