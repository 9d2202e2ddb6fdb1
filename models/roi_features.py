"""Features of boxes: where a box lies on the grid of its own clip, and the strongest response within it."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

Scale = Literal["cells", "pixels", "batch"]


@dataclass(frozen=True)
class Placement:
    """Where the clips of a batch and their actors lie on the grid of the features.

    Attributes:
        grid: ``(h, w)``, of what the clips were filled up to.
        cells: (B, 2) int64, rows and columns that belong to each clip.
        boxes: (R, 4) float32 xyxy in cells.
        clip: (R,) int64, the clip of each box.
    """

    grid: tuple[int, int]
    cells: Tensor
    boxes: Tensor
    clip: Tensor


def own_cells(size: Tensor, stride: int, grid: tuple[int, int]) -> Tensor:
    """Count the rows and columns of each clip: its size over the stride, rounded up as by every convolution.

    Args:
        size: (B, 2) int64, height and width of each clip in pixels.
        stride: Pixels per cell.
        grid: ``(h, w)``, the most there can be.

    Returns:
        (B, 2) int64.
    """
    return torch.minimum(-(-size // stride), size.new_tensor(grid))


def published_cells(size: Tensor, padded: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Count the rows and columns of each clip as CKK-coder/FBI-Learning does: its share of the grid, rounded up.

    Args:
        size: (B, 2) int64, height and width of each clip in pixels.
        padded: ``(H, W)`` that all clips were filled up to.
        grid: ``(h, w)`` cells of it.

    Returns:
        (B, 2) int64.
    """
    return -(-size.new_tensor(grid) * size // size.new_tensor(padded))


def box_extents(size: Tensor, stride: int, padded: tuple[int, int], grid: tuple[int, int], scale: Scale) -> Tensor:
    """Say how many cells the whole height and width of each clip are.

    Published code does not agree. For a clip that is 340 pixels wide, on 22 cells of 16 pixels, the right border lies
    at 22 (``cells``) or 21.25 (``pixels``).

    Args:
        size: (B, 2) int64, height and width of each clip in pixels.
        stride: Pixels per cell.
        padded: ``(H, W)`` that all clips were filled up to.
        grid: ``(h, w)`` cells of it.
        scale: ``cells``: the border is that of the last cell, as in Siyu-C/ACAR-Net for a clip alone; ``pixels``: a
            cell is ``stride`` pixels, as in facebookresearch/SlowFast; ``batch``: what ACAR-Net and
            CKK-coder/FBI-Learning make of clips in a batch, where the border of the filled up clip is that of the last
            cell, so that features depend on the company.

    Returns:
        (B, 2) float32, rows and columns.
    """
    if scale == "cells":
        return own_cells(size, stride, grid).float()
    if scale == "pixels":
        return size.float() / stride
    return size.float() / size.new_tensor(padded) * size.new_tensor(grid)


def to_cells(rois: Tensor, clip: Tensor, extents: Tensor) -> Tensor:
    """Scale boxes xyxy in [0, 1] of their clips, (R, 4), by extents (B, 2) of rows and columns; a new tensor.

    Raises:
        ValueError: When a coordinate is not finite; RoIAlign would read memory anywhere (pytorch/vision#9272).
    """
    finite = torch.isfinite(rois).all(1)
    if not finite.all():
        first = int((~finite).nonzero()[0])
        raise ValueError(
            f"rois: expected finite coordinates, found {rois[first].tolist()} for actor {first}, "
            f"which is in clip {int(clip[first])} of the batch"
        )
    return rois.detach().float() * extents[clip].flip(1).repeat(1, 2)


def pool_boxes(features: Tensor, placement: Placement, output: int, aligned: bool = False, cut: bool = True) -> Tensor:
    """Take the strongest response within each box: RoIAlign (He et al., 2017, section 3), then the maximum.

    Samples per bin adapt to the size of the box. Boxes thinner than a cell are widened to one, unless ``aligned``.

    Args:
        features: (B, C, h, w).
        placement: Of the boxes; no gradient reaches them.
        output: Bins along each side of a box.
        aligned: Subtract half a cell, so that a cell's value stands for its middle.
        cut: Read a clip's own cells only, as if there were no others; otherwise all, as published.

    Returns:
        (R, C) in the dtype of the features.
    """
    clip, cells = placement.clip, placement.cells
    if not cut:
        cells = cells.new_tensor(placement.grid).expand_as(cells)
    boxes = torch.cat([clip.unsqueeze(1).float(), placement.boxes], 1)
    pooled = features.new_empty(len(boxes), features.shape[1])
    for rows, columns in cells.unique(dim=0).tolist():
        chosen = (cells[clip] == cells.new_tensor([rows, columns])).all(1)
        plane = features[..., :rows, :columns].float()
        bins = roi_align(plane, boxes[chosen], output, spatial_scale=1.0, sampling_ratio=-1, aligned=aligned)
        pooled[chosen] = F.max_pool2d(bins, output).flatten(1).to(features.dtype)
    return pooled
