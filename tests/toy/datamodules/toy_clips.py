"""Toy data."""

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from datamodules.loader_workers import leave_signals_to_the_main_process
from datamodules.loading import ResumableLoader, Shard, ShardedShuffle


class ToyDataError(ValueError):
    """An error that is written for users."""


class Noise(Dataset):
    """Clips of noise, the same for the same index."""

    def __init__(self, length: int, num_frames: int, image_size: int) -> None:
        self.video = torch.rand(
            length, 3, num_frames, image_size, image_size, generator=torch.Generator().manual_seed(0)
        )

    def __len__(self) -> int:
        return len(self.video)

    def __getitem__(self, visit: tuple[int, int] | int) -> dict:
        index = visit if isinstance(visit, int) else visit[1]
        return {"video": self.video[index], "name": f"clip{index}", "index": index}


class Clips(LightningDataModule):
    """Noise.

    Args:
        root: Folder; ``nowhere`` is refused.
        length: Number of clips.
        batch_size: Clips per device and step.
        num_frames: T.
        image_size: H and W.
        seed: Of the order.
        num_workers: Loader processes.
    """

    provides = ("video", "name", "index")

    def __init__(
        self,
        root: str = "sample",
        length: int = 12,
        batch_size: int = 2,
        num_frames: int = 2,
        image_size: int = 4,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()

    def prepare_data(self) -> None:
        if self.hparams.root == "nowhere":
            raise ToyDataError("toy clips: datamodule.root=nowhere is empty")

    def setup(self, stage: str) -> None:
        self.clips = Noise(self.hparams.length, self.hparams.num_frames, self.hparams.image_size)

    def train_dataloader(self) -> DataLoader:
        sampler = ShardedShuffle(len(self.clips), self.hparams.seed, self.trainer.global_rank, self.trainer.world_size)
        return ResumableLoader(sampler=sampler, **self.loading())

    def val_dataloader(self) -> DataLoader:
        sampler = Shard(len(self.clips), self.trainer.global_rank, self.trainer.world_size)
        return DataLoader(sampler=sampler, **self.loading())

    def loading(self) -> dict:
        own = {name: self.hparams[name] for name in ("batch_size", "num_workers")}
        return {"dataset": self.clips, "worker_init_fn": leave_signals_to_the_main_process, **own}

    test_dataloader = predict_dataloader = val_dataloader


class Sounds(Clips):
    """Data that the toy task cannot use."""

    provides = ("audio", "name")
