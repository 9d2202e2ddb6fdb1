"""What tests of reports share: trainers of any number of processes, and samples that are parted between them."""

import subprocess
import sys
from pathlib import Path

from lightning import LightningDataModule, Trainer
from torch.utils.data import DataLoader, Dataset

from callbacks.evaluation_report import EvaluationReport
from datamodules.loading import Shard
from tests.conftest import REPOSITORY


class Parted(LightningDataModule):
    """Gives each process its share of some batches, in every stage.

    Args:
        batches: A data set whose samples are batches.
    """

    def __init__(self, batches: Dataset) -> None:
        super().__init__()
        self.batches = batches

    def train_dataloader(self) -> DataLoader:
        sampler = Shard(len(self.batches), self.trainer.global_rank, self.trainer.world_size)
        return DataLoader(self.batches, batch_size=None, sampler=sampler)

    val_dataloader = test_dataloader = train_dataloader


def trainer_with(report: EvaluationReport, logger: object = False, ranks: int = 1) -> Trainer:
    """A trainer of one epoch on CPUs that leaves nothing but a report."""
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    return Trainer(
        max_epochs=1, accelerator="cpu", devices=ranks, strategy="ddp_fork" if ranks > 1 else "auto", logger=logger,
        use_distributed_sampler=False, callbacks=[report], **quiet,
    )  # fmt: skip


def run_on_ranks(module: str, folder: Path) -> None:
    """Run ``python -m <module> <folder>``."""
    command = [sys.executable, "-m", module, str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, timeout=120, capture_output=True)
