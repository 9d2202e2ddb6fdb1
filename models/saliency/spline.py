"""Zoom maps over a clip to its size: interpolating cubic splines as small matrices, one per axis."""

from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Zoom = Literal["spline", "trilinear", "nearest"]
REACH = 2  # a cubic B-spline is 0 from this distance on
CACHED = 64


def zoom(maps: Tensor, size: tuple[int, int, int], mode: Zoom = "spline") -> Tensor:
    """Bring maps to another size.

    Args:
        maps: (..., T', H', W') float.
        size: ``(T, H, W)``.
        mode: ``spline``, as ``scipy.ndimage.zoom`` with its defaults, used by Saliency Tubes: the outermost cells lie
            in the outermost pixels, and values may go beyond those of the cells; ``trilinear``, where cells have
            extent (``align_corners=False``), used by facebookresearch/SlowFast and mmaction2, which differs by up to
            0.3 of a map in [0, 1]; ``nearest``: cells are blocks.

    Returns:
        (..., T, H, W) of the same dtype, on the same device.

    Raises:
        ValueError: For an unknown mode or an impossible size.
    """
    if mode not in get_args(Zoom):
        raise ValueError(f"zoom: expected one of {', '.join(get_args(Zoom))}, found {mode!r}")
    if len(size) != 3 or min(size) < 1:
        raise ValueError(f"size: expected three numbers >= 1, found {tuple(size)}")
    if mode == "spline":
        frames, rows, columns = (
            spline_matrix(cells, wanted, maps.dtype, maps.device)
            for cells, wanted in zip(maps.shape[-3:], size, strict=True)
        )
        in_time = (frames @ maps.flatten(-2)).unflatten(-1, maps.shape[-2:])
        return rows @ in_time @ columns.T
    stacked = maps.reshape(-1, 1, *maps.shape[-3:])
    if mode == "trilinear":
        zoomed = F.interpolate(stacked, size, mode="trilinear", align_corners=False)
    else:
        zoomed = F.interpolate(stacked, size, mode="nearest-exact")
    return zoomed.view(*maps.shape[:-3], *size)


@lru_cache(CACHED)
def spline_matrix(
    cells: int, size: int, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
) -> Tensor:
    """The linear map from values at ``cells`` places to the cubic spline through them at ``size`` places.

    Places are spread evenly, the first and the last on the first and the last cell. Beyond the ends values are mirrored
    about the outermost cells. Coefficients c of the spline solve S c = values, with S the B-spline at the cells.

    Returns:
        (size, cells), shared by all who ask: not to be changed.
    """
    at_cells = _b_splines(np.arange(cells, dtype=np.float64), cells)
    places = np.arange(size) * (cells - 1) / max(1, size - 1)
    matrix = _b_splines(places, cells) @ np.linalg.inv(at_cells)
    with torch.inference_mode(False):  # it outlives the mode it happens to be made in
        return torch.from_numpy(matrix).to(device, dtype)


def _b_splines(places: np.ndarray, cells: int) -> np.ndarray:
    """Weight of each coefficient, with those of its mirror images, at each place: (places, cells)."""
    if cells == 1:
        return np.ones((len(places), 1))
    period = 2 * (cells - 1)
    knots = np.arange(1 - REACH, cells - 1 + REACH)
    distance = np.abs(places[:, None] - knots)
    near, far = 2 / 3 - distance**2 + distance**3 / 2, (REACH - distance).clip(0) ** 3 / 6
    weights = np.where(distance < 1, near, far)
    image = knots % period
    image = np.minimum(image, period - image)
    folded = np.zeros((len(places), cells))
    np.add.at(folded.T, image, weights.T)
    return folded
