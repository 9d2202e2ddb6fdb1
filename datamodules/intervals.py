"""Labels of frames as intervals of anomalous frames, and back."""

from collections.abc import Iterable, Sequence

import numpy as np


def intervals_of(labels: np.ndarray) -> list[list[int]]:
    """List the intervals of ones.

    Args:
        labels: (N,) zeros and ones.

    Returns:
        [first, behind the last] of each interval, increasing.
    """
    padded = np.concatenate(([0], labels.astype(np.int64), [0]))
    return np.flatnonzero(np.diff(padded)).reshape(-1, 2).tolist()


def labels_of(intervals: Iterable[Sequence[int]], length: int) -> np.ndarray:
    """Label the frames that lie in one of some intervals.

    Args:
        intervals: [first, behind the last] of each.
        length: N.

    Returns:
        uint8 (N,), 1 inside, 0 outside.

    Raises:
        ValueError: When something is no interval of frames in [0, N).
    """
    labels = np.zeros(length, np.uint8)
    for interval in intervals:
        if not isinstance(interval, list | tuple) or [type(end) for end in interval] != [int, int]:
            raise ValueError(f"expected intervals [first, behind the last], found {interval!r:.80}")
        first, behind = interval
        if not 0 <= first < behind <= length:
            raise ValueError(f"expected intervals within {length} frames, found {interval}")
        labels[first:behind] = 1
    return labels
