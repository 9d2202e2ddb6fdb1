"""Tests on 1, 2 and 3 processes: ``python -m tests.callbacks.action_report_ranks FOLDER``, a folder for each."""

import sys
from pathlib import Path

import torch
from lightning import Trainer
from torch import Tensor, nn
from torch.utils.data import Dataset

from callbacks.action_report import ActionReport
from datamodules.loading import Visit
from metrics.ava import FrameMAP
from tasks.evaluation import ExactEvaluation
from tests.callbacks.report_runs import Parted, trainer_with

CLASSES = [(3, "walk", "pose"), (4, "sit", "pose"), (17, "read", "object")]
HEIGHT, WIDTH, FRAMES = 48, 64, 8
LEFT, MIDDLE = (0.1, 0.2, 0.3, 0.9), (0.5, 0.25, 0.75, 0.875)
MEAN, STD = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.4])


def key_frame(index: int, view: int = 0, views: int = 1) -> dict:
    """A batch of one clip, in which a walking reader is seen, a sitting one missed, and somebody who is not there."""
    video = torch.zeros(1, 3, FRAMES, HEIGHT + 2, WIDTH + 4)
    brightness = torch.linspace(0, 1, FRAMES).view(1, FRAMES, 1, 1) * 0.5 + 0.01 * index
    video[0, :, :, :HEIGHT, :WIDTH] = (brightness - MEAN.view(3, 1, 1, 1)) / STD.view(3, 1, 1, 1)
    boxes = torch.tensor([LEFT, (0.8, 0.0, 1.0, 0.2)], dtype=torch.float64)
    truth = torch.tensor([LEFT, MIDDLE], dtype=torch.float64), torch.tensor([[1.0, 0, 1], [0, 1, 0]])
    return {
        "video": video,
        "mean": MEAN,
        "std": STD,
        "size": torch.tensor([[HEIGHT, WIDTH]]),
        "name": [f"scene_{index // 2}"],
        "second": torch.tensor([902.0 + index], dtype=torch.float64),
        "seconds": (902 + index + (torch.arange(FRAMES) - FRAMES // 2) / 10).double()[None],
        "index": torch.tensor([index]),
        "view": torch.tensor([view]),
        "views": torch.tensor([views]),
        "clip": torch.zeros(2, dtype=torch.int64),
        "rois": boxes.float(),
        "boxes": boxes,
        "truth": [truth],
    }


class KeyFrames(Dataset):
    def __init__(self, count: int = 6) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, visit: Visit) -> dict:
        return key_frame(visit[1])


class Streets(Parted):
    protocol = "toy streets"

    def __init__(self) -> None:
        super().__init__(KeyFrames())


class Witness(ExactEvaluation):
    """Sees everybody walk."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.frame_map = nn.ModuleDict({stage: FrameMAP(CLASSES) for stage in ("val", "test")})
        self.asked: list[int] = []

    def detections(self, batch: dict) -> Tensor:
        self.asked.append(int(batch["index"]))
        return self.scores(batch)

    def scores(self, batch: dict) -> Tensor:
        return torch.tensor([[0.9, 0.2, 0.3], [0.6, 0.1, 0.7]]) + 0.001 * batch["index"]

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        return self.weight * batch["video"].mean()

    def evaluate(self, stage: str, batch: dict) -> None:
        found = [(batch["boxes"], self.scores(batch))]
        self.frame_map[stage].update(batch["index"], found, batch["truth"])

    def on_validation_epoch_end(self) -> None:
        self.log("val/map", self.frame_map["val"].compute()["map"], reduce_fx="max", sync_dist=True)

    def on_test_epoch_end(self) -> None:
        self.log("test/map", self.frame_map["test"].compute()["map"], reduce_fx="max", sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder: Path, logger: object = False, ranks: int = 1, **options: object) -> Trainer:
    return trainer_with(ActionReport(str(folder), **options), logger, ranks)


if __name__ == "__main__":
    for ranks in (1, 2, 3):
        trainer(Path(sys.argv[1], str(ranks)), ranks=ranks).test(Witness(), datamodule=Streets(), verbose=False)
