"""Which rows of an annotation can be used: every other one is named with its file and place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from datamodules.ava_files import MALFORMED, NOT_FINITE
from datamodules.ava_rows import BEYOND, DUPLICATE_ROW, NO_AREA, NO_MEDIA, OUTSIDE
from datamodules.checking import BROKEN, DUPLICATE_ID, FRAME_COUNT, Defect
from datamodules.tracks.columns import typed_columns
from datamodules.tracks.table import DTYPES, KEY, SIDES, SOURCES, TrackTable, all_finite, in_order, known_sources

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
    x1, y1, x2, y2 = box = [columns[side] for side in SIDES]
    frame, source = columns["frame"], columns["source"]
    numbers = [*box, columns["timestamp"], frame]
    finite = all_finite(numbers)
    whole = finite & (frame == np.rint(frame))
    thin = (x1 >= x2) | (y1 >= y2)
    flaws: list[tuple[str, np.ndarray, Callable[[int], str]]] = [
        (NOT_FINITE, ~finite, lambda n: f"found {spelled(numbers, n)}"),
        (MALFORMED, finite & ~whole, lambda n: f"expected the number of a frame, found {frame[n]:g}"),
        (MALFORMED, ~known_sources(source), lambda n: f"expected {' or '.join(SOURCES)}, found {source[n]!r}"),
        (
            BEYOND,
            whole & ((frame < 0) | (frame >= num_frames)),
            lambda n: f"frame {frame[n]:g}, and there are {num_frames[n]:g} frames, from 0",
        ),
        (NO_AREA, whole & thin, lambda n: f"{spelled(box, n)}: expected x1 < x2 and y1 < y2"),
    ]
    good = np.flatnonzero(~np.any([wrong for _, wrong, _ in flaws], axis=0))
    order, again = in_order({name: column[good] for name, column in columns.items() if name in KEY})
    repeated = np.zeros(len(frame), dtype=bool)
    repeated[good[order[again]]] = True
    flaws.append((DUPLICATE_ROW, repeated, lambda _: "its entity has a box in this frame already"))
    defects = [
        Defect(kind, split, str(path), f"{where(n)}: {say(n)}")
        for kind, wrong, say in flaws
        for n in np.flatnonzero(wrong).tolist()
    ]
    whole_numbers = np.where(whole, frame, 0).astype(DTYPES["frame"])
    table = TrackTable.from_rows(columns | {"frame": whole_numbers}, good[order[~again]])
    return table, [*defects, *outside(table, path, split)]


def outside(table: TrackTable, path: Path, split: str = "") -> Iterator[Defect]:
    """Name the entities with boxes of which no part is in the frame."""
    away = np.flatnonzero((table.x2 <= 0) | (table.y2 <= 0) | (table.x1 >= 1) | (table.y1 >= 1))
    box = [getattr(table, side) for side in SIDES]
    for (video, entity), rows in table.entities.items() if len(away) else ():
        places = away[slice(*np.searchsorted(away, (rows.start, rows.stop)))]
        if len(places):
            first = int(places[0])
            found = f"{len(places)} of {rows.stop - rows.start} boxes, first {spelled(box, first)}"
            where = f"{video}, entity {entity}, from frame {table.frame[first]}"
            yield Defect(OUTSIDE, split, str(path), f"{where}: {found}, expected a part in 0 to 1")


def spelled(columns: Sequence[np.ndarray], row: int) -> str:
    """Numbers of a row as they are written."""
    return ",".join(f"{column[row]:g}" for column in columns)
