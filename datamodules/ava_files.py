"""Files of boxes with actions, row by row: the csv of AVA, of person detectors and of one's own, and safe pickles.

==============================  ========================================================================================
``ava_train_v2.2.csv``          video, second, x1, y1, x2, y2, action id, person id; no header (Gu et al., AVA, 2018)
``ava_..._predicted_boxes.csv`` the same with a score at the end, and perhaps no action (facebookresearch/SlowFast)
one's own                       header ``video,time_s,x1,y1,x2,y2,class``, in any order, perhaps with ``score``
``.pkl``                        boxes by "VIDEO,SSSS" (open-mmlab/mmaction2) or (samples, classes) (Siyu-C/ACAR-Net)
==============================  ========================================================================================

Pickles are read without running anything (`datamodules.safe_pickle`).
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from datamodules import safe_pickle
from datamodules.checking import Defect
from datamodules.errors import DataFileError, PathNotFoundError

ANNOTATED, PROPOSED = "annotated", "proposed"
OFFICIAL = ("video", "time_s", "x1", "y1", "x2", "y2", "class", "score")
SIDES = OFFICIAL[2:6]
NO_CLASS = ""
MALFORMED = "malformed row"
NOT_FINITE = "number not finite"
NO_BOX = "second without boxes"
FRAME_LIST = ("original_vido_id", "video_id", "frame_id", "path", "labels")  # "vido" is how it is spelled


@dataclass(frozen=True)
class Rows:
    """What a file says, in columns; one row is a box with at most one action.

    Attributes:
        path: The file.
        lines: int64 (N,), line of each row, or its number in a pickle, from 1.
        videos: (N,) str.
        seconds: float64 (N,), time of the key frame.
        boxes: float64 (N, 4), xyxy as written.
        classes: (N,) str, id or name of the action; empty for none.
        scores: float64 (N,), of the box; 1 for annotated ones.
    """

    path: Path
    lines: np.ndarray
    videos: np.ndarray
    seconds: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, chosen: np.ndarray) -> "Rows":
        """Rows of a mask or of indices."""
        columns = (self.lines, self.videos, self.seconds, self.boxes, self.classes, self.scores)
        return Rows(self.path, *(column[chosen] for column in columns))


def rows_of(path: Path, found: Sequence[tuple[int, str, float, Sequence[float], str, float]]) -> Rows:
    """Put rows (line, video, second, box, class, score) into columns."""
    lines, videos, seconds, boxes, classes, scores = zip(*found, strict=True) if found else ((),) * 6
    return Rows(
        path,
        np.array(lines, dtype=np.int64),
        np.array(videos, dtype=str),
        np.array(seconds, dtype=np.float64),
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.array(classes, dtype=str),
        np.array(scores, dtype=np.float64),
    )


def read_rows(path: Path, kind: str = ANNOTATED) -> tuple[Rows, list[Defect]]:
    """Read a file of boxes, and say which rows cannot be understood.

    Args:
        path: A csv or a pickle.
        kind: What the last column of a csv without header is: of ``annotated`` boxes a person, which is not used; of
            ``proposed`` ones the score, there in place of the person or, in rows of seven columns, of the class.

    Raises:
        PathNotFoundError: When there is no such file.
        UnsafePickleError: When a pickle asks for more than containers and numbers.
        DataFileError: When it is something else altogether.
    """
    if not path.is_file():
        raise PathNotFoundError("datamodule.annotations", path, "Expected a csv of boxes and actions.")
    if path.suffix in (".pkl", ".pickle"):
        return read_pickle(path)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        first = next(reader, [])
        header = [cell.strip().lower() for cell in first]
        names, rows = (header, reader) if "x1" in header else (None, None)
        if names is not None and (missing := [name for name in OFFICIAL[:6] if name not in names]):
            raise DataFileError(path, f"its header lacks {', '.join(missing)}; expected {','.join(OFFICIAL[:-1])}")
        numbered = ((reader.line_num, cells) for cells in reader)
        numbered = numbered if rows is not None else ((line, cells) for line, cells in [(1, first), *numbered])
        return parse(path, numbered, names, kind)


def parse(
    path: Path, rows: Iterator[tuple[int, list[str]]], names: list[str] | None, kind: str
) -> tuple[Rows, list[Defect]]:
    """Turn the cells of a csv into rows.

    Args:
        path: The file.
        rows: Number and cells of each line.
        names: Names of the columns; None for those of AVA.
        kind: See `read_rows`.
    """
    places = {name: place for place, name in enumerate(names or OFFICIAL)}
    count = (len(names),) if names else (7, 8)
    sides = [places[name] for name in SIDES]
    video, time, action = places["video"], places["time_s"], places.get("class")
    last = places.get("score") if names or kind == PROPOSED else None
    found, defects = [], []

    def wrong(kind: str, line: int, reason: str) -> None:
        defects.append(Defect(kind, "", str(path), f"line {line}: {reason}"))

    for line, cells in rows:
        if not any(cells):
            continue
        if len(cells) not in count:
            wrong(MALFORMED, line, f"has {len(cells)} columns, expected {' or '.join(map(str, count))}")
            continue
        if not any(cells[side] for side in sides):
            wrong(NO_BOX, line, f"{cells[video]} at {cells[time]} has no box")
            continue
        seven = names is None and kind == PROPOSED and len(cells) == 7
        score = cells[6 if seven else last] if last is not None else "1"
        label = NO_CLASS if seven or action is None else cells[action].strip()
        try:
            numbers = [float(cell) for cell in (cells[time], *(cells[side] for side in sides), score)]
        except ValueError as error:
            wrong(MALFORMED, line, f"{error}")
            continue
        if not all(map(isfinite, numbers)):
            wrong(NOT_FINITE, line, f"found {','.join(cells)}")
        elif not cells[video].strip() or (kind == ANNOTATED and not label):
            wrong(MALFORMED, line, "has no video" if label else "has no class")
        else:
            found.append((line, cells[video].strip(), numbers[0], numbers[1:5], label, numbers[5]))
    return rows_of(path, found), defects


def read_pickle(path: Path) -> tuple[Rows, list[Defect]]:
    """Read a pickle of mmaction2 or of ACAR-Net.

    The latter mixes annotated boxes with those of a detector, which were chosen by score, and keeps no score: all have
    1. Its classes are positions in the list of classes that is with them.
    """
    content = safe_pickle.load(path)
    try:
        if isinstance(content, dict):
            found = list(dense_proposals(content))
        else:
            samples, classes = content
            found = list(acar_samples(samples, [str(one["id"]) for one in classes]))
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        expected = "expected boxes by 'VIDEO,SSSS', or a pair of samples and classes"
        raise DataFileError(path, f"holds something else ({error}); {expected}") from error
    rows = rows_of(path, found)
    finite = np.isfinite(rows.boxes).all(1) & np.isfinite(rows.seconds) & np.isfinite(rows.scores)
    defects = [Defect(NOT_FINITE, "", str(path), f"box {line}") for line in rows.lines[~finite]]
    return rows.take(finite), defects


def dense_proposals(content: dict[str, Any]) -> Iterator[tuple]:
    """Rows of ``{"VIDEO,SSSS": (N, 5) x1, y1, x2, y2, score}``."""
    line = 0
    for key, boxes in content.items():
        video, _, second = key.rpartition(",")
        for *box, score in np.asarray(boxes, dtype=np.float64).reshape(-1, 5).tolist():
            line += 1
            yield line, video, float(second), box, NO_CLASS, score


def acar_samples(samples: Sequence[dict[str, Any]], ids: Sequence[str]) -> Iterator[tuple]:
    """Rows of ACAR-Net's samples (``video``, ``time``, ``labels``), a row per class of a box."""
    line = 0
    for sample in samples:
        for label in sample["labels"]:
            chosen = label["label"] if isinstance(label["label"], (list, tuple)) else [label["label"]]
            for channel in [int(one) for one in chosen] or [None]:
                line += 1
                name = NO_CLASS if channel is None else ids[channel]
                yield line, str(sample["video"]), float(sample["time"]), list(label["bounding_box"]), name, 1.0


def read_excluded(path: Path) -> tuple[set[tuple[str, float]], list[Defect]]:
    """Read excluded timestamps (video, second), and say which lines are none."""
    found, defects = set(), []
    for line, text in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        video, _, second = text.strip().rpartition(",")
        if video and re.fullmatch(r"\d+(\.\d+)?", second):
            found.add((video, float(second)))
        elif text.strip():
            defects.append(Defect(MALFORMED, "", str(path), f"line {line}: expected video,second, found {text!r}"))
    return found, defects


@dataclass(frozen=True)
class ListedFrames:
    """The frames of a video as a frame list of PySlowFast names them.

    Attributes:
        folder: Their folder, relative to that of all frames.
        first: File name of the first frame, which belongs to the offset of the annotation.
        count: How many there are.
    """

    folder: str
    first: str
    count: int


def read_frame_list(path: Path) -> dict[str, ListedFrames]:
    """Read a frame list of PySlowFast (``original_vido_id video_id frame_id path labels``), by video.

    Raises:
        DataFileError: When it has another header, or frames of a video are not numbered 0, 1, ...
    """
    found: dict[str, ListedFrames] = {}
    with path.open(encoding="utf-8-sig") as stream:
        if tuple(stream.readline().split()) != FRAME_LIST:
            raise DataFileError(path, f"expected the header {' '.join(FRAME_LIST)}")
        for line, text in enumerate(stream, start=2):
            cells = text.split(" ")
            if len(cells) != len(FRAME_LIST):
                raise DataFileError(path, f"line {line}: has {len(cells)} columns, expected {len(FRAME_LIST)}")
            known = found.get(cells[0])
            folder, _, file = cells[3].rpartition("/")
            count = 0 if known is None else known.count
            if cells[2] != str(count):
                raise DataFileError(path, f"line {line}: frame {cells[2]} of {cells[0]}, expected {count}")
            found[cells[0]] = (
                ListedFrames(folder, file, 1) if known is None else ListedFrames(known.folder, known.first, count + 1)
            )
    return found
