"""Which rows of an annotation can be used: every other one is named with its file and place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from datamodules.ava_files import MALFORMED, NOT_FINITE
from datamodules.ava_rows import BEYOND, DUPLICATE_ROW, NO_AREA, NO_MEDIA, OUTSIDE
from datamodules.checking import BROKEN, DUPLICATE_ID, FRAME_COUNT, Defect
from datamodules.tracks.columns import coded, typed_columns
from datamodules.tracks.table import DTYPES, SIDES, SOURCES, TrackTable, known_sources

BAD_LABEL = "unknown label"
BAD_SEGMENT = "voice segment without frames"
CLAMPED = "voice segment beyond the clip"
KINDS = (
    *(MALFORMED, NOT_FINITE, BAD_LABEL, NO_MEDIA, BEYOND, NO_AREA, OUTSIDE, DUPLICATE_ROW),
    *(BAD_SEGMENT, CLAMPED, FRAME_COUNT, DUPLICATE_ID, BROKEN),
)


def usable(
    columns: Mapping[str, Sequence], num_frames: np.ndarray, path: Path, where: Callable[[int], str], split: str = ""
) -> tuple[TrackTable, list[Defect]]:
    """Put the rows that can be used into a table, and say what is wrong with the others.

    Boxes that lie outside their frame altogether are named by entity, and stay: they count when faces are measured.

    Args:
        columns: All columns of the table; ``frame`` may be NaN, or no whole number; a single value stands for a column.
        num_frames: (N,) frames of the medium of each row.
        path: The file.
        where: Says the place of a row in the file.
        split: Part of the data set.
    """
    columns = typed_columns(columns, DTYPES | {"frame": np.float64})
    box, frame = np.column_stack([columns[side] for side in SIDES]), columns["frame"]
    numbers = np.column_stack([box, columns["timestamp"], frame])
    finite = np.isfinite(numbers).all(1)
    whole = finite & (frame == np.rint(frame))
    thin = (box[:, 0] >= box[:, 2]) | (box[:, 1] >= box[:, 3])
    source = columns["source"]
    flaws: list[tuple[str, np.ndarray, Callable[[int], str]]] = [
        (NOT_FINITE, ~finite, lambda n: f"found {spelled(numbers[n])}"),
        (MALFORMED, finite & ~whole, lambda n: f"expected the number of a frame, found {frame[n]:g}"),
        (MALFORMED, ~known_sources(source), lambda n: f"expected {' or '.join(SOURCES)}, found {source[n]!r}"),
        (
            BEYOND,
            whole & ((frame < 0) | (frame >= num_frames)),
            lambda n: f"frame {frame[n]:g}, and there are {num_frames[n]:g} frames, from 0",
        ),
        (NO_AREA, whole & thin, lambda n: f"{spelled(box[n])}: expected x1 < x2 and y1 < y2"),
    ]
    bad = np.any([wrong for _, wrong, _ in flaws], axis=0)
    again = repeated(columns, ~bad)
    flaws.append((DUPLICATE_ROW, again, lambda _: "its entity has a box in this frame already"))
    defects = [
        Defect(kind, split, str(path), f"{where(n)}: {say(n)}")
        for kind, wrong, say in flaws
        for n in np.flatnonzero(wrong).tolist()
    ]
    good = {name: column[~(bad | again)] for name, column in columns.items()}
    table = TrackTable.from_typed(good | {"frame": good["frame"].astype(DTYPES["frame"])})
    return table, [*defects, *outside(table, path, split)]


def outside(table: TrackTable, path: Path, split: str = "") -> Iterator[Defect]:
    """Name the entities with boxes of which no part is in the frame."""
    away = (table.x2 <= 0) | (table.y2 <= 0) | (table.x1 >= 1) | (table.y1 >= 1)
    for (video, entity), rows in table.entities.items():
        places = np.flatnonzero(away[rows])
        if len(places):
            first = rows.start + int(places[0])
            found = f"{len(places)} of {rows.stop - rows.start} boxes, first {spelled(table.boxes[first])}"
            where = f"{video}, entity {entity}, from frame {table.frame[first]}"
            yield Defect(OUTSIDE, split, str(path), f"{where}: {found}, expected a part in 0 to 1")


def repeated(columns: Mapping[str, np.ndarray], chosen: np.ndarray) -> np.ndarray:
    """bool (N,), True for chosen rows with the video, entity and frame of a chosen row before them."""
    rows = np.flatnonzero(chosen)
    keys = [coded(columns[name][rows])[1] for name in ("video_id", "entity_id")] + [columns["frame"][rows]]
    order = np.lexsort(keys[::-1])  # stable: rows of one key stay in the order of the file
    same = np.logical_and.reduce([key[order][1:] == key[order][:-1] for key in keys])
    found = np.zeros(len(chosen), dtype=bool)
    found[rows[order[1:][same]]] = True
    return found


def spelled(numbers: np.ndarray) -> str:
    """Numbers as they are written."""
    return ",".join(f"{number:g}" for number in numbers)
