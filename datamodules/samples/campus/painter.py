"""Draw moving figures into linear light: antialiased shaded capsules, hidden by what stands before them, with shadows."""

from dataclasses import dataclass

import numpy as np

from datamodules.samples.campus.arrays import Array
from datamodules.samples.campus.backdrop import SKY_COLOUR, SUN_COLOUR, Backdrop, Light
from datamodules.samples.campus.body import Parts
from datamodules.samples.campus.camera import Camera

SHADOW_BLUR = 1.6  # pixels over which the rim of a shadow fades


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


def _capsules(start: Array, end: Array, radius: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Distances (P, n) of pixels from capsules (P) in the picture, and their places (P, n) across, in radii."""
    way = end - start
    square = (way**2).sum(-1)[:, None] + 1e-6
    px, py = x[None] - start[:, :1], y[None] - start[:, 1:]
    along = ((px * way[:, :1] + py * way[:, 1:]) / square).clip(0, 1)
    dx, dy = px - along * way[:, :1], py - along * way[:, 1:]
    thick = radius[:, :1] + (radius[:, 1:] - radius[:, :1]) * along
    return np.sqrt(dx * dx + dy * dy) - thick, np.stack([dx, dy]) / thick


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
    (start, end), radius, colour = ends[:, order], radius[order], parts.colour[order]
    y, x = np.mgrid[rows, columns].astype(np.float32) + 0.5
    gap, across = _capsules(start, end, np.maximum(radius, 0.35), x.ravel(), y.ravel())
    cover = (0.5 - gap).clip(0, 1)
    seen = np.ones_like(cover)  # share of each part that later, nearer parts leave uncovered
    seen[:-1] = np.cumprod((1 - cover)[:0:-1], axis=0)[::-1]
    weight = cover * seen
    whole = weight.sum(0)

    # normals of the round parts in the camera's frame: across the picture, and towards the viewer
    out = np.sqrt((1 - (across**2).sum(0)).clip(0, 1))
    normal = np.stack([across[0], across[1], -out])
    facing = np.tensordot(camera.axes @ light.direction, normal, 1).clip(0, 1)
    upward = np.tensordot(camera.axes[:, 2], normal, 1)
    foot, _ = camera.project(_foot(parts)[None])
    lit = _around(backdrop.lit, foot[0])
    by_sky = (weight * (0.62 + 0.38 * upward)).T @ colour * (SKY_COLOUR * light.sky * sky)
    by_sun = (weight * facing).T @ colour * (SUN_COLOUR * light.sun * sun * lit)
    distance_to_figure = float(distance.mean())
    shape = x.shape
    free = backdrop.depth[rows, columns] > distance_to_figure - 0.25
    whole = whole.reshape(shape)
    light_seen = (by_sky + by_sun).reshape(*shape, 3) / np.maximum(whole, 1e-3)[..., None]
    return Seen(rows, columns, whole * free, light_seen, distance_to_figure, whole)


def cast(parts: Parts, camera: Camera, light: Light, shadow: Array, contact: Array) -> None:
    """Add the figure's shadow on the ground to ``shadow`` (H, W), and the dark spot below it to ``contact``."""
    towards = light.direction
    fallen = [end - end[:, 2:] / towards[2] * towards for end in (parts.start, parts.end)]
    _blot(np.stack(fallen), parts.radius, camera, shadow, SHADOW_BLUR)
    foot = _foot(parts)
    low = parts.start[:, 2] < 0.5
    if low.any():
        spots = np.stack([parts.start[low], parts.end[low]]) * np.array([1, 1, 0], np.float32)
        _blot(spots, np.full((int(low.sum()), 2), 0.10, np.float32), camera, contact, 3.0)
    else:
        _blot(np.stack([foot[None], foot[None]]), np.full((1, 2), 0.12, np.float32), camera, contact, 3.0)


def _blot(ends: Array, radius: Array, camera: Camera, picture: Array, blur: float) -> None:
    place, distance = camera.project(ends)
    if distance.min() < 0.5:
        return
    radius = radius * (camera.pixels / distance.T)
    margin = radius.max(-1)[:, None] + blur
    window = _window((place.min(0) - margin).min(0), (place.max(0) + margin).max(0), camera.size)
    if window is None:
        return
    y, x = np.mgrid[window].astype(np.float32) + 0.5
    gap, _ = _capsules(place[0], place[1], radius, x.ravel(), y.ravel())
    dark = (0.5 - gap.min(0) / blur).clip(0, 1).reshape(x.shape)
    np.maximum(picture[window], dark, out=picture[window])


def _foot(parts: Parts) -> Array:
    ends = np.concatenate([parts.start, parts.end])
    return np.array([*(ends[:, :2].min(0) + ends[:, :2].max(0)) / 2, 0], np.float32)


def _around(values: Array, point: Array) -> float:
    """Mean of ``values`` (H, W) around a pixel position, 1 outside the picture."""
    x, y = (int(v) for v in point)
    patch = values[max(0, y - 3) : max(0, y + 4), max(0, x - 3) : max(0, x + 4)]
    return float(patch.mean()) if patch.size else 1.0
