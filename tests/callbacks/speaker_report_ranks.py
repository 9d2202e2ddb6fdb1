"""Tests on 1, 2 and 3 processes: ``python -m tests.callbacks.speaker_report_ranks FOLDER``, a folder for each."""

import sys
from pathlib import Path

import torch
from lightning import Trainer
from torch import Tensor, nn
from torch.utils.data import Dataset

from callbacks.speaker_report import SpeakerReport
from datamodules.loading import Visit
from metrics.asd import SpeakerScores
from tasks.evaluation import ExactEvaluation
from tests.callbacks.report_runs import Parted, trainer_with
from tests.tasks.speaker_batches import batch_of, rows_of

LENGTHS = [40, 60, 3, 75, 0, 50]


class Tracks(Dataset):
    """One row at a time."""

    def __init__(self) -> None:
        self.rows = batch_of(LENGTHS)
        speaks = torch.arange(max(LENGTHS)) // 15 % 2  # half a second each
        self.rows["target"] = torch.where(self.rows["target"] >= 0, speaks, -1)
        self.rows["target"][2].clamp_(max=0)

    def __len__(self) -> int:
        return len(LENGTHS)

    def __getitem__(self, visit: Visit) -> dict:
        return rows_of(self.rows, torch.tensor([visit[1]]))


class Talks(Parted):
    protocol = "toy talks"

    def __init__(self) -> None:
        super().__init__(Tracks())


class Listener(ExactEvaluation):
    """Knows who speaks but for some noise."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.speaker_scores = nn.ModuleDict({stage: SpeakerScores() for stage in ("val", "test")})

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        return self.weight * batch["audio"].mean()

    def evaluate(self, stage: str, batch: dict) -> None:
        noise = torch.sin(batch["frames"] * 1.3 + batch["index"].unsqueeze(1))
        self.speaker_scores[stage].update(batch, 2.0 * batch["target"] - 1 + 1.5 * noise)

    def on_validation_epoch_end(self) -> None:
        self.log("val/ap", self.speaker_scores["val"].compute()["ap"], reduce_fx="max", sync_dist=True)

    def on_test_epoch_end(self) -> None:
        self.log("test/ap", self.speaker_scores["test"].compute()["ap"], reduce_fx="max", sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder: Path, logger: object = False, ranks: int = 1, **options: object) -> Trainer:
    return trainer_with(SpeakerReport(str(folder), **options), logger, ranks)


if __name__ == "__main__":
    for ranks in (1, 2, 3):
        trainer(Path(sys.argv[1], str(ranks)), ranks=ranks).test(Listener(), datamodule=Talks(), verbose=False)
