"""Clips of videos of which nothing is known, for prediction."""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from datamodules.listing import Listed, find_at
from datamodules.videos import Videos

UNKNOWN = -1


class VideoClips(Videos):
    """Clips (`datamodules.videos.Videos`) of a video file, or of a folder of them, for prediction alone.

    Batches also have ``class_id`` int64 (B,), -1: nobody knows.

    Args:
        path: A video file or frame folder, or a folder of them.
        **options: Others of `datamodules.videos.Videos`.
    """

    provides = (*Videos.provides, "class_id")
    title = "your own videos"

    def __init__(self, path: str, **options: Any) -> None:
        self.path = Path(path)
        super().__init__(str(self.path.parent), regions=None, on_error="error", val_fraction=0.0, **options)

    @cached_property
    def found(self) -> list[Listed]:
        """The videos."""
        return find_at(self.path, "datamodule.path")

    def training_videos(self) -> list[Listed]:
        return self.found

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        batch = super().on_after_batch_transfer(batch, dataloader_idx)
        return batch | {"class_id": torch.full_like(batch["index"], UNKNOWN)}
