"""How much of each cell of a grid lies in a box."""

import torch
from torch import Tensor


def box_coverage(boxes: Tensor, grid: tuple[int, int]) -> Tensor:
    """Share of each cell that a box covers.

    As region of `metrics.faithfulness.energy_inside` it gives cells on the border of a box their share: on coarse grids
    a box has few cells that are wholly in or out.

    Args:
        boxes: (R, 4) xyxy in [0, 1] of the grid; parts beyond it count nowhere.
        grid: Its rows and columns.

    Returns:
        (R, rows, columns) float64 in [0, 1].
    """
    left, top, right, bottom = boxes.double().unbind(1)
    rows, columns = (
        _covered(first, last, cells) for first, last, cells in ((top, bottom, grid[0]), (left, right, grid[1]))
    )
    return rows.unsqueeze(2) * columns.unsqueeze(1)


def _covered(first: Tensor, last: Tensor, cells: int) -> Tensor:
    """Share of each of ``cells`` equal parts of [0, 1] that lies between first (R,) and last (R,): (R, cells)."""
    start = torch.arange(cells, device=first.device, dtype=first.dtype)
    ends = torch.minimum((cells * last).unsqueeze(1), start + 1)
    return (ends - torch.maximum((cells * first).unsqueeze(1), start)).clamp(0, 1)
