"""Who is heard when, in view or not: the person with the camera as well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from datamodules.tracks.columns import read_columns, typed_columns, write_columns

VOICES_VERSION = 1  # to be raised when the columns or their meaning change
DTYPES = {"video_id": object, "person_id": object, "first_frame": np.int64, "last_frame": np.int64, "wearer": np.bool_}
NOBODY = (np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True)
class VoiceTable:
    """Voice segments; columns of one length N.

    Attributes:
        video_id: (N,) str.
        person_id: (N,) str, as annotated; never a number, since the wearer may be called ``camera_wearer``.
        first_frame: int64 (N,), of the segment, within the video.
        last_frame: int64 (N,), likewise; it is part of the segment.
        wearer: bool (N,), it is the voice of the person with the camera.
        complete: Videos all of whose voices are annotated: where no segment is, nobody is heard. Of others nothing is
            known there.
    """

    video_id: np.ndarray
    person_id: np.ndarray
    first_frame: np.ndarray
    last_frame: np.ndarray
    wearer: np.ndarray
    complete: frozenset[str] = field(default_factory=frozenset)

    def __len__(self) -> int:
        return len(self.first_frame)

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence], complete: Sequence[str] = ()) -> "VoiceTable":
        """Make a table of columns in any order of rows.

        Raises:
            ValueError: When columns are missing or differ in length, or a segment ends before it begins.
        """
        arrays = typed_columns(columns, DTYPES)
        wrong = np.flatnonzero((arrays["first_frame"] > arrays["last_frame"]) | (arrays["first_frame"] < 0))
        if len(wrong):
            row = {name: column[wrong[0]] for name, column in arrays.items()}
            where = f"{row['video_id']}, person {row['person_id']}"
            raise ValueError(f"found a segment of frames {row['first_frame']} to {row['last_frame']} ({where})")
        order = sorted(range(len(arrays["wearer"])), key=lambda n: tuple(arrays[name][n] for name in DTYPES))
        return cls(**{name: column[order] for name, column in arrays.items()}, complete=frozenset(complete))

    def voice_at(self, video_id: str, frames: np.ndarray) -> np.ndarray:
        """Whether anybody is heard, in view or not.

        Args:
            video_id: The video.
            frames: int64 (T,), frame numbers.

        Returns:
            int8 (T,), 1 somebody, 0 nobody, -1 unknown.
        """
        return self._heard((video_id,), frames)

    def wearer_at(self, video_id: str, frames: np.ndarray) -> np.ndarray:
        """Whether the person with the camera is heard; as `voice_at`."""
        return self._heard((video_id, True), frames)

    def person_at(self, video_id: str, person_id: str, frames: np.ndarray) -> np.ndarray:
        """Whether a person is heard; as `voice_at`."""
        return self._heard((video_id, person_id), frames)

    def segments_of(self, video_id: str, person_id: str) -> tuple[np.ndarray, np.ndarray]:
        """First and last frames of what a person says, int64 (S,) each, increasing and apart."""
        return self._united.get((video_id, person_id), NOBODY)

    def to_parquet(self, path: Path) -> None:
        """Write the table; the file is whole or not there."""
        write_columns(
            path, {name: getattr(self, name) for name in DTYPES}, VOICES_VERSION, complete=sorted(self.complete)
        )

    @classmethod
    def from_parquet(cls, path: Path) -> "VoiceTable":
        """Read what `to_parquet` wrote.

        Raises:
            DataFileError: When it is no such file.
        """
        table, said = read_columns(path, DTYPES, VOICES_VERSION, cls.from_columns)
        return cls(**{name: getattr(table, name) for name in DTYPES}, complete=frozenset(said.get("complete", ())))

    def _heard(self, key: tuple, frames: np.ndarray) -> np.ndarray:
        first, last = self._united.get(key, NOBODY)
        frames = np.asarray(frames, dtype=np.int64)
        found = np.searchsorted(first, frames, side="right") - 1
        inside = found >= 0
        inside[inside] = frames[inside] <= last[found[inside]]
        elsewhere = 0 if key[0] in self.complete else -1
        return np.where(inside, 1, elsewhere).astype(np.int8)

    @cached_property
    def _united(self) -> dict[tuple, tuple[np.ndarray, np.ndarray]]:
        """Segments without overlap: of each video, of its wearer (True), and of each of its persons."""
        spans: dict[tuple, list[tuple[int, int]]] = {}
        columns = [getattr(self, name).tolist() for name in DTYPES]
        for video, person, first, last, wearer in zip(*columns, strict=True):
            for key in ((video,), (video, person), *(((video, True),) if wearer else ())):
                spans.setdefault(key, []).append((first, last))
        return {key: united(found) for key, found in spans.items()}


def united(spans: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Join segments (first, last) that overlap or touch; first and last frames, int64 and increasing."""
    joined: list[list[int]] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], last)
        else:
            joined.append([first, last])
    firsts, lasts = np.array(joined, dtype=np.int64).reshape(-1, 2).T
    return firsts, lasts
