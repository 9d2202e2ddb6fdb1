"""Draw figures into linear light: antialiased shaded capsules with shadows, hidden by what stands before them."""

from dataclasses import dataclass

import numpy as np

from datamodules.samples.campus.arrays import Array
from datamodules.samples.campus.backdrop import SKY_COLOUR, SUN_COLOUR, Backdrop, Light
from datamodules.samples.campus.body import Parts
from datamodules.samples.campus.camera import Camera

SHADOW_BLUR = 1.6  # pixels over which the rim of a shadow fades
CONTACT_BLUR = 4.0  # the same for the dark spot under a foot, which the sky lights from all sides


@dataclass(frozen=True)
class Seen:
    """Where a figure appears.

    Attributes:
        rows, columns: Pixels of the rectangle that ``alpha`` covers.
        alpha: Coverage (h, w) after what stands in front was taken away.
        colour: Linear light (h, w, 3).
        distance: Metres from the camera.
        whole: Coverage (h, w) if nothing stood in front.
    """

    rows: slice
    columns: slice
    alpha: Array
    colour: Array
    distance: float
    whole: Array


class _Capsules:
    """Tapered capsules (P) in the picture and their geometry at the pixels (h, w) of a window.

    Args:
        start, end: Centres of the ends (P, 2) in pixels.
        radius: Radii at both ends (P, 2) in pixels.
        window: Rows and columns.
    """

    def __init__(self, start: Array, end: Array, radius: Array, window: tuple[slice, slice]) -> None:
        rows, columns = window
        x = np.arange(columns.start, columns.stop, dtype=np.float32) + (0.5 - start[:, 0, None, None])
        y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + (0.5 - start[:, 1, None, None])
        way = end - start
        step = (way / ((way * way).sum(-1, keepdims=True) + 1e-6))[..., None, None]
        along = x * step[:, 0] + y * step[:, 1]
        np.minimum(np.maximum(along, 0, out=along), 1, out=along)
        self.across = x - along * way[:, 0, None, None], y - along * way[:, 1, None, None]
        along *= (radius[:, 1] - radius[:, 0])[:, None, None]
        along += radius[:, 0, None, None]
        self.thick = along

    def gap(self) -> Array:
        """Distances (P, h, w) of the pixels from the capsules, negative inside."""
        x, y = self.across
        return np.sqrt(x * x + y * y) - self.thick

    def normal(self, chosen: Array) -> Array:
        """Normals (h, w, 3) in the camera's frame of the capsules numbered ``chosen`` (h, w)."""
        x, y, thick = (np.take_along_axis(values, chosen[None], 0)[0] for values in (*self.across, self.thick))
        x, y = x / thick, y / thick
        return np.stack([x, y, -np.sqrt(np.maximum(1 - x * x - y * y, 0))], -1)


def _window(low: Array, high: Array, size: tuple[int, int]) -> tuple[slice, slice] | None:
    """Rows and columns of the picture between two corners (x, y), None outside."""
    left, top = np.floor(np.maximum(low, 0)).astype(int)
    right, bottom = np.ceil(np.minimum(high, [size[1], size[0]])).astype(int)
    return (slice(top, bottom), slice(left, right)) if right > left and bottom > top else None


def see(parts: Parts, camera: Camera, backdrop: Backdrop, light: Light, sun: float, sky: float) -> Seen | None:
    """Project and shade a figure; None when it is outside the picture.

    Args:
        parts: The figure in the world.
        camera: Who looks.
        backdrop: What hides the figure, and where the ground is in the shade.
        light: Direction and strength of the sun.
        sun: Factor on the sun's strength at this moment.
        sky: Factor on the sky's strength.
    """
    ends, distance = camera.project(np.stack([parts.start, parts.end]))
    if distance.min() < 0.5:
        return None
    radius = parts.radius * (camera.pixels / distance.T)
    margin = radius.max(-1)[:, None] + 1
    window = _window((ends.min(0) - margin).min(0), (ends.max(0) + margin).max(0), camera.size)
    if window is None:
        return None
    rows, columns = window
    order = np.argsort(-distance.mean(0))  # far parts first
    colour = parts.colour[order]
    capsules = _Capsules(ends[0, order], ends[1, order], np.maximum(radius[order], 0.35), window)
    cover = (0.5 - capsules.gap()).clip(0, 1)
    seen = np.ones_like(cover)  # share of each part that nearer parts leave uncovered
    np.cumprod(1 - cover[:0:-1], axis=0, out=seen[-2::-1])
    weight = cover * seen
    whole = weight.sum(0)

    normal = capsules.normal(weight.argmax(0))
    facing = (normal @ (camera.axes @ light.direction)).clip(0, 1)
    upward = normal @ camera.axes[:, 2]
    by_sky = SKY_COLOUR * light.sky * sky * (0.5 + 0.5 * upward)[..., None]
    by_sun = SUN_COLOUR * light.sun * sun * _around(backdrop.lit, camera.project(_foot(parts))[0]) * facing[..., None]
    cloth = np.tensordot(weight, colour, (0, 0)) / np.maximum(whole, 1e-3)[..., None]
    middle = float(distance.mean())
    free = backdrop.depth[window] > middle - 0.25
    return Seen(rows, columns, whole * free, cloth * (by_sky + by_sun), middle, whole)


def cast(parts: Parts, camera: Camera, light: Light, shadow: Array, contact: Array) -> None:
    """Add the figure's shadow on the ground to ``shadow`` (H, W), and the dark spot below it to ``contact``."""
    towards = light.direction
    large = parts.radius[:, 0] > min(0.05, parts.radius.max())  # hands and spokes are lost in the blur
    start, end = (ends[large] - ends[large, 2:] / towards[2] * towards for ends in (parts.start, parts.end))
    _blot(np.stack([start, end]), parts.radius[large], camera, shadow, SHADOW_BLUR)
    low = np.concatenate([ends[ends[:, 2] < 0.25] for ends in (parts.start, parts.end)])
    if len(low):  # from the foremost to the hindmost point near the ground
        far = low[np.argmax(((low - low[0]) ** 2).sum(-1))]
        spot = np.stack([low[:1], far[None]]) * np.array([1, 1, 0], np.float32)
        _blot(spot, np.full((1, 2), 0.14, np.float32), camera, contact, CONTACT_BLUR)


def _blot(ends: Array, radius: Array, camera: Camera, picture: Array, blur: float) -> None:
    place, distance = camera.project(ends)
    if distance.min() < 0.5:
        return
    radius = radius * (camera.pixels / distance.T)
    margin = radius.max(-1)[:, None] + blur
    window = _window((place.min(0) - margin).min(0), (place.max(0) + margin).max(0), camera.size)
    if window is None:
        return
    gap = _Capsules(place[0], place[1], radius, window).gap().min(0)
    part = picture[window]
    np.maximum(part, (0.5 - gap / blur).clip(0, 1), out=part)


def _foot(parts: Parts) -> Array:
    ends = np.concatenate([parts.start, parts.end])
    return np.array([*(ends[:, :2].min(0) + ends[:, :2].max(0)) / 2, 0], np.float32)


def _around(values: Array, point: Array) -> float:
    """Mean of ``values`` (H, W) around a pixel position, 1 outside the picture."""
    x, y = (int(v) for v in point)
    patch = values[max(0, y - 3) : max(0, y + 4), max(0, x - 3) : max(0, x + 4)]
    return float(patch.mean()) if patch.size else 1.0
