"""Detection of speaking faces as the benchmark of Ego4D measures it: mAP at an overlap of 0.5, in pixels."""

import logging
import math

import numpy as np
import torch

from metrics.box_matching import Floats, Integers, closest, first_come
from metrics.ranking import interpolated_average_precision

IOU = 0.5
PIXEL = 1  # x2 and y2 are pixels of the box themselves
WHOLE = 3  # decimals to which pixels are rounded before they are cut: what was whole before a division is whole again

log = logging.getLogger(__name__)


def speaker_map(
    true_frame: Integers, true_box: Floats, frame: Integers, box: Floats, score: Floats, iou: float = IOU
) -> float:
    """Measure the average precision of scored faces as detections of the faces that speak.

    The evaluation of EGO4D/audio-visual, which is that of Cartucho/mAP: the highest score first, a detection claims the
    true box of its frame that it overlaps most, never a second choice, rightly if the overlap is at least ``iou`` and
    nobody was there before; the last pixel of a box belongs to it. Precision is made monotonous from the right.
    Detections of equal score are one step of the curve (`metrics.ranking.interpolated_average_precision`), so that no
    order of rows changes a bit.

    Args:
        true_frame: (M,), numbers of the frames of the faces that speak; a frame is one of a clip.
        true_box: (M, 4), x1, y1, x2, y2 in whole pixels.
        frame: (N,), of all faces that were followed, whether they speak or not.
        box: (N, 4).
        score: (N,), higher is more likely to speak.
        iou: Overlap from which a box is found, above 0.

    Returns:
        In [0, 1]; NaN, with a warning, without a face that speaks.

    Raises:
        ValueError: For a box of x2 < x1 or y2 < y1, or a score that is not a number.
    """
    for kind, boxes in {"true boxes": true_box, "detections": box}.items():
        turned = (boxes[:, :2] > boxes[:, 2:]).any(1)
        if turned.any():
            raise ValueError(f"{kind}: expected x1 <= x2 and y1 <= y2, found {boxes[turned][0].tolist()}")
    if np.isnan(score).any():
        raise ValueError(f"detections: expected scores that are numbers, found {np.isnan(score).sum()} that are not")
    if not len(true_frame):
        log.warning("no face speaks, and so the mAP of detections is not a number")
        return math.nan
    _, place = np.unique(np.concatenate([true_frame, frame]), return_inverse=True)
    true_key, key = np.split(place.astype(np.int64), [len(true_frame)])
    position, overlap = closest(key, inclusive(box), true_key, inclusive(true_box))
    order = np.argsort(-score, kind="stable")
    right = np.zeros(len(score), dtype=bool)
    right[order] = first_come(position[order], overlap[order], iou)
    return interpolated_average_precision(torch.from_numpy(score), torch.from_numpy(right), len(true_frame))


def inclusive(boxes: Floats) -> Floats:
    """Boxes (N, 4) whose last pixel lies in them, as ones that end behind it."""
    return boxes + np.array([0.0, 0.0, PIXEL, PIXEL])


def whole_pixels(boxes: Floats, size: Floats) -> Floats:
    """Boxes in whole pixels, cut as the benchmark cuts them.

    Args:
        boxes: (N, 4), x1, y1, x2, y2 in [0, 1] of the frame, or beyond.
        size: (N, 2), height and width of the frame in pixels.
    """
    return np.trunc(np.round(boxes * np.tile(size[:, ::-1], 2), WHOLE))
