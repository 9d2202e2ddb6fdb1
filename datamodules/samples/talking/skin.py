"""Textures of a head as seen from the front: skin with nose, brows and beard, and hair."""

import numpy as np

from datamodules.samples.talking.looks import Look
from datamodules.samples.talking.speech import Array

HALF = 160  # cells of a texture from its middle to its edge
STYLES = {"short": (0.74, 0.05), "bob": (0.66, 0.75), "long": (0.62, 0.9)}  # half width of the face, lower end


def skin_texture(look: Look, lamp: Array) -> Array:
    """Reflectance and relief (2 HALF, 2 HALF, 4); the relief adds to the cosine of the light."""
    rng = np.random.default_rng(look.seed)
    x, y = _grid()
    height = _relief(x, y, look)
    slope_y, slope_x = np.gradient(height, 1 / HALF)
    relief = -(lamp[0] * slope_x + lamp[1] * slope_y)
    colour = np.broadcast_to(look.skin, (*x.shape, 3)).copy()
    colour *= 1 + 0.1 * (clouds(rng, x.shape, 24) - 0.5)[..., None] + 0.06 * (clouds(rng, x.shape, 5) - 0.5)[..., None]
    flush = 0.35 * (_spot(abs(x) - 0.48, y - 0.25, 0.22, 0.18) + _spot(x, y - 0.22, 0.13, 0.12))
    colour *= 1 + flush[..., None] * np.float32([0.12, -0.22, -0.2])
    stubble = look.beard * _soft((y - 0.28) / 0.1) * (1 - _spot(x, y - 0.5, 0.34, 0.16) * _soft((y - 0.36) / 0.06))
    stubble = np.maximum(
        stubble, look.beard * _soft((0.16 - abs(y - 0.35)) / 0.05) * _soft((0.3 - abs(x)) / 0.08) * 0.8
    )
    stubble *= 1 - 0.9 * _spot(x, y - 0.13, 0.3, 0.16)
    stubble *= 0.75 + 0.5 * rng.random(x.shape, dtype=np.float32)
    colour += (look.hair * 0.8 - colour) * np.clip(stubble, 0, 0.92)[..., None]
    arch = y + 0.3 - 0.14 * (abs(x) - 0.34) ** 2 / 0.04 * 0.25 + 0.03
    brow = look.brows * _soft((0.035 - abs(arch)) / 0.025) * _soft((0.2 - abs(abs(x) - 0.36)) / 0.06)
    colour += (look.hair * 0.6 - colour) * (0.9 * brow)[..., None]
    nostril = _spot(abs(x) - 0.075 * look.nose, y - 0.245, 0.035, 0.02)
    colour *= 1 - 0.7 * np.clip(1.4 * nostril, 0, 1)[..., None]
    socket = _spot(abs(x) - 0.34, y + 0.1, 0.2, 0.12)
    colour *= 1 - 0.16 * socket[..., None]
    if look.glasses:
        ring = abs(np.hypot((abs(x) - 0.34) / 1.15, y + 0.08) - 0.2)
        frame = np.maximum(_soft((0.022 - ring) / 0.012), _soft((0.015 - abs(y + 0.12)) / 0.01) * (abs(x) < 0.14))
        frame = np.maximum(frame, _soft((0.015 - abs(y + 0.12)) / 0.01) * (abs(x) > 0.56))
        colour += (np.float32([0.02, 0.02, 0.025]) - colour) * frame[..., None]
    return np.concatenate([colour, relief[..., None]], -1).astype(np.float32)


def hair_texture(look: Look) -> Array | None:
    """Brightness and cover (2 HALF, 2 HALF, 2) of the hair, None for a bald head."""
    if look.style == "bald":
        return None
    rng = np.random.default_rng([look.seed, 1])
    x, y = _grid()
    half_width, lower = STYLES[look.style]
    ragged = 0.1 * (clouds(rng, x.shape, (40, 8)) - 0.5)
    side = 1 if look.seed % 2 else -1
    line = look.hairline - 0.1 + 0.25 * x**2 + 0.12 * side * x + ragged
    cover = np.maximum(
        _soft((line - y) / 0.05), _soft((abs(x) - half_width - ragged) / 0.04) * _soft((lower - y) / 0.06)
    )
    strands = 0.55 * clouds(rng, x.shape, (60, 3)) + 0.45 * clouds(rng, x.shape, (24, 8))
    return np.stack([0.55 + 0.95 * strands, cover], -1).astype(np.float32)


def _relief(x: Array, y: Array, look: Look) -> Array:
    """Height above the egg, in half heights of the head."""
    ridge = np.exp(-((x / 0.085) ** 2)) * _soft((y + 0.15) / 0.3 + 0.5) * _soft((0.2 - y) / 0.05)
    return (
        0.07 * look.nose * ridge
        + 0.075 * look.nose * _spot(x, y - 0.16, 0.11, 0.09)
        + 0.03 * look.nose * _spot(abs(x) - 0.12, y - 0.2, 0.06, 0.05)
        - 0.05 * _spot(abs(x) - 0.33, y + 0.1, 0.19, 0.12)
        + 0.03 * _spot(abs(x) - 0.33, y + 0.3, 0.28, 0.1)
        + 0.04 * _spot(abs(x) - 0.46, y - 0.16, 0.24, 0.18)
        + 0.045 * _spot(x, y - 0.82, 0.22, 0.14)
        - 0.025 * _spot(x, y - 0.67, 0.25, 0.06)
        - 0.012 * _spot(x, y - 0.34, 0.03, 0.07)
        - 0.02 * np.exp(-(((abs(x) - 0.26 - 0.3 * (y - 0.2)) / 0.03) ** 2)) * _soft((0.14 - abs(y - 0.34)) / 0.06)
    )


def clouds(rng: np.random.Generator, shape: tuple[int, int], cells: int | tuple[int, int]) -> Array:
    """Smooth noise in [0, 1] of ``shape`` with ``cells`` across (or across and down)."""
    across, down = cells if isinstance(cells, tuple) else (cells, cells)
    field = rng.random((down + 1, across + 1), dtype=np.float32)
    for axis, edge in enumerate(shape):
        place = np.linspace(0, field.shape[axis] - 1, edge, dtype=np.float32)
        low = np.minimum(place.astype(int), field.shape[axis] - 2)
        share = (place - low) ** 2 * (3 - 2 * (place - low))
        share = share[:, None] if axis == 0 else share
        field = field.take(low, axis) * (1 - share) + field.take(low + 1, axis) * share
    return field


def _grid() -> tuple[Array, Array]:
    edge = (np.arange(2 * HALF, dtype=np.float32) + 0.5) / HALF - 1
    return np.meshgrid(edge, edge)


def _spot(x: Array, y: Array, width: float, height: float) -> Array:
    return np.exp(-((x / width) ** 2) - (y / height) ** 2)


def _soft(value: Array) -> Array:
    """From 0 below -0.5 to 1 above 0.5."""
    share = np.clip(value + 0.5, 0, 1)
    return share * share * (3 - 2 * share)
