"""Face tracks without holes: short gaps are filled, long ones part a track."""

from dataclasses import dataclass, fields, replace

import numpy as np

from datamodules.tracks.table import INTERPOLATED, SIDES, UNKNOWN, TrackTable
from datamodules.tracks.voices import VoiceTable


@dataclass(frozen=True)
class Segments:
    """Runs of consecutive frames of face tracks, in the order of the table.

    Attributes:
        table: Annotated and interpolated boxes.
        starts: int64 (S + 1,), segment s has the rows ``starts[s]`` to ``starts[s + 1]``, one for each of its frames.
    """

    table: TrackTable
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, segment: int) -> TrackTable:
        """Rows of a segment."""
        return self.table.take(slice(*self.starts[segment : segment + 2].tolist()))

    @property
    def lengths(self) -> np.ndarray:
        """int64 (S,), frames of each segment."""
        return np.diff(self.starts)


def segments(tracks: TrackTable, voices: VoiceTable, max_gap: int = 10, min_length: int = 1) -> Segments:
    """Fill gaps in tracks and part them where they are too long.

    A box between two annotated ones lies on the line between theirs. It is labelled by the voice of its person in its
    own frame; where not all voices are annotated, by the labels on both sides when they agree, else not at all.

    Args:
        tracks: Faces.
        voices: Voices of the same videos.
        max_gap: Frames without a box that are filled; longer gaps part the track.
        min_length: Frames of the shortest segment that is kept; 1, for evaluation, keeps every annotated box.

    Raises:
        ValueError: When an argument is out of its range.
    """
    if max_gap < 0 or min_length < 1:
        raise ValueError(f"expected max_gap of at least 0, min_length of at least 1, found {max_gap}, {min_length}")
    num = len(tracks)
    step = np.diff(tracks.frame, append=0)  # to the next row; to another entity it is never followed
    ends = np.zeros(num, dtype=bool)
    ends[tracks.starts[1:] - 1] = True
    ends |= step > max_gap + 1
    repeats = np.where(ends, 1, step)
    row = np.repeat(np.arange(num), repeats)  # the annotated box at or before each box
    first = np.cumsum(repeats) - repeats
    along = np.arange(len(row)) - first[row]
    filled = along > 0
    table = interpolated(tracks, row, along, step)
    table = replace(table, label=gap_labels(table, tracks.label[row], tracks.label[row + filled], voices))
    starts = np.concatenate(([0], (np.cumsum(repeats))[ends]))
    kept = np.diff(starts) >= min_length
    table = table if kept.all() else table.take(np.repeat(kept, np.diff(starts)))
    return Segments(table, np.concatenate(([0], np.cumsum(np.diff(starts)[kept]))).astype(np.int64))


def interpolated(tracks: TrackTable, row: np.ndarray, along: np.ndarray, step: np.ndarray) -> TrackTable:
    """Boxes ``along`` frames behind those of rows ``row``, on the line to the next row, ``step[row]`` frames behind."""
    filled = along > 0
    columns = {field.name: getattr(tracks, field.name)[row] for field in fields(tracks)}
    columns["frame"] = columns["frame"] + along
    share = along[filled] / step[row[filled]]
    for name in (*SIDES, "timestamp"):
        column = getattr(tracks, name)
        before, behind = column[row[filled]], column[row[filled] + 1]
        columns[name][filled] = before + share * (behind - before)
    columns["source"][filled] = INTERPOLATED
    return TrackTable(**columns)


def gap_labels(table: TrackTable, before: np.ndarray, behind: np.ndarray, voices: VoiceTable) -> np.ndarray:
    """Labels of all boxes; those of annotated ones stay.

    Args:
        table: Boxes.
        before: (N,) label of the annotated box at or before each box.
        behind: (N,) label of the one at or behind it.
        voices: Voices of the videos.

    Returns:
        int8 (N,).
    """
    label = np.where(before == behind, before, np.int8(UNKNOWN))
    filled = ~table.annotated
    for (video, _), rows in table.entities.items():
        if video in voices.complete and filled[rows].any():
            chosen = rows.start + np.flatnonzero(filled[rows])
            label[chosen] = voices.person_at(video, table.person_id[rows.start], table.frame[chosen])
    return label
