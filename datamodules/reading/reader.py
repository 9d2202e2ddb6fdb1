"""The interface that all ways of reading a video share, and what they have in common."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar

import numpy as np

from datamodules.reading.facts import VideoFacts

Reader = TypeVar("Reader", bound="VideoReader")


class VideoReader(Protocol):
    """An open video whose frames are read by their index in the order of presentation.

    Attributes:
        path: The file or frame folder.
        frame_count: Number of frames that can be read.
        fps: Mean frame rate in Hz.
        height: Height of a frame in pixels, as displayed (after rotation).
        width: Width of a frame in pixels, as displayed.
        frame_ids: Number of each frame in its data set: the integer in the file name for a frame folder, the index
            itself for a video file.
    """

    path: Path
    frame_count: int
    fps: float
    height: int
    width: int
    frame_ids: Sequence[int]

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Read frames in the order asked for; indices may repeat.

        Args:
            indices: T indices in [0, frame_count).

        Returns:
            uint8 (T, H, W, 3), RGB, in display orientation.

        Raises:
            IndexError: When an index lies outside the video.
            VideoReadError: When a frame cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Give the file and the decoder back; the reader is of no use afterwards."""
        ...

    def __enter__(self: Reader) -> Reader: ...

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class FactsReader(VideoReader):
    """Base of the backends: takes what is known from the probe, and decodes every wanted frame once.

    Args:
        facts: What the probe found out about the video.
    """

    def __init__(self, facts: VideoFacts) -> None:
        self.facts = facts
        self.path, self.frame_count, self.fps = facts.path, facts.frame_count, facts.fps
        self.height, self.width = facts.height, facts.width
        self.frame_ids = facts.frame_ids

    def read(self, indices: Sequence[int]) -> np.ndarray:
        wanted = np.asarray(indices, dtype=np.int64)
        if wanted.ndim != 1:
            raise ValueError(f"{self.path}: expected a flat sequence of frame indices, found shape {wanted.shape}")
        if wanted.size == 0:
            return np.empty((0, self.height, self.width, 3), dtype=np.uint8)
        if wanted.min() < 0 or wanted.max() >= self.frame_count:
            wrong = wanted[(wanted < 0) | (wanted >= self.frame_count)][0]
            raise IndexError(f"{self.path}: frame index {wrong} is outside [0, {self.frame_count})")
        unique, place = np.unique(wanted, return_inverse=True)
        frames = self.decode(unique)
        return frames if np.array_equal(unique, wanted) else frames[place]

    @abstractmethod
    def decode(self, indices: np.ndarray) -> np.ndarray:
        """Decode the frames at ``indices``, int64 (T,), strictly increasing and valid, to uint8 (T, H, W, 3)."""

    def close(self) -> None:
        return None

    def __enter__(self: Reader) -> Reader:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
