"""Faces and how much they speak, as they are measured and written; the AP of who speaks."""

import logging
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from metrics.ranking import interpolated_average_precision

Track = tuple[str, str]
"""Video and entity."""

log = logging.getLogger(__name__)


class FaceScores(NamedTuple):
    """Faces that were measured, a row each, in the order of samples and their frames.

    Attributes:
        sample: (N,) int64, the sample that a face is in.
        frame, seconds: (N,) int64 and float64, where in its medium.
        box: (N, 4) float64, x1, y1, x2, y2 in [0, 1] of the frame.
        size: (N, 2) float64, height and width of the frame in pixels.
        label: (N,) bool, speaks.
        score: (N,) float64.
    """

    sample: NDArray[np.int64]
    frame: NDArray[np.int64]
    seconds: NDArray[np.float64]
    box: NDArray[np.float64]
    size: NDArray[np.float64]
    label: NDArray[np.bool_]
    score: NDArray[np.float64]


def speaking_ap(scores: Tensor, labels: Tensor) -> float:
    """AP of AVA-ActiveSpeaker in [0, 1] of faces (N,), 1 or 0 as label; NaN, with a warning, where nobody speaks."""
    if not labels.any():
        log.warning("no face speaks among %d, and so the AP is not a number", len(labels))
        return math.nan
    return interpolated_average_precision(scores, labels)
