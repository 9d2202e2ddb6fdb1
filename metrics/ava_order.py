"""Which rows of a frame the official AVA evaluator keeps, and in which order it goes through them, ties included."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappush, heapreplace

import numpy as np

from metrics.box_matching import Booleans, Floats, Integers
from metrics.sorting import by_appearance, descending_ranks, stable_order


@dataclass(frozen=True)
class BoxRows:
    """Boxes that are said to do something: a row for each box and class, as in the official files.

    Attributes:
        frame: (N,) int64, number of the key frame, from 0.
        label: (N,) int64, id of the class.
        box: (N, 4) float64, x1, y1, x2, y2.
        score: (N,) float64, of a detection; of a true box the number of the person, or 0.
    """

    frame: Integers
    label: Integers
    box: Floats
    score: Floats

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, rows: Integers | Booleans) -> "BoxRows":
        """Some of the rows, by position or by mask."""
        return BoxRows(self.frame[rows], self.label[rows], self.box[rows], self.score[rows])

    def of_classes(self, ids: Sequence[int]) -> "BoxRows":
        """The rows of some classes; not copied where these are all."""
        known = np.isin(self.label, ids)
        return self if known.all() else self.take(known)


def official_order(rows: BoxRows, cap: int | None) -> Integers:
    """Positions of the rows that are kept, in the order in which the official evaluator lists them.

    Frames come as they appear; in a frame the highest scores come first. The evaluator collects the rows of a frame
    in a heap of (score, id, y1, x1, y2, x2), from which, once ``cap`` rows are in it, a row drives the least out if its
    score is higher. Rows of equal score are listed as they lie in that heap; where this could matter, the heap is
    rebuilt, else a sort says the same.

    Args:
        rows: Those of classes that count.
        cap: Rows that are kept of a frame; None for all.

    Returns:
        int64, positions in ``rows``.
    """
    frame, rank = by_appearance(rows.frame), descending_ranks(rows.score)
    order = stable_order(rank, frame)
    sizes = np.bincount(frame)
    place = np.arange(len(order)) - (sizes.cumsum() - sizes).repeat(sizes)
    kept = order if cap is None else order[place < cap]
    starts = np.searchsorted(frame[kept], np.arange(len(sizes) + 1))
    members = np.split(stable_order(frame), sizes.cumsum()[:-1])
    for number in frames_of_the_heap(frame, rank, rows.label, order, None if cap is None else place == cap):
        kept[starts[number] : starts[number + 1]] = heap_order(rows, members[number], cap)
    return kept


def frames_of_the_heap(
    frame: Integers, rank: Integers, label: Integers, order: Integers, beyond: Booleans | None
) -> Integers:
    """Frames in which the heap decides: between equal scores of a class, or between equal ones at the cap."""
    tied = np.zeros(len(order), dtype=bool)
    tied[1:] = (np.diff(frame[order]) == 0) & (np.diff(rank[order]) == 0)
    at_the_cap = order[:0] if beyond is None else order[tied & beyond]
    some = order[tied | np.append(tied[1:], False)]
    some = some[stable_order(label[some], rank[some], frame[some])]
    equal = np.all([np.diff(each[some]) == 0 for each in (frame, rank, label)], 0)
    return np.unique(frame[np.concatenate([at_the_cap, some[1:][equal]])])


def heap_order(rows: BoxRows, members: Integers, cap: int | None) -> list[int]:
    """The rows of one frame as the heap lists them; ``members`` are their positions, ascending."""
    heap: list[tuple[float, ...]] = []
    owners = defaultdict(list)
    x1, y1, x2, y2 = rows.box[members].T.tolist()
    scores, labels = rows.score[members].tolist(), rows.label[members].tolist()
    for position, *entry in zip(members.tolist(), scores, labels, y1, x1, y2, x2, strict=True):
        entry = tuple(entry)
        owners[entry].append(position)  # entries that are the same in everything need not be told apart
        if cap is None or len(heap) < cap:
            heappush(heap, entry)
        elif entry[0] > heap[0][0]:
            heapreplace(heap, entry)
    return [owners[entry].pop(0) for entry in sorted(heap, key=lambda entry: -entry[0])]
