"""What is wrong with rows of boxes and actions: every defect with its file and line."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from datamodules.ava_files import NO_CLASS, Rows
from datamodules.checking import Defect
from datamodules.label_map import LabelMap

OUTSIDE = "box outside the frame"
NO_AREA = "box without area"
UNKNOWN_CLASS = "unknown class"
BAD_SCORE = "score outside 0 to 1"
NO_MEDIA = "video without media"
OUT_OF_RANGE = "second out of range"
BEYOND = "time beyond the video"
DUPLICATE_ROW = "duplicate row"

SLACK = 1e-3  # of a frame's side: AVA writes three decimals


@dataclass(frozen=True)
class Extent:
    """What is known of a video when its annotation is judged.

    Attributes:
        begins_s: Time of its first frame in seconds of the annotation.
        ends_s: Time of its last frame, likewise.
        size: Height and width in pixels.
    """

    begins_s: float
    ends_s: float
    size: tuple[int, int]


@dataclass(frozen=True)
class Judge:
    """Parts the rows that can be used from the others.

    Attributes:
        label_map: The classes.
        extents: The videos that are there, by name.
        seconds: First and last second that is annotated, in all videos; None where any may be.
        in_pixels: Boxes are in pixels of the video, not in shares of its sides.
    """

    label_map: LabelMap
    extents: Mapping[str, Extent]
    seconds: tuple[float, float] | None = None
    in_pixels: bool = False

    def __call__(self, rows: Rows) -> tuple[Rows, list[Defect]]:
        """Keep the rows that can be used, with boxes in [0, 1] and ids as classes, and say what is wrong with others.

        Rows of classes that are known and not asked for are left aside without a word. Rows that are there twice are
        named and kept.
        """
        names, place = np.unique(rows.videos, return_inverse=True)
        extents = [self.extents.get(name) for name in names.tolist()]
        rows = replace(rows, boxes=rows.boxes / self.sides(extents)[place]) if len(rows) else rows
        here = np.array([extent is not None for extent in extents], dtype=bool)[place]
        ends = np.array([(one.begins_s, one.ends_s) if one else (-np.inf, np.inf) for one in extents]).reshape(-1, 2)[
            place
        ]
        low, high = rows.boxes[:, :2], rows.boxes[:, 2:]
        ids, unknown, wanted = self.classes(rows)
        first, last = self.seconds or (-np.inf, np.inf)
        within = (rows.seconds >= first) & (rows.seconds <= last)
        flaws = {
            NO_MEDIA: (~here, lambda n: f"there is no media of {rows.videos[n]}"),
            OUT_OF_RANGE: (~within, lambda n: f"{rows.seconds[n]:g} s is not in {first:g} to {last:g}"),
            BEYOND: (
                within & ((rows.seconds < ends[:, 0]) | (rows.seconds > ends[:, 1])),
                lambda n: f"{rows.seconds[n]:g} s, and {rows.videos[n]} shows {ends[n, 0]:g} to {ends[n, 1]:g} s",
            ),
            OUTSIDE: (
                here & ((rows.boxes < -SLACK) | (rows.boxes > 1 + SLACK)).any(1),
                lambda n: f"{spelled(rows.boxes[n])} is not in 0 to 1{self.units(rows)}",
            ),
            NO_AREA: ((low >= high).any(1), lambda n: f"{spelled(rows.boxes[n])}: expected x1 < x2 and y1 < y2"),
            UNKNOWN_CLASS: (unknown, lambda n: f"{str(rows.classes[n])!r} is not in the label map"),
            BAD_SCORE: ((rows.scores < 0) | (rows.scores > 1), lambda n: f"score {rows.scores[n]:g}"),
        }
        defects = [
            Defect(name, "", str(rows.path), f"line {rows.lines[n]}: {say(n)}")
            for name, (wrong, say) in flaws.items()
            for n in np.flatnonzero(wrong)
        ]
        good = wanted & ~np.any([wrong for wrong, _ in flaws.values()], axis=0)
        kept = replace(rows, boxes=rows.boxes.clip(0, 1), classes=ids).take(good)
        return kept, [*defects, *duplicates(kept)]

    def sides(self, extents: list[Extent | None]) -> np.ndarray:
        """What boxes are divided by, (videos, 4)."""
        sizes = [(one.size if one and self.in_pixels else (1, 1))[::-1] * 2 for one in extents]
        return np.array(sizes, dtype=np.float64).reshape(-1, 4)

    def units(self, rows: Rows) -> str:
        """A hint at the usual reason for boxes that are far outside."""
        return "" if self.in_pixels or np.median(rows.boxes[:, 2:]) <= 1 + SLACK else "; is it in pixels?"

    def classes(self, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ids of the rows (``NO_CLASS`` for none), whether they are unknown, and whether they are asked for."""
        names, place = np.unique(rows.classes, return_inverse=True)
        ids = [self.label_map.ids.get(name, int(name) if name.isdecimal() else 0) for name in names.tolist()]
        empty = np.array([name == NO_CLASS for name in names.tolist()], dtype=bool)
        asked = empty | np.array([number in self.label_map.channels for number in ids], dtype=bool)
        unknown = ~asked & np.array([number not in self.label_map.known for number in ids], dtype=bool)
        texts = np.array([NO_CLASS if number == 0 else str(number) for number in ids], dtype=str)
        return texts[place], unknown[place], asked[place]


def duplicates(rows: Rows) -> Iterator[Defect]:
    """Name the rows that say again what another one has said."""
    seen: dict[tuple, int] = {}
    columns = (rows.videos.tolist(), rows.seconds.tolist(), map(tuple, rows.boxes.tolist()), rows.classes.tolist())
    for line, *said in zip(rows.lines.tolist(), *columns, strict=True):
        first = seen.setdefault(tuple(said), line)
        if first != line:
            yield Defect(DUPLICATE_ROW, "", str(rows.path), f"line {line}: says the same as line {first}")


def spelled(box: np.ndarray) -> str:
    """A box as it is written."""
    return ",".join(f"{side:g}" for side in box)


KINDS = (NO_MEDIA, OUT_OF_RANGE, BEYOND, OUTSIDE, NO_AREA, UNKNOWN_CLASS, BAD_SCORE, DUPLICATE_ROW)
