"""Uniform noise for masks as a function of the sample, not of the process that happens to draw it."""

from collections import Counter

import numpy as np
import torch
from torch import Tensor


def sample_noise(indices: list[int], size: int, seed: int, epoch: int) -> Tensor:
    """Draw uniform numbers that depend on ``(seed, epoch, index)`` and on nothing else.

    A run therefore draws the same masks on one process and on eight, with any number of loader workers, and after being
    continued in the middle of an epoch. Clips of one sample (repeated sampling) are told apart by their order.

    Args:
        indices: Index of each clip's sample within its split; B of them.
        size: Numbers per clip.
        seed: Seed of the run; not negative.
        epoch: Epoch; a fixed number gives fixed masks. Not negative.

    Returns:
        (B, size) float32 in (0, 1), on the CPU.
    """
    seen: Counter[int] = Counter()
    rows = []
    for index in indices:
        generator = np.random.default_rng([seed, epoch, index, seen[index]])
        seen[index] += 1
        rows.append(generator.random(size, dtype=np.float32))
    smallest = np.finfo(np.float32).tiny  # 0 itself would have an infinite logarithm
    return torch.from_numpy(np.maximum(np.stack(rows), smallest))
