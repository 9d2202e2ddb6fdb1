"""Predictions on 1, 2 and 3 processes: ``python -m tests.callbacks.frame_score_ranks FOLDER``, a folder for each."""

import sys
from pathlib import Path

import torch
from lightning import LightningDataModule, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from callbacks.frame_scores import FrameScores
from datamodules.loading import Shard, Visit

LENGTHS = {"01_001": 40, "01_0014": 1, "scene/02_003": 300, "03_0031": 17, "04_001": 90}


class Videos(LightningDataModule):
    """Numbers of videos, parted between the processes."""

    def predict_dataloader(self) -> DataLoader:
        rank, world_size = self.trainer.global_rank, self.trainer.world_size
        return DataLoader(Numbers(), batch_size=2, sampler=Shard(len(LENGTHS), rank, world_size))


class Numbers:
    def __len__(self) -> int:
        return len(LENGTHS)

    def __getitem__(self, visit: Visit) -> int:
        return visit[1]


class Detector(LightningModule):
    """Scores every frame of a video by the number of the video and its own."""

    def predict_step(self, batch: Tensor, batch_idx: int) -> dict[str, Tensor]:
        return {list(LENGTHS)[number]: scores_of(number) for number in batch.tolist()}


def scores_of(number: int) -> Tensor:
    """float64 (N,)."""
    return torch.linspace(0, 1, list(LENGTHS.values())[number], dtype=torch.float64) ** (number + 1)


def predict(folder: Path, task: LightningModule, ranks: int = 1) -> None:
    """Predict as ``core.run`` does."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    strategy = "ddp_fork" if ranks > 1 else "auto"
    trainer = Trainer(
        accelerator="cpu", devices=ranks, strategy=strategy, use_distributed_sampler=False,
        callbacks=[FrameScores(str(folder))], default_root_dir=folder, **quiet,
    )  # fmt: skip
    trainer.predict(task, datamodule=Videos(), return_predictions=False)


if __name__ == "__main__":
    for ranks in (1, 2, 3):
        predict(Path(sys.argv[1], str(ranks)), Detector(), ranks)
