"""Annotations of AVA-ActiveSpeaker (Roth et al., 2020) and of the data sets that are written like it.

A csv per video without header, or one of all videos with or without; Talkies, ASW and UniTalk have the same columns,
and the merged files of TaoRuijie/TalkNet-ASD two more.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from datamodules.errors import DataFileError, PathNotFoundError
from datamodules.tracks.annotations import Annotations, Clip, Media, medium_of, voices_seen
from datamodules.tracks.csv_rows import read_csv
from datamodules.tracks.csv_tables import labelled, placed, table_of
from datamodules.tracks.table import SIDES, SILENT, SPEAKING, UNKNOWN, TrackTable

DATASET = "ava"
TIME, ENTITY = "frame_timestamp", "entity_id"
COLUMNS = ("video_id", TIME, *(f"entity_box_{side}" for side in SIDES), "label", ENTITY)
LABELS = {"SPEAKING_AUDIBLE": SPEAKING, "SPEAKING_NOT_AUDIBLE": SILENT, "NOT_SPEAKING": SILENT, "": UNKNOWN}


def read_ava_speech(path: Path, media: Media, split: str = "", dataset: str = DATASET) -> Annotations:
    """Read a csv, or all in a folder.

    Times become the frame that is nearest at the rate of the medium. Only what is seen is annotated: where no visible
    face speaks, whether anybody is heard is unknown.

    Args:
        path: The file or folder.
        media: Size, rate and length of each video, by id; rows of a video without are left out and named.
        split: Part of the data set, for defects.
        dataset: Name of the data set.

    Raises:
        PathNotFoundError: When there is no such file or folder.
        DataFileError: When it holds no such csv.
    """
    tables, defects, videos = [], [], {}
    for file in csv_files(path):
        rows, malformed = read_csv(file, COLUMNS, TIME)
        if missing := [name for name in COLUMNS if name not in rows]:
            raise DataFileError(file, f"its header lacks {', '.join(missing)}; expected {','.join(COLUMNS)}")
        videos |= dict.fromkeys(rows["video_id"])
        rows, homeless = placed(rows, media)
        rows, strange = labelled(rows, LABELS)
        time, entity = rows.numbers(TIME), rows[ENTITY]
        boxes = {side: rows.numbers(f"entity_box_{side}") for side in SIDES}
        rows = rows.having(
            person_id=entity, track_id=entity, frame=np.rint(time * rows["fps"]), timestamp=time, **boxes
        )
        table, unusable = table_of(rows, dataset)
        tables.append(table)
        defects += malformed + homeless + strange + unusable
    tracks = TrackTable.concat(tables)
    clips = {video: Clip(video) for video in videos if medium_of(media, video) is not None}
    return Annotations(tracks, voices_seen(tracks), clips, tuple(replace(one, split=split) for one in defects))


def csv_files(path: Path) -> list[Path]:
    """The csv, or those in the folder.

    Raises:
        PathNotFoundError: When there is nothing.
        DataFileError: When the folder has none.
    """
    if path.is_dir():
        files = sorted(path.glob("*.csv"))
        if not files:
            raise DataFileError(path, "holds no csv; expected those of AVA-ActiveSpeaker, one of each video")
        return files
    if not path.is_file():
        raise PathNotFoundError("annotations", path, "Expected a csv of AVA-ActiveSpeaker, or a folder of them.")
    return [path]
