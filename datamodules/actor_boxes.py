"""Boxes of actors follow the pixels: jitter, crop, mirror. Pure functions of boxes in [0, 1] of the frame.

Definitions of Siyu-C/ACAR-Net, in whose data set a box that a crop leaves nothing of is dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datamodules.crops import View


@dataclass(frozen=True)
class Framing:
    """What a clip shows of the stored frame.

    Attributes:
        x1: Left edge of what is shown, in [0, 1] of the stored frame, like the others.
        y1: Upper edge.
        x2: Right edge.
        y2: Lower edge.
        mirrored: Left and right are swapped in the clip.
    """

    x1: float = 0.0
    y1: float = 0.0
    x2: float = 1.0
    y2: float = 1.0
    mirrored: bool = False

    @classmethod
    def of(cls, views: Sequence[View], height: int, width: int) -> "Framing":
        """What is left of a frame of ``height`` x ``width`` after views that are applied one after the other."""
        framing = cls()
        for view in views:
            x = view.left / width, (view.left + view.width) / width
            y = view.top / height, (view.top + view.height) / height
            framing, (height, width) = framing.then(x, y, view.mirrored), view.size
        return framing

    def then(self, x: tuple[float, float], y: tuple[float, float], mirrored: bool) -> "Framing":
        """Cut out a part, in [0, 1] of what is shown now, and perhaps mirror it."""
        left, right = (1 - x[1], 1 - x[0]) if self.mirrored else x
        width, height = self.x2 - self.x1, self.y2 - self.y1
        return Framing(
            self.x1 + left * width,
            self.y1 + y[0] * height,
            self.x1 + right * width,
            self.y1 + y[1] * height,
            self.mirrored != mirrored,
        )


def jittered(boxes: np.ndarray, noise: np.ndarray, scale: float) -> np.ndarray:
    """Move every side of every box by up to ``scale`` of its width or height, and keep it inside the frame.

    Args:
        boxes: float64 (R, 4), xyxy in [0, 1].
        noise: (..., R, 4), uniform in [-1, 1].
        scale: Largest displacement, in sides of the box; below 0.5 no box turns inside out.

    Returns:
        (..., R, 4), in [0, 1].
    """
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return np.clip(boxes + scale * noise * sides, 0, 1)


def follow(boxes: np.ndarray, framing: Framing, least_visible: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Express boxes in what a clip shows.

    Args:
        boxes: float64 (R, 4), xyxy in [0, 1] of the stored frame.
        framing: What the clip shows of it.
        least_visible: Share of a box's area of which more has to be visible.

    Returns:
        Boxes (R, 4), xyxy in [0, 1] of the clip, cut off at its edges; and bool (R,), False where too little is
        visible.
    """
    low, high = np.array([framing.x1, framing.y1]), np.array([framing.x2, framing.y2])
    begin, end = boxes[:, :2].clip(low, high), boxes[:, 2:].clip(low, high)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    kept = (end - begin).prod(1) > least_visible * area
    moved = np.concatenate(((begin - low) / (high - low), (end - low) / (high - low)), axis=1)
    return (moved * [-1, 1, -1, 1] + [1, 0, 1, 0])[:, [2, 1, 0, 3]] if framing.mirrored else moved, kept
