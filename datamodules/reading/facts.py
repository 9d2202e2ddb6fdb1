"""What is known about a video without decoding it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
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
        codec: FFmpeg's name of the codec or, for a frame folder, PIL's name of the image format.
        container: FFmpeg's name of the container; empty for a frame folder.
        open_gop: A decoder that starts at a key frame gets some frames wrong, because they need frames before it.
        edit_list: Some stored frames are not presented.
        rotation: Clockwise turn in degrees that displays the frames upright: 0, 90, 180 or 270.
        audio_streams: Number of audio streams.
        clock: What names a decoded frame. ``pts``: its presentation time. ``dts``: the decoding time of its packet,
            in containers that store no presentation times (AVI). ``none``: only its place in the file.
        time_base: Seconds per tick of the clock.
        first_tick: Presentation time of the first frame.
        last_tick: Presentation time of the last frame.
        ticks: The clock at every frame, in the order of presentation; empty where the frames are equally spaced.
        keys: Where decoding can start: index of the key frame and its tick.
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
    container: str = ""
    open_gop: bool = False
    edit_list: bool = False
    rotation: int = 0
    audio_streams: int = 0
    clock: Literal["pts", "dts", "none"] = "none"
    time_base: Fraction = Fraction(1)
    first_tick: int = 0
    last_tick: int = 0
    ticks: tuple[int, ...] = ()
    keys: tuple[tuple[int, int], ...] = ()
    runs: tuple[tuple[int, int], ...] = ()

    @property
    def variable_frame_rate(self) -> bool:
        """Whether the distance between frames varies by more than the clock's rounding."""
        return bool(self.ticks) and not equally_spaced(sorted(self.ticks))

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
            ticks = np.sort(np.asarray(self.ticks, dtype=np.int64))  # the clock dts does not run in this order
            return (ticks - ticks[0]) * float(self.time_base)
        numbers = np.asarray(self.frame_ids, dtype=np.int64)
        return (numbers - numbers[0]) / self.fps

    def index_at(self, tick: int) -> int | None:
        """Index of the frame at a tick of the clock, or None; for files whose frames are equally spaced."""
        spacing = (self.last_tick - self.first_tick) / max(self.frame_count - 1, 1) or 1
        index = round((tick - self.first_tick) / spacing)
        exact = abs(self.first_tick + index * spacing - tick) <= LARGEST_ROUNDING
        return index if exact and 0 <= index < self.frame_count else None

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; without the path, which the index knows, and what has its default value."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "path"}
        changed = {name: value for name, value in values.items() if value != DEFAULTS.get(name, MISSING)}
        if "time_base" in changed:
            changed["time_base"] = [self.time_base.numerator, self.time_base.denominator]
        return changed

    @classmethod
    def from_json(cls, path: Path, values: Mapping[str, Any]) -> "VideoFacts":
        """Rebuild what ``to_json`` wrote, also after a trip through a JSON file.

        Raises:
            TypeError: When a value is missing or is one too many, as in a file of another version.
        """
        known = dict(values)
        if "time_base" in known:
            known["time_base"] = Fraction(*known["time_base"])
        for name in {"ticks", "keys", "runs"} & set(known):
            known[name] = tuple(tuple(entry) if isinstance(entry, (list, tuple)) else entry for entry in known[name])
        return cls(path=path, **known)


DEFAULTS = {field.name: field.default for field in fields(VideoFacts) if field.default is not MISSING}

# Containers round presentation times to whole ticks: each of two times is off by up to half a tick.
LARGEST_ROUNDING = 1

# With fewer ticks per frame (AVI has one) a tick is no rounding any more, but a missing frame.
COARSEST_ROUNDED_SPACING = 8


def equally_spaced(ticks: Sequence[int]) -> bool:
    """Tell whether increasing ticks are an even spacing, rounded to whole ticks."""
    if len(ticks) < 2:
        return True
    even = np.linspace(ticks[0], ticks[-1], len(ticks))
    spacing = (ticks[-1] - ticks[0]) / (len(ticks) - 1)
    rounding = LARGEST_ROUNDING if spacing >= COARSEST_ROUNDED_SPACING else 0
    return bool(np.abs(np.asarray(ticks, dtype=np.int64) - even).max() <= rounding)


def ranges(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Write increasing integers as ranges ``(first, stop)``: 3, 4, 5, 9 gives (3, 6), (9, 10)."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1]:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return tuple(found)
