"""Draws the faces of a frame in the colour of how much they speak."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from callbacks.action_pictures import font, resized

# From silent to speaking, told apart also by colour-blind people (Okabe and Ito, 2008), and by the width of the line.
COLOURS = np.array([(0, 114, 178), (220, 220, 220), (230, 159, 0)], dtype=np.float64)
INK = "#111111"
THIN, THICK = 2, 5  # lines of faces that are silent and that speak, in pixels
FONT_SHARE, LEAST_FONT = 30, 12  # of the height of the frame, in pixels


class Face(NamedTuple):
    """A face in a frame.

    Attributes:
        name: Of the face.
        box: x1, y1, x2, y2 in [0, 1] of the frame; may leave it.
        score: Above 0 it speaks.
    """

    name: str
    box: Sequence[float]
    score: float


def draw_speakers(
    frame: NDArray[np.uint8], faces: Sequence[Face], contrast: float, max_height: int | None = None
) -> NDArray[np.uint8]:
    """Draw a box around every face, thick for those that speak, with name and score.

    Args:
        frame: (H, W, 3), RGB.
        faces: Those that speak most are drawn last.
        contrast: Score at which the colour is that of a face that surely speaks; the same below 0.
        max_height: Height from which the frame is made smaller; None for never.

    Returns:
        (H, W, 3), in the size in which it is shown.
    """
    picture = resized(frame, min(len(frame), max_height or len(frame)))
    draw, letters = ImageDraw.Draw(picture), font(max(picture.height // FONT_SHARE, LEAST_FONT))
    sides = np.tile((picture.width - 1, picture.height - 1), 2)
    for face in sorted(faces, key=lambda face: face.score):
        x1, y1, x2, y2 = (np.clip(face.box, 0, 1) * sides).round().astype(int).tolist()
        colour = colour_of(face.score / contrast)
        draw.rectangle((x1, y1, max(x1, x2), max(y1, y2)), outline=colour, width=THICK if face.score >= 0 else THIN)
        text = f"{face.name} {face.score:+.1f}"
        left, top, right, bottom = draw.textbbox((x1, y1), text, letters, anchor="lb")
        down = max(-top, 0)  # into the box, where there is no room above it
        draw.rectangle((left - 1, top + down - 1, right + 1, bottom + down), fill=colour)
        draw.text((x1, y1 + down), text, INK, letters, anchor="lb")
    return np.asarray(picture)


def colour_of(share: float) -> tuple[int, int, int]:
    """The colour of a score between -1, silent, and 1, speaking."""
    places = np.linspace(-1, 1, len(COLOURS))
    return tuple(round(float(np.interp(share, places, channel))) for channel in COLOURS.T)
