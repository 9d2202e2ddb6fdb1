"""Results and annotations in the csv format of AVA: written and read whole, and compared with each other."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from core.atomic import write_file
from metrics.ava_order import BoxRows
from metrics.ava_precision import IOU, Cap, average_precisions
from metrics.box_matching import Floats

KeyFrame = tuple[str, float]
"""Video and second."""
Value = TypeVar("Value")

SHOWN = 3  # samples of each side that a message names
PIXELS = 2.0  # coordinates beyond are no shares of a frame, however far a box reaches out of it


class NothingInCommonError(ValueError):
    """Detections and truth cannot be about the same things."""


@dataclass
class KeyFrames:
    """Numbers of the key frames of several files, in the order of their first appearance."""

    numbers: dict[KeyFrame, int] = field(default_factory=dict)

    def number(self, frame: KeyFrame) -> int:
        """The number of a key frame, a new one if it was not seen before."""
        return self.numbers.setdefault(frame, len(self.numbers))


def write_results(path: Path, rows: BoxRows, frames: Mapping[int, KeyFrame], decimals: int | None = None) -> None:
    """Write detections as ``video,second,x1,y1,x2,y2,id,score``, without a header.

    Args:
        path: The file; it is whole or not there.
        rows: The detections; they are written in their order, on which ties depend.
        frames: Video and second by number of the frame.
        decimals: Of coordinates and scores; 3 is what ACAR and FBIL print, which makes ties where there were none.
            None for as many digits as tell every number from any other of its type.
    """
    scores = rows.score.astype(np.float32)  # of which most models are
    scores = scores if np.array_equal(scores, rows.score) else rows.score
    names = {number: f"{video},{second:.10g}" for number, (video, second) in frames.items()}
    columns = [[names[number] for number in rows.frame.tolist()]]
    columns += [digits(side, decimals) for side in rows.box.T]
    columns += [list(map(str, rows.label.tolist())), digits(scores, decimals)]
    lines = "".join(f"{','.join(line)}\n" for line in zip(*columns, strict=True))
    write_file(path, lines.encode())


def digits(values: np.ndarray, decimals: int | None) -> list[str]:
    """Numbers (N,) as text."""
    distinct, place = np.unique(values, return_inverse=True)  # a box has as many rows as there are classes
    text = distinct.astype(str) if decimals is None else [f"{value:.{decimals}f}" for value in distinct.tolist()]
    return np.asarray(text, dtype=str)[place].tolist()


def read_boxes(path: Path, frames: KeyFrames) -> BoxRows:
    """Read detections, or true boxes, whose eighth column (the person) may be missing.

    Args:
        path: A csv file ``video,second,x1,y1,x2,y2,id,score or person``; ``902`` and ``0902`` are one second. A line
            ``video,second`` stands for a key frame without boxes.
        frames: Gives the frames their numbers.

    Raises:
        ValueError: When a line is something else, with its number.
    """
    found = [each for each in lines(path, "video,second[,x1,y1,x2,y2,id[,score]]", (2, 7, 8), box_of) if each]
    numbers = [frames.number(frame) for frame, *_ in found]
    parts = ([each[part] for each in found] for part in (1, 2, 3))
    box, label, score = (np.array(part, dtype=kind) for part, kind in zip(parts, (float, np.int64, float), strict=True))
    return BoxRows(np.array(numbers, dtype=np.int64), label, box.reshape(-1, 4), score)


def read_excluded(path: Path) -> list[KeyFrame]:
    """Read ``video,second`` of the key frames that do not count."""
    return list(lines(path, "video,second", (2,), frame_of))


def frame_of(cells: Sequence[str]) -> KeyFrame:
    """Video and second."""
    return cells[0], float(cells[1])


def box_of(cells: Sequence[str]) -> tuple[KeyFrame, list[float], int, float] | None:
    """Key frame, box, class and score of a line; None for a line that says that there is no box in a key frame."""
    if len(cells) == 2:
        return None
    score = float(cells[7]) if len(cells) == 8 else 0.0
    return frame_of(cells), [float(cell) for cell in cells[2:6]], int(cells[6]), score


def lines(path: Path, form: str, widths: Sequence[int], read: Callable[[list[str]], Value]) -> Iterator[Value]:
    """What the lines of a csv file hold; empty ones are passed over."""
    with path.open(newline="", encoding="utf-8") as file:
        for number, cells in enumerate(csv.reader(file), start=1):
            if not cells:
                continue
            try:
                if len(cells) not in widths:
                    raise ValueError(f"{len(cells)} columns")
                yield read(cells)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: expected {form}, found {','.join(cells)} ({error})") from None


def average_precisions_of_files(
    truth: Path,
    detections: Path,
    ids: Sequence[int],
    excluded: Path | None = None,
    cap: Cap = "official",
    iou: float = IOU,
) -> Floats:
    """Measure a result file as `metrics.ava_precision.average_precisions` says, whose ``summary`` names the numbers.

    Args:
        truth: True boxes in the official format.
        detections: Detections in the official format.
        ids: Classes of the label map; rows of others do not count.
        excluded: Key frames that do not count, neither true boxes nor detections.
        cap: How many rows of a frame count.
        iou: Overlap from which a box is found.

    Returns:
        (C,), in the order of ``ids``.

    Raises:
        NothingInCommonError: When videos, seconds, classes or coordinates of the files cannot be about the same.
        ValueError: When a file is no such file.
    """
    frames = KeyFrames()
    found, true = read_boxes(detections, frames), read_boxes(truth, frames)
    left_out = [frames.number(frame) for frame in read_excluded(excluded)] if excluded else []
    found, true = (rows.take(~np.isin(rows.frame, left_out)) for rows in (found, true))
    require_in_common(true, found, ids, list(frames.numbers), (str(truth), str(detections)))
    return average_precisions(true, found, ids, cap, iou)


def require_in_common(
    truth: BoxRows,
    detections: BoxRows,
    ids: Sequence[int],
    frames: Sequence[KeyFrame],
    names: tuple[str, str] = ("the truth", "the detections"),
) -> None:
    """Answer why an mAP would be 0, before it is: refuse detections that cannot be about the true boxes.

    Args:
        truth: True boxes.
        detections: Detections; none at all are not refused, their mAP is 0.
        ids: The classes that count.
        frames: Video and second by number of the frame.
        names: What to call truth and detections.

    Raises:
        NothingInCommonError: When no class counts, or no video, key frame or class is in both, or when only one of them
            has its coordinates in pixels.
    """
    for rows, name in ((truth, names[0]), (detections, names[1])):
        known = np.isin(rows.label, ids)
        if not known.any() and (len(rows) or rows is truth):
            problem = f"{name}: of {len(rows)} rows none is of a class of the label map"
            raise refused(problem, "ids of classes", (set(ids), "label map"), (set(rows.label.tolist()), name))
    truth, detections = (rows.of_classes(ids) for rows in (truth, detections))
    if not len(detections):
        return
    views: dict[str, Callable[[BoxRows], set]] = {
        "videos": lambda rows: {frames[number][0] for number in np.unique(rows.frame).tolist()},
        "key frames (video, second)": lambda rows: {frames[number] for number in np.unique(rows.frame).tolist()},
        "ids of classes": lambda rows: set(np.unique(rows.label).tolist()),
    }
    for kind, view in views.items():
        sides = [(view(rows), name) for rows, name in ((truth, names[0]), (detections, names[1]))]
        if not sides[0][0] & sides[1][0]:
            raise refused(f"no {kind} in common", kind, *sides)
    reach = [float(np.abs(rows.box).max()) for rows in (truth, detections)]
    if min(reach) <= PIXELS < max(reach):
        raise NothingInCommonError(
            f"why the mAP would be 0: coordinates reach to {reach[0]:g} in {names[0]} and to {reach[1]:g} in "
            f"{names[1]}; expected shares of the width and height of the frame, 0 to 1, in both"
        )


def refused(problem: str, kind: str, *sides: tuple[set, str]) -> NothingInCommonError:
    """A message with samples of both sides."""
    samples = (f"{name}: {', '.join(map(str, sorted(found)[:SHOWN])) or 'nothing'}" for found, name in sides)
    return NothingInCommonError(f"why the mAP would be 0: {problem}; found {kind} in {'; in '.join(samples)}")
