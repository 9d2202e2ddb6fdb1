"""Faces predicted on 1, 2, 3 and 5 processes: ``python -m tests.callbacks.speaker_ranks FOLDER``, a folder for each."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from callbacks.speaker_files import SpeakerFiles
from callbacks.speaker_film import SpeakerFilm
from datamodules.loading import Shard, Visit

FPS, FRAMES, HEIGHT, WIDTH = 25.0, 40, 48, 64
ROWS = [  # video, face, first frame, frames that have a face: two rows of one face, and a face with a gap
    ("talk", "1", 0, range(15)),
    ("talk", "1", 15, range(15, 30)),
    ("talk", "2", 10, [*range(10, 18), *range(24, 30)]),
    ("scene/walk", "1", 5, range(5, 25)),
]
VIDEOS = ("talk", "scene/walk", "empty")


def score_of(entity: str, frames: Tensor) -> Tensor:
    """Scores that tell face and frame: speaking in waves, the second face against the first."""
    return torch.sin(frames * 0.4) * (1 if entity == "1" else -1) + 0.01


class Rows:
    """A sample is a row of a batch of face tracks (docs/design.md), with what a task's answer depends on."""

    def __init__(self, rows: Sequence[tuple]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, visit: Visit) -> dict:
        name, entity, first, there = self.rows[visit[1]]
        frames = torch.arange(first, first + 20)
        valid = torch.tensor([frame in there for frame in frames.tolist()])
        left = 0.1 + frames / 100 + (0.4 if entity == "2" else 0)
        boxes = torch.stack([left, torch.full_like(left, 0.2), left + 0.3, torch.full_like(left, 0.8)], -1)
        return {
            "name": name, "entity": entity, "frames": frames.where(valid, -1), "seconds": frames.double() / FPS,
            "boxes": boxes * valid[:, None], "valid": valid, "fps": torch.tensor(FPS, dtype=torch.float64),
        }  # fmt: skip


def collate(samples: list[dict]) -> dict:
    words = ("name", "entity")
    return {
        key: [sample[key] for sample in samples] if key in words else torch.stack([sample[key] for sample in samples])
        for key in samples[0]
    }


class Films(LightningDataModule):
    """Rows of face tracks, and a grey film for each video that gets brighter."""

    def __init__(self, rows: Sequence[tuple] = ROWS, sound: Path | None = None) -> None:
        super().__init__()
        self.rows, self.sound = rows, sound
        self.allow_zero_length_dataloader_with_multiple_devices = True

    def predict_dataloader(self) -> DataLoader:
        rank, world_size = self.trainer.global_rank, self.trainer.world_size
        sampler = Shard(len(self.rows), rank, world_size)
        return DataLoader(Rows(self.rows), batch_size=2, sampler=sampler, collate_fn=collate)

    def feature_sources(self) -> dict[str, dict]:
        return {name: {"path": name, "bytes": 1, "first": 0, "frames": FRAMES, "fps": FPS} for name in VIDEOS}

    def shown(self, video: str) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
        for frame in range(FRAMES):
            yield frame, frame / FPS, np.full((HEIGHT, WIDTH, 3), 60 + frame, np.uint8)

    def heard(self, video: str) -> Path | None:
        return self.sound


class Detector(LightningModule):
    """Scores every face by `score_of`."""

    def predict_step(self, batch: dict, batch_idx: int) -> list[dict]:
        rows = []
        for row, valid in enumerate(batch["valid"]):
            found = {key: batch[key][row] for key in ("name", "entity")}
            found |= {key: batch[key][row][valid] for key in ("frames", "seconds", "boxes")}
            rows.append(found | {"score": score_of(found["entity"], found["frames"])})
        return rows


def predict(
    folder: Path,
    callbacks: list[Callback],
    data: Films | None = None,
    task: LightningModule | None = None,
    ranks: int = 1,
) -> None:
    """Predict as ``core.run`` does."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    strategy = "ddp_fork" if ranks > 1 else "auto"
    trainer = Trainer(
        accelerator="cpu", devices=ranks, strategy=strategy, use_distributed_sampler=False,
        callbacks=callbacks, default_root_dir=folder, **quiet,
    )  # fmt: skip
    trainer.predict(task or Detector(), datamodule=data or Films(), return_predictions=False)


if __name__ == "__main__":
    for ranks in (1, 2, 3, 5):
        folder = Path(sys.argv[1], str(ranks))
        predict(folder, [SpeakerFiles(str(folder), rttm=True), SpeakerFilm(str(folder))], ranks=ranks)
