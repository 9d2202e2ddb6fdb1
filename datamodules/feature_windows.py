"""Which frames the rows of a file of features stand for, where the file does not say it."""

from dataclasses import dataclass

import numpy as np

from datamodules.feature_files import FeatureFile, FeatureFileError
from datamodules.frame_indices import window_starts


class FeatureLengthError(FeatureFileError):
    """A file of features has another number of rows than its video has windows."""


@dataclass(frozen=True)
class Windowing:
    """How rows lie in a video: windows that start at 0, ``stride``, 2 ``stride``, ...

    Attributes:
        stride: Frames between the starts of two windows.
        clip_len: Frames of a window.
        tolerance: Frames by which the decoder that features came from may count otherwise than who labelled them.
    """

    stride: int = 16
    clip_len: int = 16
    tolerance: int = 1

    def counts(self, frames: int) -> tuple[int, int]:
        """Number of windows without the incomplete last one, and with it."""
        drop, pad = (len(window_starts(frames, self.clip_len, self.stride, tail)) for tail in ("drop", "pad"))
        return drop, pad


def window_spans(file: FeatureFile, frames: int | None, windowing: Windowing) -> np.ndarray:
    """List the frames of each row of a file that does not say it.

    Args:
        file: The features.
        frames: N, number of frames of the video; None where it is not known.
        windowing: How rows lie in the video.

    Returns:
        int64 (T, 2), positions of first and last frame; the last may lie behind the end.

    Raises:
        FeatureLengthError: When T is the number of windows neither with the incomplete last one nor without.
    """
    if frames is not None:
        possible = range(max(frames - windowing.tolerance, 1), frames + windowing.tolerance + 1)
        if all(file.num_rows not in windowing.counts(number) for number in possible):
            drop, pad = windowing.counts(frames)
            raise FeatureLengthError(
                file.path,
                f"{file.name}: {file.num_rows} rows do not fit {frames} frames, of which windows of "
                f"{windowing.clip_len} frames at stride {windowing.stride} make {drop} or {pad}; set datamodule.stride "
                "and datamodule.clip_len to those of the features",
            )
    first = np.arange(file.num_rows, dtype=np.int64) * windowing.stride
    return np.stack([first, first + windowing.clip_len - 1], axis=1)
