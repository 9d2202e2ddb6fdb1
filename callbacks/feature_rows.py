"""The rows of videos that are under way: put together by name, row and view, never by the order they come in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

FILLS_UP = -1  # the row of a clip that only fills up a batch
KEYS = ("name", "row", "rows", "view", "views", "frames", "seconds")


@dataclass(frozen=True)
class Clip:
    """One clip of a batch.

    Attributes:
        video: Name.
        row: Place among the rows of the video.
        rows: Rows of the video.
        view: Place among the spatial views.
        views: Number of views.
        frames: Numbers of its first and last frame.
        seconds: Times of its first and last frame.
        features: float32 or float16, of any shape.
    """

    video: str
    row: int
    rows: int
    view: int
    views: int
    frames: tuple[int, int]
    seconds: tuple[float, float]
    features: np.ndarray


def clips_of(batch: Mapping[str, Any], features: Tensor) -> Iterator[Clip]:
    """Take a batch apart, without the clips that only fill it up.

    Args:
        batch: With the ``KEYS`` of clip batches (docs/design.md).
        features: (B, ...), on the CPU.

    Raises:
        ValueError: When keys are missing, or there are not as many features as clips.
    """
    lacking = [key for key in KEYS if key not in batch]
    if lacking:
        raise ValueError(f"callbacks.features: batches lack {', '.join(lacking)}; found {', '.join(batch)}")
    names = batch["name"]
    if len(features) != len(names):
        shape = tuple(features.shape)
        raise ValueError(f"callbacks.features: found features {shape} of {len(names)} clips; expected one per clip")
    places = zip(*(batch[key].tolist() for key in ("row", "rows", "view", "views")), strict=True)
    spans = zip(*(batch[key][:, [0, -1]].tolist() for key in ("frames", "seconds")), strict=True)
    for name, (row, *place), span, values in zip(names, places, spans, features.numpy(), strict=True):
        if row != FILLS_UP:
            yield Clip(name, row, *place, *map(tuple, span), values)


class VideoRows:
    """The rows of one video as they come.

    Args:
        clip: The first of them, which says how many there will be.
    """

    def __init__(self, clip: Clip) -> None:
        self.values = np.empty((clip.rows, clip.views, *clip.features.shape), clip.features.dtype)
        self.there = np.zeros((clip.rows, clip.views), dtype=bool)
        self.frames = np.zeros((clip.rows, 2), dtype=np.int64)
        self.seconds = np.zeros((clip.rows, 2))

    def add(self, clip: Clip) -> None:
        """Put a clip in its place.

        Raises:
            ValueError: When it has none, or is there already.
        """
        place = clip.row, clip.view
        if self.there.shape != (clip.rows, clip.views) or not (
            0 <= clip.row < clip.rows and 0 <= clip.view < clip.views
        ):
            raise ValueError(
                f"{clip.video}: found row {clip.row} of {clip.rows}, view {clip.view} of {clip.views}, in a video of "
                f"{self.there.shape[0]} rows and {self.there.shape[1]} views"
            )
        if self.there[place]:
            raise ValueError(f"{clip.video}: row {clip.row} of view {clip.view} came twice; a sampler repeats clips")
        self.there[place], self.values[place] = True, clip.features
        self.frames[clip.row], self.seconds[clip.row] = clip.frames, clip.seconds

    @property
    def count(self) -> int:
        """Clips that are there."""
        return int(self.there.sum())

    @property
    def total(self) -> int:
        """Clips the video has."""
        return self.there.size

    def array(self) -> np.ndarray:
        """Features (rows, views, ...), without the axis of views where there is one view."""
        return self.values[:, 0] if self.there.shape[1] == 1 else self.values

    def spans(self) -> dict[str, list[list[float]]]:
        """First and last frame and time of every row."""
        return {"frames": self.frames.tolist(), "seconds": self.seconds.tolist()}
