"""Draw figures into linear light: antialiased shaded capsules and panels, their shadows, and what hides them."""

from dataclasses import dataclass
from functools import reduce

import numpy as np

from datamodules.samples.campus.arrays import Array
from datamodules.samples.campus.backdrop import SKY_COLOUR, SUN_COLOUR, Backdrop, Light
from datamodules.samples.campus.body import Parts
from datamodules.samples.campus.camera import Camera

SHADOW_BLUR = 1.6  # pixels over which the rim of a shadow fades
CONTACT_BLUR = 4.0  # the same for the dark spot under a foot, which the sky lights from all sides
SEAM = 0.35  # pixels by which panels are larger than they are, so that no light falls through between two


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


class _Panels:
    """Flat convex panels (Q) in the picture and their geometry at the pixels (h, w) of a window.

    Args:
        corners: Corners (Q, 4, 2) in pixels.
        window: Rows and columns.
    """

    def __init__(self, corners: Array, window: tuple[slice, slice]) -> None:
        rows, columns = window
        self.x = np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5
        self.y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + 0.5
        following = np.roll(corners, -1, axis=1)
        way = following - corners
        length = np.hypot(way[..., 0], way[..., 1])
        turn = np.sign((corners[..., 0] * following[..., 1] - corners[..., 1] * following[..., 0]).sum(1))
        self.out = np.stack([way[..., 1], -way[..., 0]], -1) * (turn[:, None] / np.maximum(length, 1e-3))[..., None]
        self.reach = np.where(length > 1e-3, (self.out * corners).sum(-1), np.inf)  # two corners in one: no edge

    def gap(self) -> Array:
        """Distances (Q, h, w) of the pixels from the panels, negative inside."""
        out, reach = self.out[..., None, None], self.reach[..., None, None]
        edges = (out[:, edge, 0] * self.x + out[:, edge, 1] * self.y - reach[:, edge] for edge in range(4))
        return reduce(np.maximum, edges) - SEAM


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
    corners, depth = camera.project(parts.corners)
    if min(distance.min(), depth.min(initial=np.inf)) < 0.5:
        return None
    radius = parts.radius * (camera.pixels / distance.T)
    margin = radius.max(-1)[:, None] + 1
    rims = np.concatenate([*(ends - margin), *(ends + margin), corners.reshape(-1, 2)])
    window = _window(rims.min(0), rims.max(0), camera.size)
    if window is None:
        return None
    rows, columns = window
    order = np.argsort(-np.concatenate([distance.mean(0), depth.mean(1)]))  # far parts first
    capsules = _Capsules(ends[0], ends[1], np.maximum(radius, 0.35), window)
    cover = (0.5 - np.concatenate([capsules.gap(), _Panels(corners, window).gap()])[order]).clip(0, 1)
    seen = np.ones_like(cover)  # share of each part that nearer parts leave uncovered
    np.cumprod(1 - cover[:0:-1], axis=0, out=seen[-2::-1])
    weight = cover * seen
    whole = weight.sum(0)

    first = order[weight.argmax(0)]  # the part that is seen most of at each pixel
    flat = first - len(parts.start)
    normal = capsules.normal(np.where(flat < 0, first, 0))
    if len(corners):
        normal = np.where(flat[..., None] < 0, normal, _facing(parts.corners, camera)[np.maximum(flat, 0)])
    facing = (normal @ (camera.axes @ light.direction)).clip(0, 1)
    upward = normal @ camera.axes[:, 2]
    by_sky = SKY_COLOUR * light.sky * sky * (0.5 + 0.5 * upward)[..., None]
    by_sun = SUN_COLOUR * light.sun * sun * _around(backdrop.lit, camera.project(_foot(parts))[0]) * facing[..., None]
    colour = np.concatenate([parts.colour, parts.paint])[order]
    cloth = np.tensordot(weight, colour, (0, 0)) / np.maximum(whole, 1e-3)[..., None]
    near = np.concatenate([distance.min(0), depth.min(1)])[first]
    free = backdrop.depth[window] > near - 0.25
    return Seen(rows, columns, whole * free, cloth * (by_sky + by_sun), float(distance.mean()), whole)


def _facing(corners: Array, camera: Camera) -> Array:
    """Normals (Q, 3) of panels (Q, 4, 3) in the camera's frame, those of the sides that it sees."""
    first, second = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    normal = np.cross(first, second)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    away = ((corners.mean(1) - camera.position) * normal).sum(-1, keepdims=True)
    return np.where(away > 0, -normal, normal) @ camera.axes.T


def cast(parts: Parts, camera: Camera, light: Light, shadow: Array, contact: Array) -> None:
    """Add the figure's shadow on the ground to ``shadow`` (H, W), and the dark spot below it to ``contact``."""
    towards = light.direction
    large = parts.radius[:, 0] > min(0.05, parts.radius.max())  # hands and spokes are lost in the blur
    start, end = (ends[large] - ends[large, 2:] / towards[2] * towards for ends in (parts.start, parts.end))
    _blot(np.stack([start, end]), parts.radius[large], camera, shadow, SHADOW_BLUR)
    _shade(parts.corners - parts.corners[..., 2:] / towards[2] * towards, camera, shadow)
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


def _shade(corners: Array, camera: Camera, picture: Array) -> None:
    """The same for shadows (Q, 4, 3) of panels on the ground."""
    place, distance = camera.project(corners)
    window = _window(place.min((0, 1)) - 2, place.max((0, 1)) + 2, camera.size) if len(corners) else None
    if window is None or distance.min() < 0.5:
        return
    gap = _Panels(place, window).gap().min(0)
    part = picture[window]
    np.maximum(part, (0.5 - gap / SHADOW_BLUR).clip(0, 1), out=part)


def _foot(parts: Parts) -> Array:
    ends = np.concatenate([parts.start, parts.end])
    return np.array([*(ends[:, :2].min(0) + ends[:, :2].max(0)) / 2, 0], np.float32)


def _around(values: Array, point: Array) -> float:
    """Mean of ``values`` (H, W) around a pixel position, 1 outside the picture."""
    x, y = (int(v) for v in point)
    patch = values[max(0, y - 3) : max(0, y + 4), max(0, x - 3) : max(0, x + 4)]
    return float(patch.mean()) if patch.size else 1.0
