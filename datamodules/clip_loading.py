"""What all datamodules of clips have in common: loaders, quarantine, the way to the device."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from datamodules.clips import Clips, Source, UnreadableSource, collate_clips
from datamodules.errors import VideoReadError
from datamodules.loader_workers import loading_options
from datamodules.loading import ResumableLoader, Shard, ShardedShuffle, seeded
from datamodules.quarantine import BAD_SAMPLES_FILE, Quarantine, ReplacingClips, max_bad, unreadable
from datamodules.video_index import broken_videos

log = logging.getLogger(__name__)


class ClipLoading(LightningDataModule):
    """Loads clips in training, validation and test; a data set says which, in ``setup``.

    Its ``hparams`` have ``batch_size``, ``num_workers``, ``seed`` and ``max_bad_share``.

    Attributes:
        staying: Parts of a batch that are not moved to the device.
        collate: Joins samples to a batch.
        counted: What the samples are called in messages.
        more_samples: What else than a smaller batch gives every process enough of them.
        train_data: Clips of training, like the others None before ``setup``.
        val_data: Clips of validation.
        eval_data: Clips of test and prediction.
        quarantine: The training videos that cannot be read; None where nothing takes their place.
    """

    staying: tuple[str, ...] = ()
    collate: Callable[[Sequence[dict[str, Any]]], dict[str, Any]] = staticmethod(collate_clips)
    counted = "videos"
    more_samples = ""
    train_data: Clips | None = None
    val_data: Clips | None = None
    eval_data: Clips | None = None
    quarantine: Quarantine | None = None

    def train_dataloader(self) -> DataLoader:
        sampler = ShardedShuffle(len(self.train_data), self.hparams.seed, *self.place())
        self.check_shard(len(sampler), self.hparams.batch_size, "training")
        data = self.train_data
        if self.quarantine is not None:
            data = ReplacingClips(data, max_bad(self.hparams.max_bad_share, len(data.sources)))
        return ResumableLoader(sampler=sampler, drop_last=True, **self.loading(data))

    def val_dataloader(self) -> DataLoader:
        return self.eval_loader(self.val_data, "validation")

    def test_dataloader(self) -> DataLoader:
        return self.eval_loader(self.eval_data, "test")

    def predict_dataloader(self) -> DataLoader:
        return self.eval_loader(self.eval_data, "prediction")

    def on_before_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Take note of the samples that others took the place of."""
        bad = batch.pop("bad", None)
        if bad:
            self.quarantine.report(bad)
        return batch

    def transfer_batch_to_device(
        self, batch: dict[str, Any], device: torch.device, dataloader_idx: int
    ) -> dict[str, Any]:
        """Move a batch without what is looked at on the CPU: nothing has to wait there for the device."""
        staying = {key: batch[key] for key in self.staying if key in batch}
        moving = {key: value for key, value in batch.items() if key not in staying}
        return super().transfer_batch_to_device(moving, device, dataloader_idx) | staying

    def teardown(self, stage: str) -> None:
        """Say how much was replaced."""
        if stage == "fit" and self.quarantine is not None and self.quarantine.replaced:
            count, videos = self.quarantine.replaced, len(self.quarantine.bad)
            log.warning("%d visits of %d broken files were replaced by other samples", count, videos)

    def require_readable(self, sources: Sequence[Source | UnreadableSource]) -> None:
        """Refuse a split with videos that cannot be read, naming all of them."""
        broken = [VideoReadError(bad.path, bad.reason) for bad in sources if isinstance(bad, UnreadableSource)]
        if broken:
            raise broken_videos(broken, len(sources))

    def start_quarantine(self, train: Sequence[Source | UnreadableSource]) -> None:
        """Count the training videos that were found broken, and be ready for more."""
        if all(isinstance(source, UnreadableSource) for source in train):
            self.require_readable(train)
        file = None if self.trainer is None else Path(self.trainer.default_root_dir, BAD_SAMPLES_FILE)
        self.quarantine = Quarantine(file, [source.name for source in train], self.hparams.max_bad_share)
        self.quarantine.report(unreadable(train))

    def place(self) -> tuple[int, int]:
        """Index of this process, and number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def loading(self, data: Dataset) -> dict[str, Any]:
        """What all loaders are made with."""
        options = self.hparams
        return {"batch_size": options.batch_size, **loading_options(data, options.num_workers, self.collate)}

    def eval_loader(self, data: Clips, split: str) -> DataLoader:
        """Visit each sample of a split exactly once over all processes, in order."""
        rank, world_size = self.place()
        self.check_shard(len(data) // world_size, 1, split)  # the smallest share, so that no process ends alone
        # A generator of its own seeds the workers: one that drew from the global stream would shift the dropout of a
        # continued training, where the first evaluation starts workers that a straight training has running already.
        generator = seeded(self.hparams.seed)
        return DataLoader(sampler=Shard(len(data), rank, world_size), generator=generator, **self.loading(data))

    def check_shard(self, length: int, least: int, split: str) -> None:
        """Refuse a process that would have no batch: the others would wait for it for ever."""
        if length < least:
            raise ValueError(
                f"{split}: {length} {self.counted} for a process, fewer than a batch of {least}; lower "
                f"datamodule.batch_size or trainer.devices{self.more_samples}"
            )
