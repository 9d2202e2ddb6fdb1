"""Sorts of many numbers with few distinct values, faster than comparing them."""

import numpy as np
from numpy.typing import NDArray

DIGIT = 16  # bits; numpy sorts integers of so many in linear time


def descending_ranks(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Place of each value (N,) among the distinct ones, 0 for the highest; equal values have the same place."""
    order = np.argsort(values)[::-1]  # in which order equal ones come does not matter here
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[order] = np.append(0, np.diff(values[order]) != 0)[: len(values)].cumsum()
    return ranks


def stable_order(*keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions in the order of the last key, within that of the one before, and so on, as `numpy.lexsort`.

    Args:
        keys: (N,) each, from 0, best not far above N.
    """
    order = np.arange(len(keys[0]))
    for key in keys:
        for shift in range(0, int(key.max(initial=0)).bit_length(), DIGIT):
            digit = (key >> shift & (1 << DIGIT) - 1).astype(np.uint16)
            order = order[np.argsort(digit[order], kind="stable")]
    return order


def by_appearance(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number values (N,), from 0 and best not far above N, in the order in which they appear."""
    first = np.full(values.max(initial=0) + 1, len(values))
    first[values[::-1]] = np.arange(len(values))[::-1]  # what is written last remains: the first place
    numbers = np.empty_like(first)
    numbers[first.argsort()] = np.arange(len(first))
    return numbers[values]
