"""From rows of a csv to the table of tracks: media, labels, and what cannot be used."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow.csv import write_csv

from core.atomic import replace_file
from datamodules.ava_rows import NO_MEDIA
from datamodules.checking import Defect
from datamodules.errors import DataFileError
from datamodules.tracks.annotations import Media, medium_of
from datamodules.tracks.csv_rows import CsvRows, read_csv
from datamodules.tracks.judging import BAD_LABEL, usable
from datamodules.tracks.table import ANNOTATED, DTYPES, SILENT, SPEAKING, UNKNOWN, Medium, TrackTable


def placed(rows: CsvRows, media: Media) -> tuple[CsvRows, list[Defect]]:
    """Rows of the videos that are there, with ``frame_w``, ``frame_h``, ``fps`` and ``num_frames`` of their media.

    Each video that is not there is named once.
    """
    videos = rows["video_id"]
    known = {video: medium_of(media, video) for video in dict.fromkeys(videos)}
    defects = []
    for video in (video for video, medium in known.items() if medium is None):
        found = f"{rows.where(videos.index(video))}: there is no media of {video} ({videos.count(video)} rows)"
        defects.append(Defect(NO_MEDIA, "", str(rows.path), found))
    rows = rows.take(np.array([known[video] is not None for video in videos], dtype=bool))
    facts = np.array([known[video] for video in rows["video_id"]], dtype=np.float64).reshape(-1, len(Medium._fields))
    width, height, fps, num_frames = facts.T
    return rows.having(frame_w=width, frame_h=height, fps=fps, num_frames=num_frames), defects


def labelled(rows: CsvRows, meanings: Mapping[str, int]) -> tuple[CsvRows, list[Defect]]:
    """Rows with a label that means something, with that meaning as ``label``."""
    words = rows["label"]
    expected = ", ".join(filter(None, meanings))
    defects = [
        Defect(BAD_LABEL, "", str(rows.path), f"{rows.where(n)}: found {word!r}, expected {expected}")
        for n, word in enumerate(words)
        if word not in meanings
    ]
    rows = rows.take(np.array([word in meanings for word in words], dtype=bool))
    return rows.having(label=np.array([meanings[word] for word in rows["label"]], dtype=np.int8)), defects


def table_of(rows: CsvRows, dataset: str) -> tuple[TrackTable, list[Defect]]:
    """The table of rows that have all columns but ``dataset`` and ``source``."""
    columns = {"dataset": dataset, "source": ANNOTATED} | rows.columns
    return usable({name: columns[name] for name in DTYPES}, rows["num_frames"], rows.path, rows.where)


def write_table(path: Path, table: TrackTable) -> None:
    """Write a table as csv, with a header and every digit; the file is whole or not there."""
    columns = pa.table([pa.array(getattr(table, name)) for name in DTYPES], names=list(DTYPES))
    replace_file(path, lambda file: write_csv(columns, file))


def read_table(path: Path) -> tuple[TrackTable, list[Defect]]:
    """Read what `write_table` wrote, or a csv of others with these columns.

    Raises:
        FileNotFoundError: When there is no such file.
        DataFileError: When it lacks columns.
    """
    rows, malformed = read_csv(path, (), "x1")
    if missing := [name for name in DTYPES if name not in rows]:
        raise DataFileError(path, f"its header lacks {', '.join(missing)}; expected {','.join(DTYPES)}")
    rows, strange = labelled(rows, {"1": SPEAKING, "0": SILENT, "-1": UNKNOWN})
    numbers = {name: rows.numbers(name) for name, dtype in DTYPES.items() if dtype is not object and name != "label"}
    table, unusable = table_of(rows.having(**numbers, num_frames=np.full(len(rows), np.inf)), "")
    return table, [*malformed, *strange, *unusable]
