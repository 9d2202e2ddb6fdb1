"""Face crops as published models were trained with: rectangles from boxes, grey squares from rectangles.

``ava``: the box itself, in whole pixels, as AVA-ActiveSpeaker is prepared by TaoRuijie/TalkNet-ASD. ``talkset``: the
lower half of the face with the mouth in the middle, as in that repository's demo and TalkSet; centre and size are
running medians. ``ego4d_upstream``: the same geometry with the smoothing of zcxu-eric/Ego4d_TalkNet_ASD, whose centre
lags and whose crops shrink at the ends of a track; for parity with weights that were trained so.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from datamodules.faces.smoothing import lagging, running_median

Mode = Literal["ava", "talkset", "ego4d_upstream"]
MODES: tuple[Mode, ...] = ("ava", "talkset", "ego4d_upstream")

MARGIN = 0.4  # of half a face, beside it; twice as much below it (the demo of TaoRuijie/TalkNet-ASD)
OUTSIDE = 110  # grey of what lies beyond the picture
PUBLISHED_SIZE = 112  # side in pixels of the faces of published models
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, of red, green and blue


def to_grey(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Brightness of pictures, (..., 3) to (...)."""
    return np.rint(frames @ LUMA).astype(np.uint8)


def smoothed(boxes: NDArray, mode: Mode) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Centre and half side of the faces of a track, along which they are smoothed as the mode says.

    Args:
        boxes: (T, 4), xyxy in pixels; of consecutive frames.
        mode: ``talkset`` or ``ego4d_upstream``.

    Returns:
        x, y and half side, float64 (T,) each.
    """
    left, top, right, bottom = np.asarray(boxes, dtype=np.float64).T
    x, y, half = (left + right) / 2, (top + bottom) / 2, np.maximum(right - left, bottom - top) / 2
    if mode == "talkset":
        return running_median(x), running_median(y), running_median(half)
    return lagging(x), lagging(y), running_median(half, ends="constant")


def rectangles(boxes: NDArray, mode: Mode, height: int, width: int) -> NDArray[np.int64]:
    """Where the crops of a track lie.

    Args:
        boxes: (T, 4), xyxy in pixels; of consecutive frames of a track.
        mode: How faces are cropped.
        height: Rows of the picture.
        width: Columns of the picture.

    Returns:
        int64 (T, 4): first row, row behind the last, first column, column behind the last. With ``ava`` within the
        picture, and empty where nothing of the box is; else they may lie beyond it, and are never empty.

    Raises:
        ValueError: When there is no such mode.
    """
    if mode not in MODES:
        raise ValueError(f"expected one of {', '.join(MODES)} as crop, found {mode!r}")
    if mode == "ava":
        left, top, right, bottom = np.trunc(np.asarray(boxes, dtype=np.float64)).T
        found = np.stack((top, np.maximum(bottom, top + 1), left, np.maximum(right, left + 1)), axis=-1)
        return found.clip(0, [height, height, width, width]).astype(np.int64)
    x, y, half = smoothed(boxes, mode)
    # Published code rounds down in a picture that is padded by this, where its coordinates are positive.
    pad = np.floor(half * (1 + 2 * MARGIN))
    top, left = np.floor(y + pad - half), np.floor(x + pad - half * (1 + MARGIN))
    bottom, right = np.floor(y + pad + half * (1 + 2 * MARGIN)), np.floor(x + pad + half * (1 + MARGIN))
    found = np.stack((top, np.maximum(bottom, top + 1), left, np.maximum(right, left + 1)), axis=-1)
    return (found - pad[:, None]).astype(np.int64)


def crop(picture: NDArray[np.uint8], rectangle: NDArray[np.int64], mode: Mode, size: int) -> NDArray[np.uint8]:
    """Cut a face out of a picture, make it grey and bring it to size.

    ``ava`` resizes the rectangle to the face, the other modes to twice its size, of which the middle is the face.
    Faces of half the published size or less are means over blocks of a larger one: single pixels would flicker.

    Args:
        picture: (H, W, 3), RGB, or (H, W), grey.
        rectangle: A row of `rectangles`.
        mode: How faces are cropped.
        size: S, side of the face in pixels.

    Returns:
        uint8 (S, S); black where the rectangle is empty.
    """
    block = max(1, PUBLISHED_SIZE // size)
    side = block * size
    whole = side if mode == "ava" else 2 * side
    patch = cut(picture, rectangle)
    if patch.size == 0:
        return np.zeros((size, size), np.uint8)
    patch = to_grey(patch) if patch.ndim == 3 else patch
    first = (whole - side) // 2
    wanted = np.arange(first, first + side)
    face = bilinear(patch, wanted, wanted, whole)
    if block > 1:
        face = face.reshape(size, block, size, block).mean((1, 3))
    return np.rint(face).astype(np.uint8)


def cut(picture: NDArray[np.uint8], rectangle: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The pixels of a rectangle, (h, w, ...), in ``OUTSIDE`` grey beyond the picture."""
    top, bottom, left, right = rectangle.tolist()
    inside = picture[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if inside.shape[:2] == (bottom - top, right - left):
        return inside
    patch = np.full((bottom - top, right - left, *picture.shape[2:]), OUTSIDE, np.uint8)
    patch[max(-top, 0) :, max(-left, 0) :][: inside.shape[0], : inside.shape[1]] = inside
    return patch


def bilinear(patch: NDArray, rows: NDArray, columns: NDArray, whole: int) -> NDArray[np.float32]:
    """Some pixels of a picture that is resized to ``whole`` x ``whole``, as OpenCV's linear interpolation has them.

    Args:
        patch: (h, w).
        rows: (r,), which rows of the result.
        columns: (c,), which columns of the result.
        whole: Side of the result.

    Returns:
        float32 (r, c).
    """
    (above, below, down), (before, behind, across) = (
        neighbours(places, length, whole) for places, length in zip((rows, columns), patch.shape, strict=True)
    )
    patch = patch.astype(np.float32)
    lines = patch[above] * (1 - down[:, None]) + patch[below] * down[:, None]
    return lines[:, before] * (1 - across) + lines[:, behind] * across


def neighbours(places: NDArray, length: int, whole: int) -> tuple[NDArray, NDArray, NDArray]:
    """The two pixels of ``length`` between which each of ``whole`` lies, and the share of the second one."""
    at = ((places + 0.5) * (length / whole) - 0.5).clip(0, length - 1)
    first = np.floor(at).astype(np.int64)
    return first, np.minimum(first + 1, length - 1), (at - first).astype(np.float32)
