"""Which parts of which clips are samples: tracks without gaps, or fixed windows with all the faces in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from datamodules.tracks import TrackTable


@dataclass(frozen=True)
class Span:
    """A face for some frames: a row of a batch.

    Attributes:
        source: Place of its clip among the sources.
        start: First of its rows in the clip's table.
        stop: Row behind the last one.
        first: Number of the first frame of the span.
        length: T, frames of the span; some may be without a row.
        scene: Spans of the same one are faces of the same frames of the same clip.
    """

    source: int
    start: int
    stop: int
    first: int
    length: int
    scene: int


def runs(tracks: TrackTable) -> NDArray[np.int64]:
    """int64 (K + 1,): rows ``runs[k]`` to ``runs[k + 1]`` are an entity in consecutive frames, as many as can be."""
    jump = np.flatnonzero(np.diff(tracks.frame) != 1) + 1
    return np.union1d(tracks.starts, jump)


def track_spans(tracks: TrackTable, source: int, scene: int, max_len: int | None = None) -> list[Span]:
    """The tracks of a clip without gaps, each a scene of its own; long ones in parts of like length.

    Args:
        tracks: All rows of the clip, gaps that are short enough already filled.
        source: Place of the clip among the sources.
        scene: Number of the first scene.
        max_len: Frames of the longest part; None for whole tracks.
    """
    spans: list[Span] = []
    bounds = runs(tracks).tolist()
    for start, stop in pairwise(bounds):
        count = 1 if max_len is None else -(-(stop - start) // max_len)
        for part in np.array_split(np.arange(start, stop), count):
            first, length = int(part[0]), len(part)
            spans.append(Span(source, first, first + length, int(tracks.frame[first]), length, scene + len(spans)))
    return spans


def window_spans(tracks: TrackTable, source: int, scene: int, num_frames: int, window: int) -> list[Span]:
    """The faces of each window of a clip; windows lie side by side from frame 0 on, and those without a face are none.

    Args:
        tracks: All rows of the clip.
        source: Place of the clip among the sources.
        scene: Number of the first scene.
        num_frames: Frames of the clip; the last window may be shorter than the others.
        window: Frames of a window.
    """
    found: dict[int, list[tuple[int, int]]] = {}
    bounds = tracks.starts.tolist()
    for start, stop in pairwise(bounds):
        numbers, begin = np.unique(tracks.frame[start:stop] // window, return_index=True)
        ends = [*(start + begin[1:]).tolist(), stop]
        for number, row, end in zip(numbers.tolist(), (start + begin).tolist(), ends, strict=True):
            found.setdefault(number, []).append((row, end))
    return [
        Span(source, row, end, number * window, min(window, num_frames - number * window), scene + place)
        for place, number in enumerate(sorted(found))
        for row, end in found[number]
    ]


def scenes(spans: Sequence[Span]) -> list[list[int]]:
    """Places of the spans of each scene."""
    groups: dict[int, list[int]] = {}
    for place, span in enumerate(spans):
        groups.setdefault(span.scene, []).append(place)
    return list(groups.values())


def alike(spans: Sequence[Span], budget: int, least: int = 1) -> list[list[int]]:
    """Places of spans that share a batch in evaluation: of like length, filled up to no more frames than the budget.

    Args:
        spans: All spans; one that is longer than the budget is alone.
        budget: Frames of a batch.
        least: Batches that there are to be: the largest ones are halved, as long as there is one that can be.
    """
    order = sorted(range(len(spans)), key=lambda place: (-spans[place].length, place))
    groups: list[list[int]] = []
    for place in order:
        longest = spans[groups[-1][0]].length if groups else budget
        if not groups or (len(groups[-1]) + 1) * longest > budget:
            groups.append([])
        groups[-1].append(place)
    while len(groups) < least and len(largest := max(groups, key=len, default=[])) > 1:
        place = groups.index(largest)
        groups[place : place + 1] = [largest[: len(largest) // 2], largest[len(largest) // 2 :]]
    return groups
