"""Clips of several sizes in one batch, filled up to the right and below."""

import torch
from torch import Tensor


def cells_outside(size: Tensor | None, stride: int, padded: tuple[int, int]) -> Tensor | None:
    """Which cells are no part of their clip, when clips of several sizes were filled up to one.

    Args:
        size: (B, 2) int64, height and width of each clip in pixels; None when all fill the batch.
        stride: Pixels per cell.
        padded: Height and width of the batch in pixels.

    Returns:
        (B, 1, 1, h, w) bool with h, w rounded up, True where a cell begins outside; None when no size is given.
    """
    if size is None:
        return None
    starts = [torch.arange(0, length, stride, device=size.device) for length in padded]
    below, right = (start >= length[:, None] for start, length in zip(starts, size.unbind(1), strict=True))
    return (below[:, :, None] | right[:, None])[:, None, None]


def blank_(x: Tensor, outside: Tensor | None) -> Tensor:
    """Set features (B, C, T, h, w) to zero, in place, where ``outside`` (B, 1, 1, h, w) says so; None: nowhere."""
    return x if outside is None else x.masked_fill_(outside, 0)
