"""Clips with a red square, and a model that looks for red: where it must look is known.

``python -m tests.callbacks.saliency_reds FOLDER`` explains on 1, 2 and 3 processes, in a folder for each.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from callbacks.saliency import Saliency
from datamodules.loading import Shard
from models.saliency import SaliencySpec
from tasks.explaining import Explainable, explainable_clips

T, H, W, SIDE = 4, 32, 48, 16
CLASSES = ["red", "pale"]
REDNESS = (0.9, 0.3, 0.6, 0.15, 0.75)  # of the squares of the clips; the paler, the less sure is the model


class Redness(nn.Module):
    """The mean of red, less a threshold, and its opposite."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Conv3d(3, 2, 1, bias=False)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.see.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0]]).view(2, 3, 1, 1, 1))
            self.head.weight.copy_(torch.tensor([[40.0, -10], [-40, 10]]))
            self.head.bias.copy_(torch.tensor([-1.0, 1]))

    def saliency_spec(self) -> SaliencySpec:
        return SaliencySpec(layers={"clip": "see"}, head="pooled_linear", classifier="head")

    def forward(self, video: Tensor) -> Tensor:
        return self.head(self.drop(self.see(video).mean((2, 3, 4))))


class Finder(LightningModule):
    """A task that says which clips are red.

    Args:
        known: Whether batches say what is true.
    """

    def __init__(self, known: bool = True) -> None:
        super().__init__()
        self.model, self.known, self.batches = Redness(), known, 0

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        return self.model(batch["video"]).sum()

    def test_step(self, batch: dict, batch_idx: int) -> Tensor:
        self.batches += 1
        logits = self.model(batch["video"])
        self.log("test/red", logits[:, 0].mean(), batch_size=len(logits))
        return logits

    validation_step = test_step

    def predict_step(self, batch: dict, batch_idx: int) -> Tensor:
        return self.model(batch["video"])

    def explainables(self, batch: dict) -> list[Explainable]:
        batch = batch if self.known else batch | {"class_id": torch.full_like(batch["class_id"], -1)}
        return explainable_clips(self.model, batch, CLASSES)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def left_of(clip: int) -> int:
    """Where the square of a clip begins."""
    return 8 * (clip % 4)


class Clips(Dataset):
    """A clip at a time, each a batch."""

    def __len__(self) -> int:
        return len(REDNESS)

    def __getitem__(self, clip: Any) -> dict:
        clip = clip[1] if isinstance(clip, tuple) else clip
        left = left_of(clip)
        video = torch.zeros(1, 3, T, H, W)
        video[:, 0, :, :SIDE, left : left + SIDE] = REDNESS[clip]
        frames = 10 * clip + torch.arange(T).view(1, T)
        return {
            "video": video,
            "mean": torch.zeros(3),
            "std": torch.ones(3),
            "name": [f"film/{clip}: a b"],
            "frames": frames,
            "seconds": frames.double() / 10,
            "index": torch.tensor([clip]),
            "class_id": torch.tensor([0]),
            "boxes": torch.tensor([left, 0.0, left + SIDE, SIDE]).expand(1, T, 1, 4),
            "box_count": torch.ones(1, T, dtype=torch.int64),
        }


class Films(LightningDataModule):
    """All clips, or the first few.

    Args:
        count: How many.
    """

    def __init__(self, count: int = len(REDNESS)) -> None:
        super().__init__()
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.count = count

    def train_dataloader(self) -> DataLoader:
        sampler = Shard(self.count, self.trainer.global_rank, self.trainer.world_size)
        return DataLoader(Clips(), batch_size=None, sampler=sampler)

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader


def trainer(folder: Path, ranks: int = 1, logger: object = False, **options: Any) -> Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    return Trainer(
        max_epochs=1, accelerator="cpu", devices=ranks, strategy="ddp_fork" if ranks > 1 else "auto", logger=logger,
        use_distributed_sampler=False, callbacks=[Saliency(str(folder), **options)], **quiet,
    )  # fmt: skip


if __name__ == "__main__":
    for ranks in (1, 2, 3):
        options = {"num_samples": 2, "faithfulness": True, "formats": ["npz", "png"]}
        trainer(Path(sys.argv[1], f"{ranks}"), ranks, **options).test(Finder(), datamodule=Films(), verbose=False)
        alone = trainer(Path(sys.argv[1], f"{ranks}"), ranks, formats=["png"])  # the others have no batch
        alone.predict(Finder(), datamodule=Films(1), return_predictions=False)
