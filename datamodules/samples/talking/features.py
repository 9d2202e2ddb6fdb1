"""Draw the parts of a face that move: lips, teeth and tongue, eyes and lids."""

from dataclasses import dataclass

import numpy as np

from datamodules.samples.talking.looks import Look
from datamodules.samples.talking.speech import Array

GAPE = 0.42  # height of a wide open mouth, in half heights of the head
TEETH, GUM = np.float32([0.5, 0.47, 0.42]), np.float32([0.03, 0.01, 0.01])
TONGUE, WHITE = np.float32([0.25, 0.07, 0.07]), np.float32([0.78, 0.76, 0.74])


@dataclass(frozen=True)
class Expression:
    """What moves in a face: opening (0..1) and spread (-1..1) of the mouth, openness of the eyes, gaze (x, y)."""

    opening: float
    spread: float
    eyes: float
    gaze: tuple[float, float]


def mouth_size(look: Look, face: Expression) -> tuple[float, float]:
    """Half width of the mouth and height of its opening, in half heights of the head."""
    narrow = 0.26 if face.spread > 0 else 0.38
    return look.mouth * (1 + narrow * face.spread) * (1 - 0.1 * face.opening), GAPE * face.opening


def paint_mouth(
    colour: Array, x: Array, y: Array, centre: tuple[float, float], look: Look, face: Expression, scale: float
) -> None:
    """Draw the mouth into ``colour`` (h, w, 3), whose pixels are at ``x``, ``y`` of the face."""
    half_width, gape = mouth_size(look, face)
    x, y = (x - centre[0]) / half_width, y - centre[1]
    arch = np.maximum(0, 1 - x * x)
    bow = np.sqrt(arch)
    upper, lower = -0.3 * gape * bow, 0.7 * gape * bow
    pout = 1 + 0.35 * max(0.0, -face.spread) - 0.2 * max(0.0, face.spread)
    upper_lip = upper - pout * (0.065 * arch**0.7 - 0.012 * np.exp(-((x / 0.16) ** 2)))
    lower_lip = lower + pout * 0.085 * arch**0.8
    sharp = np.float32(scale)

    def between(low: Array, high: Array) -> Array:
        return np.clip((y - low) * sharp + 0.5, 0, 1) * np.clip((high - y) * sharp + 0.5, 0, 1)

    inside_x = np.clip((1 - abs(x)) * half_width * sharp + 0.5, 0, 1)
    lips = between(upper_lip, lower_lip) * inside_x
    red = look.skin * np.float32([0.78, 0.42, 0.42]) + np.float32([0.05, 0.0, 0.01])
    gloss = 1 + 0.35 * np.exp(-(((y - lower - 0.045) / 0.02) ** 2) - (x / 0.5) ** 2) - 0.25 * (y < upper)
    _lay(colour, red * gloss[..., None], 0.9 * lips)
    hollow = between(upper - 0.006, lower + 0.006) * inside_x * np.clip(0.55 + 6 * gape, 0, 1)
    _lay(colour, GUM, hollow)
    if gape > 0.02:
        tongue = between(lower - 0.38 * gape, lower) * np.clip((0.8 - abs(x)) * 6, 0, 1) * inside_x
        _lay(colour, TONGUE, 0.8 * tongue * min(1.0, 8 * gape))
        shown = 0.03 * min(1.0, gape / 0.12)
        teeth = between(upper, np.minimum(upper + shown, lower)) * np.clip((0.82 - abs(x)) * 8, 0, 1)
        _lay(colour, TEETH * (1 - 0.25 * abs(x))[..., None], 0.95 * teeth)


def paint_eye(
    colour: Array, x: Array, y: Array, centre: tuple[float, float], look: Look, face: Expression, scale: float
) -> None:
    """Draw one eye into ``colour`` (h, w, 3), whose pixels are at ``x``, ``y`` of the face."""
    sharp = np.float32(scale)
    x, y = x - centre[0], y - centre[1]
    arch = np.maximum(0, 1 - (x / 0.145) ** 2)
    top, bottom = -0.075 * arch * (1.7 * face.eyes - 0.7), 0.052 * arch
    inside = np.clip((0.145 - abs(x)) * sharp + 0.5, 0, 1)
    open_ = np.clip((y - top) * sharp + 0.5, 0, 1) * np.clip((bottom - y) * sharp + 0.5, 0, 1) * inside
    _lay(colour, WHITE, 0.95 * open_)
    away = np.hypot(x - 0.05 * face.gaze[0], y + 0.01 - 0.03 * face.gaze[1])
    _lay(colour, look.iris, open_ * np.clip((0.066 - away) * sharp + 0.5, 0, 1))
    _lay(colour, np.float32([0.01, 0.01, 0.01]), open_ * np.clip((0.03 - away) * sharp + 0.5, 0, 1))
    glint = np.hypot(x - 0.05 * face.gaze[0] + 0.018, y + 0.03 - 0.03 * face.gaze[1])
    _lay(colour, np.float32([0.95, 0.95, 0.95]), open_ * np.clip((0.013 - glint) * sharp + 0.5, 0, 1))
    lash = np.clip((0.018 - abs(y - top)) * sharp + 0.5, 0, 1) * inside
    _lay(colour, look.skin * 0.12, 0.75 * lash)
    fold = np.exp(-(((y + 0.115 * arch - 0.005) / 0.014) ** 2)) * inside
    _lay(colour, look.skin * 0.5, 0.35 * fold)


def _lay(colour: Array, paint: Array, cover: Array) -> None:
    colour += (paint - colour) * cover[..., None]
