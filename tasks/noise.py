"""Uniform noise for masks as a function of the sample, not of the process that happens to draw it."""

import numpy as np
import torch
from torch import Tensor


def sample_noise(indices: list[int], size: int, seed: int, epoch: int) -> Tensor:
    """Draw uniform numbers that depend on ``(seed, epoch, index)`` and on nothing else.

    A run therefore draws the same masks on one process and on eight, with any number of loader workers, and after being
    continued in the middle of an epoch.

    Args:
        indices: Position of each clip within its split; B of them.
        size: Numbers per clip.
        seed: Seed of the run; not negative.
        epoch: Epoch; a fixed number gives fixed masks. Not negative.

    Returns:
        (B, size) float32 in (0, 1), on the CPU.
    """
    rows = [np.random.default_rng([seed, epoch, index]).random(size, dtype=np.float32) for index in indices]
    smallest = np.finfo(np.float32).tiny  # 0 itself would have an infinite logarithm
    return torch.from_numpy(np.maximum(np.stack(rows), smallest))
