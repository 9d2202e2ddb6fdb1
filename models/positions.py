"""Positional tables of token sequences: sinusoids over the flattened index, and resizing between token grids."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

MAX_PERIOD = 10_000.0  # base of the wavelengths; Vaswani et al. (2017), section 3.5
NORMALISED_EPS = 1e-6  # added to the side of a plane; facebookresearch/detr


def sinusoid_table(num_positions: int, dim: int) -> Tensor:
    """Make the sinusoidal table of a one-dimensional sequence.

    Entry ``[n, j]`` is the sine (even j) or cosine (odd j) of ``n / 10000 ** (2 * floor(j / 2) / dim)``: Vaswani et
    al., "Attention Is All You Need" (2017), section 3.5. VideoMAE applies it to the flattened token index, so that the
    table knows nothing of rows, columns and time. Angles are computed in double precision and rounded once: in single
    precision the angle of a late token is off by 1e-4.

    Args:
        num_positions: Length N of the sequence.
        dim: Token width D; may be odd.

    Returns:
        (1, N, D) float32.
    """
    frequency = MAX_PERIOD ** (-2.0 * (np.arange(dim) // 2) / dim)
    angle = np.arange(num_positions)[:, None] * frequency
    table = np.where(np.arange(dim) % 2 == 0, np.sin(angle), np.cos(angle))
    return torch.tensor(table, dtype=torch.float32).unsqueeze(0)


def grid_table(grid: tuple[int, int, int], dim: int, pretraining_grid: tuple[int, int, int] | None = None) -> Tensor:
    """Make the sinusoidal table of a token grid, at will by resizing the table of the grid a model was pretrained on.

    The flattened index of a place depends on the grid, so a table made anew for another grid gives each place the code
    of an unrelated one. Published code makes it anew even where it means to interpolate (OpenGVLab/VideoMAEv2#58).

    Args:
        grid: Tokens along time, rows and columns of the model, ``(T', H', W')``.
        dim: Token width D.
        pretraining_grid: Grid whose table is made and resized to ``grid``; None makes the table for ``grid`` itself.

    Returns:
        (1, N, D) float32 with N = T' * H' * W'.
    """
    source = tuple(pretraining_grid or grid)
    return interpolate_positions(sinusoid_table(math.prod(source), dim), source, tuple(grid))


def interpolate_positions(
    table: Tensor, source_grid: tuple[int, int, int], target_grid: tuple[int, int, int]
) -> Tensor:
    """Resize a positional table from one token grid to another.

    Bicubic over rows and columns within each time slice, then linear over time, both without aligned corners, as the
    fine-tuning code of OpenGVLab/VideoMAEv2 does. An axis that keeps its size is left as it is.

    Args:
        table: (1, N, D) with N the number of tokens of ``source_grid``.
        source_grid: ``(T', H', W')`` the table was made for.
        target_grid: ``(T', H', W')`` wanted.

    Returns:
        (1, N', D) with N' the number of tokens of ``target_grid``; its dtype is that of ``table``.

    Raises:
        ValueError: When ``table`` has not one row per token of ``source_grid``.
    """
    if table.shape[1] != math.prod(source_grid):
        raise ValueError(
            f"a positional table of {table.shape[1]} rows does not fit the grid {tuple(source_grid)}, "
            f"which has {math.prod(source_grid)} tokens"
        )
    (source_time, *source_plane), (target_time, *target_plane) = source_grid, target_grid
    if source_plane != target_plane:
        planes = rearrange(table, "1 (t h w) d -> t d h w", t=source_time, h=source_plane[0])
        planes = F.interpolate(planes, size=tuple(target_plane), mode="bicubic", align_corners=False)
        table = rearrange(planes, "t d h w -> 1 (t h w) d")
    if source_time != target_time:
        lines = rearrange(table, "1 (t n) d -> n d t", t=source_time)
        lines = F.interpolate(lines, size=target_time, mode="linear", align_corners=False)
        table = rearrange(lines, "n d t -> 1 (t n) d")
    return table


def plane_table(cells: Tensor, grid: tuple[int, int], dim: int) -> Tensor:
    """Make the sinusoidal tables of planes of different sizes, each spread over its own rows and columns.

    Carion et al., "End-to-end object detection with transformers" (2020), section 3.2, normalised: the first half of
    the channels has sines and cosines of ``2 pi y / rows``, the second of ``2 pi x / columns``, both counted from 1.

    Args:
        cells: (B, 2) int64, rows and columns of each plane; what lies beyond them is filled with anything.
        grid: ``(h, w)`` that the planes are filled up to.
        dim: Width D, a multiple of 4.

    Returns:
        (B, h * w, D) float32, row by row.
    """
    sides = []
    for axis, length in enumerate(grid):
        place = torch.arange(1, length + 1, device=cells.device) / (cells[:, axis, None] + NORMALISED_EPS)
        sides.append(_waves(place, dim // 2))  # (B, length, half)
    vertical, horizontal = (side.unsqueeze(3 - axis) for axis, side in enumerate(sides, start=1))
    table = torch.cat(torch.broadcast_tensors(vertical, horizontal), -1)
    return table.flatten(1, 2)


def point_table(points: Tensor, clip: Tensor, cells: Tensor, dim: int) -> Tensor:
    """Make what `plane_table` would have at points between cells.

    Args:
        points: (R, 2) float32, rows and columns from the top left corner of a plane; 0.5 is the middle of the first.
        clip: (R,) int64, the plane of each.
        cells: (B, 2) int64, rows and columns of each plane.
        dim: Width D, a multiple of 4.

    Returns:
        (R, D) float32.
    """
    shares = (points + 0.5) / (cells[clip] + NORMALISED_EPS)
    return _waves(shares, dim // 2).flatten(1)


def _waves(shares: Tensor, half: int) -> Tensor:
    """Sines and cosines (..., half) of places that are ``shares`` (...) of the side of a plane."""
    channel = torch.arange(half, device=shares.device)
    angle = shares.unsqueeze(-1) * 2 * math.pi * MAX_PERIOD ** (-2.0 * (channel // 2) / half)
    return torch.where(channel % 2 == 0, angle.sin(), angle.cos())
