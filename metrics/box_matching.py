"""Which of many boxes lie on which others: all pairs at once, without a loop over boxes."""

import numpy as np
from numpy.typing import NDArray

from metrics.sorting import stable_order

Floats, Integers, Booleans = NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]

NONE = -1  # in place of a box: there is none


def iou(boxes: Floats, others: Floats) -> Floats:
    """Intersection over union of pairs of boxes, continuous coordinates.

    Args:
        boxes: (N, 4), x1, y1, x2, y2, with an area.
        others: (N, 4), x2 >= x1 and y2 >= y1.

    Returns:
        (N,) in [0, 1].
    """
    width, height = np.maximum(np.minimum(boxes[:, 2:], others[:, 2:]) - np.maximum(boxes[:, :2], others[:, :2]), 0).T
    shared = width * height
    return shared / (areas(boxes) + areas(others) - shared)


def areas(boxes: Floats) -> Floats:
    """Areas of boxes (N, 4) -> (N,)."""
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    return width * height


def closest(keys: Integers, boxes: Floats, other_keys: Integers, others: Floats) -> tuple[Integers, Floats]:
    """Find for each box the other box of the same key that overlaps it most, the first of equal ones.

    Args:
        keys: (N,), a frame, or a class in a frame; from 0, best not far above N.
        boxes: (N, 4), as in `iou`.
        other_keys: (M,).
        others: (M, 4).

    Returns:
        Positions (N,) in ``others``, `NONE` where no other box has the key; and their overlaps (N,), 0 for none.
    """
    by_key = stable_order(other_keys)
    sizes = np.bincount(other_keys, minlength=1 + max(keys.max(initial=0), other_keys.max(initial=0)))
    counts, first = sizes[keys], (sizes.cumsum() - sizes)[keys]
    position, overlap = np.full(len(keys), NONE), np.zeros(len(keys))
    some = np.flatnonzero(counts)
    if not len(some):
        return position, overlap
    first, counts = first[some], counts[some]
    starts = counts.cumsum() - counts
    box = some.repeat(counts)
    other = by_key[np.arange(len(box)) + (first - starts).repeat(counts)]
    found = iou(boxes[box], others[other])
    highest = np.maximum.reduceat(found, starts)
    best = np.flatnonzero(found == highest.repeat(counts))
    _, first_best = np.unique(box[best], return_index=True)
    position[some], overlap[some] = other[best[first_best]], highest
    return position, overlap


def first_come(position: Integers, overlap: Floats, least: float) -> Booleans:
    """Let boxes claim the other box that is closest to them, in their order; who comes later gets nothing.

    Args:
        position: (N,) from `closest`.
        overlap: (N,) from `closest`.
        least: Overlap that a claim takes, above 0.

    Returns:
        (N,), whether a box was the first.
    """
    claims = np.flatnonzero(overlap >= least)
    _, first = np.unique(position[claims], return_index=True)
    won = np.zeros(len(position), dtype=bool)
    won[claims[first]] = True
    return won
