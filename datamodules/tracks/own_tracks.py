"""Face tracks of one's own, or boxes of a face detector, as a csv with a header.

================  ====================================================================================================
``frame``         number of the frame, from 0; or ``timestamp`` in seconds in its place
``x1 y1 x2 y2``   box, in pixels of the frame or in [0, 1] of its sides; one file is written in one way
``video_id``      which video; may be lacking when there is only one
``entity_id``     which track; without it the boxes of a detector are linked by their overlap
``person_id``     who it is, for the tracks of one person; may be lacking
``label``         1 speaking, 0 not, -1 or nothing when unknown, or the words of AVA-ActiveSpeaker; may be lacking
================  ====================================================================================================

Columns come in any order, others are left aside. What `datamodules.tracks.table.TrackTable` holds is such a file too.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from datamodules.errors import DataFileError, PathNotFoundError
from datamodules.tracks import ava_speech
from datamodules.tracks.annotations import Annotations, Clip, Media, voices_seen
from datamodules.tracks.csv_rows import CsvRows, read_csv
from datamodules.tracks.csv_tables import labelled, placed, table_of
from datamodules.tracks.table import SIDES, UNKNOWN

DATASET = "own"
EXPECTED = "expected a header with x1,y1,x2,y2, frame or timestamp, and perhaps video_id,entity_id,person_id,label"
LARGEST_SHARE = 2.0  # of a frame's side: a face in [0, 1] does not reach so far out of its frame, one in pixels does
LABELS = {"1": 1, "0": 0, "-1": UNKNOWN} | ava_speech.LABELS


class Tracker(Protocol):
    """Follows faces from frame to frame, as ``datamodules.faces.tracking.FaceTracker`` does."""

    def follow(self, frame: int, boxes: np.ndarray) -> None:
        """Take the boxes (n, 4) of the next frame."""

    def tracks(self) -> list[Any]:
        """Tracks with ``number``, ``frames`` and ``boxes``."""


def read_own_tracks(
    path: Path,
    media: Media,
    video_id: str | None = None,
    tracker: Callable[[], Tracker] | None = None,
    split: str = "",
    dataset: str = DATASET,
) -> Annotations:
    """Read a csv.

    Args:
        path: The file.
        media: Size, rate and length of each video, by id.
        video_id: Video of a file without the column ``video_id``.
        tracker: Makes what links the boxes of a file without the column ``entity_id``.
        split: Part of the data set, for defects.
        dataset: Name of the data set.

    Raises:
        PathNotFoundError: When there is no such file.
        DataFileError: When it is no such csv, or mixes pixels and shares.
    """
    if not path.is_file():
        raise PathNotFoundError("annotations", path, f"Expected a csv: {EXPECTED.removeprefix('expected ')}.")
    rows, malformed = read_csv(path, (), "x1")
    rows = completed(rows, video_id, tracker is not None)
    rows, homeless = placed(rows, media)
    rows, strange = labelled(rows, LABELS)
    rows = timed(in_shares(rows))
    if "entity_id" not in rows:
        rows = linked(rows, tracker)
    entity = rows["entity_id"]
    rows = rows.having(**{name: rows.columns.get(name, entity) for name in ("person_id", "track_id")})
    tracks, unusable = table_of(rows, dataset)
    defects = tuple(replace(one, split=split) for one in (*malformed, *homeless, *strange, *unusable))
    known = {video for video, found in tracks.videos.items() if (tracks.label[found] != UNKNOWN).any()}
    clips = {video: Clip(video, labelled=video in known) for video in dict.fromkeys(rows["video_id"])}
    return Annotations(tracks, voices_seen(tracks), clips, defects)


def completed(rows: CsvRows, video_id: str | None, may_link: bool) -> CsvRows:
    """Rows with the columns that may be lacking, but ``entity_id``.

    Raises:
        DataFileError: When one is lacking that must be there.
    """
    lacking = [name for name in SIDES if name not in rows]
    lacking += ["frame or timestamp"] if "frame" not in rows and "timestamp" not in rows else []
    lacking += ["video_id"] if video_id is None and "video_id" not in rows else []
    lacking += ["entity_id"] if not may_link and "entity_id" not in rows else []
    if lacking:
        raise DataFileError(rows.path, f"lacks {', '.join(lacking)}; {EXPECTED}")
    lacking = {"video_id": [video_id or ""] * len(rows), "label": [""] * len(rows)}
    return rows.having(**{name: column for name, column in lacking.items() if name not in rows})


def in_shares(rows: CsvRows) -> CsvRows:
    """Rows with boxes in [0, 1] of the frame, whichever way the file is written.

    Raises:
        DataFileError: When it is written in both ways.
    """
    boxes = np.column_stack([rows.numbers(side) for side in SIDES])
    large = (np.abs(boxes) > LARGEST_SHARE).any(1)
    if large.any():
        small = (boxes <= 1).all(1) & (boxes >= 0).all(1)
        if small.any():
            n, m = int(np.flatnonzero(large)[0]), int(np.flatnonzero(small)[0])
            found = f"{rows.where(n)} is in pixels, {rows.where(m)} in shares of the frame"
            raise DataFileError(rows.path, f"{found}; expected one of them throughout")
        boxes = boxes / np.column_stack([rows["frame_w"], rows["frame_h"]] * 2)
    return rows.having(**dict(zip(SIDES, boxes.T, strict=True)))


def timed(rows: CsvRows) -> CsvRows:
    """Rows with frame numbers and times, one from the other where the file has one of them."""
    time = rows.numbers("timestamp") if "timestamp" in rows else rows.numbers("frame") / rows["fps"]
    frame = rows.numbers("frame") if "frame" in rows else np.rint(time * rows["fps"])
    return rows.having(timestamp=time, frame=frame)


def linked(rows: CsvRows, tracker: Callable[[], Tracker]) -> CsvRows:
    """Boxes of a detector as tracks; those that belong to none are left out, and those that are none stay."""
    numbers = np.column_stack([rows["frame"], *(rows[side] for side in SIDES)])
    pixels = numbers[:, 1:] * np.column_stack([rows["frame_w"], rows["frame_h"]] * 2)
    entities = np.full(len(rows), "", dtype=object)
    videos = np.array(rows["video_id"], dtype=object)
    usable = np.isfinite(numbers).all(1)
    for video in dict.fromkeys(rows["video_id"]):
        places = np.flatnonzero(usable & (videos == video))
        follower, at = tracker(), {}
        for frame in np.unique(numbers[places, 0]).astype(np.int64).tolist():
            here = places[numbers[places, 0] == frame]
            follower.follow(frame, pixels[here])
            at |= {(frame, pixels[place].tobytes()): place for place in here.tolist()}
        for track in follower.tracks():
            for frame, box in zip(track.frames, track.boxes, strict=True):
                entities[at[frame, np.asarray(box, np.float64).tobytes()]] = f"face_{track.number}"
    return rows.having(entity_id=entities.tolist()).take((entities != "") | ~usable)
