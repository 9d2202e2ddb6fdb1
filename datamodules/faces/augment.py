"""What training does to the faces of a track: nothing, mirrored, cropped or turned, the same for all its frames.

One of the four with equal probability, as in TaoRuijie/TalkNet-ASD.
"""

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.crops import draw, uniform
from datamodules.faces.crops import bilinear

KINDS = ("none", "flip", "crop", "rotate")
SMALLEST_CROP = 0.7  # of the side of a face
LARGEST_TURN = 15.0  # degrees


def augmented(
    faces: NDArray[np.uint8], generator: torch.Generator, kind: Literal["none", "flip", "crop", "rotate"] | None = None
) -> NDArray[np.uint8]:
    """Draw what happens to the faces of a track.

    Args:
        faces: (T, S, S).
        generator: Where it is drawn from.
        kind: What happens; None draws it as well.

    Returns:
        uint8 (T, S, S).
    """
    size = faces.shape[-1]
    kind = KINDS[draw(len(KINDS), generator)] if kind is None else kind
    if kind == "flip":
        return flip(faces)
    if kind == "crop":
        side = max(1, int(size * (SMALLEST_CROP + (1 - SMALLEST_CROP) * uniform(generator))))
        left, top = (draw(size - side + 1, generator) for _ in range(2))
        return crop(faces, left, top, side)
    if kind == "rotate":
        return rotate(faces, LARGEST_TURN * (2 * uniform(generator) - 1))
    return faces


def flip(faces: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Swap left and right, (T, S, S)."""
    return np.ascontiguousarray(faces[..., ::-1])


def crop(faces: NDArray[np.uint8], left: int, top: int, side: int) -> NDArray[np.uint8]:
    """Cut the same square out of all faces, (T, S, S), and bring it back to their size."""
    size = faces.shape[-1]
    whole = np.arange(size)
    cut = faces[:, top : top + side, left : left + side]
    return np.stack([np.rint(bilinear(face, whole, whole, size)) for face in cut]).astype(np.uint8)


def rotate(faces: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """Turn all faces, (T, S, S), about the pixel (S / 2, S / 2) against the clock; what comes in is black."""
    size = faces.shape[-1]
    centre, angle = size // 2, math.radians(degrees)
    y, x = np.mgrid[:size, :size] - centre
    row = math.sin(angle) * x + math.cos(angle) * y + centre
    column = math.cos(angle) * x - math.sin(angle) * y + centre
    top, left = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
    down, across = (row - top).astype(np.float32), (column - left).astype(np.float32)
    edged = np.pad(faces, ((0, 0), (1, 1), (1, 1)))  # a black edge, to which everything beyond is sent
    rows = [(top + 1 + step).clip(0, size + 1) for step in (0, 1)]
    columns = [(left + 1 + step).clip(0, size + 1) for step in (0, 1)]
    above, below = (edged[:, row, columns[0]] * (1 - across) + edged[:, row, columns[1]] * across for row in rows)
    return np.rint(above * (1 - down) + below * down).astype(np.uint8)
