"""Finds the cuts between the scenes of a video."""

import numpy as np
from numpy.typing import NDArray

LEVELS = 8  # of each colour in a histogram
MAX_PIXELS = 20_000  # that a histogram is made of, taken in a grid


class CutDetector:
    """Tells where the colours of a video change from one frame to the next: hard cuts, not dissolves.

    The distance of two frames is the share of pixels whose colour (8 levels each of red, green and blue) the other
    frame does not have as well, so that things may move and the camera may pan.

    Args:
        threshold: Distance from which a frame begins a scene; 0: every frame does, 1: only one without a common colour.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold
        self._last: NDArray[np.float64] | None = None

    def begins(self, frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Tell for each frame whether it begins a scene, from the frame before it, that of the last call included.

        Args:
            frames: (T, H, W, 3), RGB, the next frames of the video.

        Returns:
            (T,), False for the first frame of a video.
        """
        cuts = np.zeros(len(frames), dtype=bool)
        for place, frame in enumerate(frames):
            colours = histogram(frame)
            if self._last is not None:
                cuts[place] = np.abs(colours - self._last).sum() / 2 >= self.threshold
            self._last = colours
        return cuts


def histogram(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The share of pixels of each colour, (LEVELS ** 3,)."""
    step = max(int(np.sqrt(frame.shape[0] * frame.shape[1] / MAX_PIXELS)), 1)
    levels = frame[::step, ::step].reshape(-1, 3) // (256 // LEVELS)
    colours = levels.astype(np.int64) @ (LEVELS**2, LEVELS, 1)
    return np.bincount(colours, minlength=LEVELS**3) / len(colours)
