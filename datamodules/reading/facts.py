"""What is known about a video without decoding it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class VideoFacts:
    """What one look at a video file or frame folder tells, enough to sample from it and to open it exactly.

    Attributes:
        path: The file or folder.
        kind: ``file`` for a container, ``frames`` for a folder of images.
        frame_count: Number of frames that are presented (an edit list may hide some that are stored).
        fps: Mean frame rate in Hz.
        height: Height in pixels as displayed (after rotation).
        width: Width in pixels as displayed.
        codec: Name of the codec (FFmpeg's) or, for a frame folder, of the image format.
        open_gop: Some frames after a key frame in the stream are shown before it or need frames before it, so that
            a decoder that starts at the key frame gets them wrong.
        edit_list: Some stored frames are not presented.
        variable_frame_rate: The distance between frames varies by more than the clock's rounding.
        rotation: Clockwise turn in degrees that displays the frames upright: 0, 90, 180 or 270.
        audio_streams: Number of audio streams.
        time_base: Seconds per tick of ``first_tick`` and ``ticks``.
        first_tick: Presentation time of the first frame.
        ticks: Presentation time of every frame where the frame rate varies, else empty.
        runs: Frame numbers of a frame folder as ranges ``(first, stop)``; empty for a file, whose frames are
            numbered 0, 1, ...
    """

    path: Path
    kind: Literal["file", "frames"]
    frame_count: int
    fps: float
    height: int
    width: int
    codec: str
    open_gop: bool = False
    edit_list: bool = False
    variable_frame_rate: bool = False
    rotation: int = 0
    audio_streams: int = 0
    time_base: Fraction = Fraction(1)
    first_tick: int = 0
    ticks: tuple[int, ...] = ()
    runs: tuple[tuple[int, int], ...] = ()

    @property
    def frame_ids(self) -> Sequence[int]:
        """Number of each frame in its data set, increasing."""
        if not self.runs:
            return range(self.frame_count)
        return [number for first, stop in self.runs for number in range(first, stop)]

    def times(self) -> np.ndarray:
        """Presentation time of every frame, float64 (frame_count,), seconds since the first one.

        The images of a folder are taken to be numbered at ``fps``, so that a gap in the numbers is a gap in time.
        """
        if self.ticks:
            ticks = np.asarray(self.ticks, dtype=np.int64)
            return (ticks - ticks[0]) * float(self.time_base)
        numbers = np.asarray(self.frame_ids, dtype=np.int64)
        return (numbers - numbers[0]) / self.fps

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; ``path`` is left out, because the index knows it."""
        values = asdict(self)
        del values["path"]
        return values | {"time_base": [self.time_base.numerator, self.time_base.denominator]}

    @classmethod
    def from_json(cls, path: Path, values: Mapping[str, Any]) -> "VideoFacts":
        """Rebuild what ``to_json`` wrote.

        Raises:
            KeyError: When a value is missing or there is one too many, as in a file of another version.
        """
        expected = {field.name for field in fields(cls)} - {"path"}
        if expected != set(values):
            raise KeyError(f"expected {sorted(expected)}, got {sorted(values)}")
        return cls(
            path=path,
            **{key: values[key] for key in expected - {"time_base", "ticks", "runs"}},
            time_base=Fraction(*values["time_base"]),
            ticks=tuple(values["ticks"]),
            runs=tuple((first, stop) for first, stop in values["runs"]),
        )


def ranges(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Write increasing integers as ranges ``(first, stop)``: 3, 4, 5, 9 gives (3, 6), (9, 10)."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1]:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return tuple(found)
