"""Faces of all data sets in one table: a row per face box, ordered by video, entity and frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datamodules.tracks.columns import coded, read_columns, typed_columns, write_columns

SOURCES = ANNOTATED, INTERPOLATED = "annotated", "interpolated"
SPEAKING, SILENT, UNKNOWN = 1, 0, -1
SIDES = ("x1", "y1", "x2", "y2")
KEY = ("video_id", "entity_id", "frame")  # no two rows of a table have the same
TABLE_VERSION = 1  # to be raised when the columns or their meaning change


class Medium(NamedTuple):
    """What is to be known of a video or frame folder to place boxes in it.

    Attributes:
        width: Of a frame, in pixels.
        height: Likewise.
        fps: Frames per second.
        num_frames: Frames that there are, numbered from 0.
    """

    width: int
    height: int
    fps: float
    num_frames: int


@dataclass(frozen=True)
class TrackTable:
    """Face boxes, each with what its person does in its frame; columns of one length N.

    The constructor takes columns as they are; `from_columns` brings them into type and order, which all methods rely
    on. Columns of words are object arrays of ``str`` in which equal words of a video are one object.

    Attributes:
        dataset: (N,) str, such as ``ego4d``.
        video_id: (N,) str, what the frames belong to: the clip uid of Ego4D, the video of AVA.
        entity_id: (N,) str, a face track; unique within its video.
        person_id: (N,) str, who it is, as annotated; empty where nobody says.
        frame: int64 (N,), number of the frame in the medium, from 0.
        timestamp: float64 (N,), time of the frame in seconds, as annotated where it is.
        x1, y1, x2, y2: float64 (N,), sides of the box in [0, 1] of the frame, which the box may leave.
        frame_w, frame_h: int32 (N,), size of the frame in pixels.
        label: int8 (N,), 1 speaking, 0 not, -1 unknown.
        source: (N,) str, ``annotated``, or ``interpolated`` between two annotated boxes.
        track_id: (N,) str, the track as annotated; may repeat for several persons.
    """

    dataset: np.ndarray
    video_id: np.ndarray
    entity_id: np.ndarray
    person_id: np.ndarray
    frame: np.ndarray
    timestamp: np.ndarray
    x1: np.ndarray
    y1: np.ndarray
    x2: np.ndarray
    y2: np.ndarray
    frame_w: np.ndarray
    frame_h: np.ndarray
    label: np.ndarray
    source: np.ndarray
    track_id: np.ndarray

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence]) -> "TrackTable":
        """Make a table of columns in any order of rows.

        Args:
            columns: All columns by name; a single value stands for a column of it.

        Raises:
            ValueError: When columns are missing, differ in length, or say what no table can.
        """
        arrays = typed_columns(columns, DTYPES)
        return cls.from_rows(arrays, in_order(arrays)[0])

    @classmethod
    def from_rows(cls, arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> "TrackTable":
        """Make a table of some rows, int64, given in its order, of columns that have been brought into type."""
        everything = np.array_equal(rows, np.arange(len(arrays["frame"])))
        table = cls(**(arrays if everything else {name: column[rows] for name, column in arrays.items()}))
        table.validate()
        return table

    @classmethod
    def concat(cls, tables: Sequence["TrackTable"]) -> "TrackTable":
        """All rows of several tables."""
        tables = sorted((table for table in tables if len(table)), key=lambda table: table.video_id[0])
        if not tables:
            return cls.empty()
        parts = [vars_of(table) for table in tables]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in DTYPES}
        ascending = all(before.video_id[-1] < after.video_id[0] for before, after in pairwise(tables))
        return cls(**joined) if ascending else cls.from_columns(joined)

    @classmethod
    def empty(cls) -> "TrackTable":
        """A table without rows."""
        return cls.from_columns({name: () for name in DTYPES})

    def take(self, rows: np.ndarray | slice) -> "TrackTable":
        """Rows of a mask, of increasing indices, or of a slice; the order stays."""
        return TrackTable(**{name: column[rows] for name, column in vars_of(self).items()})

    @cached_property
    def starts(self) -> np.ndarray:
        """int64 (E + 1,): entity e has the rows ``starts[e]`` to ``starts[e + 1]``, by increasing frame."""
        new = np.ones(len(self), dtype=bool)
        for column in (self.video_id, self.entity_id):
            new[1:] &= column[1:] == column[:-1]
        new[1:] = ~new[1:]
        return np.append(np.flatnonzero(new), len(self))

    @cached_property
    def entities(self) -> dict[tuple[str, str], slice]:
        """Rows of each entity, by video and entity, in the order of the table."""
        bounds = zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True)
        return {(self.video_id[start], self.entity_id[start]): slice(start, stop) for start, stop in bounds}

    @cached_property
    def videos(self) -> dict[str, slice]:
        """Rows of each video, in the order of the table."""
        rows: dict[str, slice] = {}
        for (video, _), found in self.entities.items():
            rows[video] = slice(rows.get(video, found).start, found.stop)
        return rows

    def of(self, video_id: str, entity_id: str | None = None) -> "TrackTable":
        """Rows of an entity or, without one, of a video; none where there is no such entity."""
        found = self.videos.get(video_id) if entity_id is None else self.entities.get((video_id, entity_id))
        return self.take(slice(0) if found is None else found)

    @property
    def boxes(self) -> np.ndarray:
        """float64 (N, 4), xyxy in [0, 1] of the frame."""
        return np.column_stack([getattr(self, side) for side in SIDES])

    @property
    def width(self) -> np.ndarray:
        """float64 (N,), width of the face in pixels of the frame."""
        return (self.x2 - self.x1) * self.frame_w

    @property
    def annotated(self) -> np.ndarray:
        """bool (N,), False for interpolated boxes."""
        return self.source == ANNOTATED

    @property
    def milliseconds(self) -> np.ndarray:
        """int64 (N,), timestamps as keys that survive being written with a few decimals."""
        return np.rint(self.timestamp * 1000).astype(np.int64)

    def to_parquet(self, path: Path) -> None:
        """Write the table; the file is whole or not there."""
        write_columns(path, vars_of(self), TABLE_VERSION)

    @classmethod
    def from_parquet(cls, path: Path) -> "TrackTable":
        """Read what `to_parquet` wrote, or a Parquet file of others with these columns.

        Raises:
            DataFileError: When it is no such file.
        """
        return read_columns(path, DTYPES, TABLE_VERSION, cls.from_columns)[0]

    def validate(self) -> None:
        """Refuse what no table can say.

        Raises:
            ValueError: With the first contradiction.
        """
        same = (self.video_id[1:] == self.video_id[:-1]) & (self.entity_id[1:] == self.entity_id[:-1])
        numbers = [getattr(self, name) for name in (*SIDES, "timestamp")]
        flaws = {
            "a frame number below 0": self.frame < 0,
            "a coordinate or time that is not finite": ~all_finite(numbers),
            "a box without area": (self.x1 >= self.x2) | (self.y1 >= self.y2),
            "a frame without pixels": (self.frame_w < 1) | (self.frame_h < 1),
            "a label other than 1, 0 and -1": (self.label < UNKNOWN) | (self.label > SPEAKING),
            f"a source other than {ANNOTATED} and {INTERPOLATED}": ~known_sources(self.source),
            "two boxes of an entity in one frame": np.append(same & (self.frame[1:] == self.frame[:-1]), False),
        }
        for flaw, wrong in flaws.items():
            if wrong.any():
                row = int(np.flatnonzero(wrong)[0])
                where = f"{self.video_id[row]}, entity {self.entity_id[row]}, frame {self.frame[row]}"
                raise ValueError(f"found {flaw} ({where})")


NUMBERS = {"frame": np.int64, "frame_w": np.int32, "frame_h": np.int32, "label": np.int8}
WORDS = ("dataset", "video_id", "entity_id", "person_id", "source", "track_id")
DTYPES: dict[str, Any] = {
    field.name: object if field.name in WORDS else NUMBERS.get(field.name, np.float64) for field in fields(TrackTable)
}


def vars_of(table: TrackTable) -> dict[str, np.ndarray]:
    """Columns by name, without what was computed from them."""
    return {name: getattr(table, name) for name in DTYPES}


def in_order(columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Put rows in the order of a table, by video, entity and frame; those of one key stay as they are.

    Args:
        columns: Those of `KEY`, (N,) each; others are not looked at.

    Returns:
        int64 (N,), the rows, and bool (N,), True for one with the key of the row before it.
    """
    *words, frame = (columns[name] for name in KEY)
    keys = [*(coded(column)[1] for column in words), frame]
    order = np.lexsort(keys[::-1])
    again = np.zeros(len(order), dtype=bool)
    again[1:] = np.logical_and.reduce([np.diff(key[order]) == 0 for key in keys])
    return order, again


def all_finite(columns: Sequence[np.ndarray]) -> np.ndarray:
    """bool (N,), True where all columns (N,) are finite."""
    return np.logical_and.reduce([np.isfinite(column) for column in columns])


def known_sources(source: np.ndarray) -> np.ndarray:
    """bool (N,), True where a source is one."""
    return (source == ANNOTATED) | (source == INTERPOLATED)
