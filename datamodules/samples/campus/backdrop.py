"""The empty place as the camera sees it, separated into sky light and sun light so that the weather can change."""

from dataclasses import dataclass

import numpy as np

from datamodules.samples.campus.arrays import Array, rgb
from datamodules.samples.campus.camera import Camera
from datamodules.samples.campus.solids import MISS, Solid
from datamodules.samples.campus.textures import Material

SUN_COLOUR = np.array([1.05, 0.98, 0.86], np.float32)
SKY_COLOUR = np.array([0.86, 0.96, 1.10], np.float32)
OVERSAMPLING = 3  # rays per pixel along each axis


@dataclass(frozen=True)
class Area:
    """A rectangle of the ground, ``x`` by ``y`` in metres; later areas cover earlier ones."""

    x: tuple[float, float]
    y: tuple[float, float]
    material: Material


@dataclass(frozen=True)
class Light:
    """The sun's place in degrees (azimuth clockwise from the y axis) and the strength of sun and sky."""

    azimuth: float
    elevation: float
    sun: float
    sky: float

    @property
    def direction(self) -> Array:
        """Unit vector (3,) towards the sun."""
        azimuth, elevation = np.radians([self.azimuth, self.elevation])
        flat = np.cos(elevation)
        return np.array([np.sin(azimuth) * flat, np.cos(azimuth) * flat, np.sin(elevation)], np.float32)


@dataclass(frozen=True)
class Backdrop:
    """A rendered place.

    Attributes:
        sky: Linear light (H, W, 3) from the sky alone.
        sun: Linear light (H, W, 3) that the sun adds, shadows of the place included.
        depth: Distance along the camera's axis (H, W) in metres.
        lit: Share of the sun (H, W) that reaches the surface.
        level: Whether the surface is ground that shadows of people fall on (H, W), 0 to 1.
    """

    sky: Array
    sun: Array
    depth: Array
    lit: Array
    level: Array


def render(camera: Camera, ground: list[Area], solids: list[Solid], light: Light, rng: np.random.Generator) -> Backdrop:
    """Trace the place once; the cost is a second or so, whatever the length of the videos filmed there."""
    height, width = camera.size
    shape = (height * OVERSAMPLING, width * OVERSAMPLING)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    jitter = rng.random((2, *shape), dtype=np.float32)  # irregular samples turn moire into grain
    rays = camera.rays(((x + jitter[0]) / OVERSAMPLING).ravel(), ((y + jitter[1]) / OVERSAMPLING).ravel())

    distance, normal, colour = _ground(camera, ground, rays)
    for solid in solids:
        rows = _rows_in_view(camera, solid, shape)
        near, facing, painted = solid.hit(camera.position, rays[rows])
        closer = near < distance[rows]
        rows = rows[closer]
        distance[rows], normal[rows], colour[rows] = near[closer], facing[closer], painted[closer]

    hit = distance < MISS
    point = camera.position + rays * np.where(hit, distance, 0)[:, None]
    towards = light.direction
    facing = (normal @ towards).clip(0, 1)
    lit = np.where(hit, _sunlit(point + normal * 0.01, towards, solids), 0).astype(np.float32)
    open_sky = (0.6 + 0.4 * normal[:, 2].clip(-1, 1)) * _open(point, solids)
    sky = np.where(hit[:, None], colour * open_sky[:, None], 1.0) * SKY_COLOUR
    sun = colour * (facing * lit)[:, None] * SUN_COLOUR * hit[:, None]
    level = hit & (normal[:, 2] > 0.9) & (point[:, 2] < 0.3)

    def shrink(values: Array) -> Array:
        blocks = values.reshape(height, OVERSAMPLING, width, OVERSAMPLING, -1)
        return np.ascontiguousarray(blocks.mean((1, 3), dtype=np.float32).squeeze())

    middle = distance.reshape(shape)[OVERSAMPLING // 2 :: OVERSAMPLING, OVERSAMPLING // 2 :: OVERSAMPLING]
    return Backdrop(
        sky=shrink(light.sky * sky),
        sun=shrink(light.sun * sun),
        depth=np.ascontiguousarray(middle),
        lit=shrink(lit),
        level=shrink(level.astype(np.float32)),
    )


def _ground(camera: Camera, ground: list[Area], rays: Array) -> tuple[Array, Array, Array]:
    down = rays[:, 2] < -1e-3
    distance = np.where(down, -camera.height / np.minimum(rays[:, 2], -1e-3), MISS).astype(np.float32)
    normal = np.zeros_like(rays)
    normal[:, 2] = 1
    colour = np.broadcast_to(rgb(200, 206, 212), rays.shape).copy()
    x, y = (rays * np.where(down, distance, 0)[:, None]).T[:2]
    for area in ground:
        rows = np.flatnonzero(down & (x >= area.x[0]) & (x < area.x[1]) & (y >= area.y[0]) & (y < area.y[1]))
        if len(rows):
            colour[rows] = area.material(x[rows], y[rows])
    return distance, normal, colour


def _rows_in_view(camera: Camera, solid: Solid, shape: tuple[int, int]) -> Array:
    """Numbers of the rays that can meet ``solid``."""
    low, high = solid.bounds()
    corners = np.array([[(low, high)[i >> axis & 1][axis] for axis in range(3)] for i in range(8)], np.float32)
    place, distance = camera.project(corners)
    (top, bottom), (left, right) = (0, shape[0]), (0, shape[1])
    if distance.min() > 0.2:
        margin = 2 * OVERSAMPLING  # straight edges are bent a little by the distortion
        (left, top), (right, bottom) = place.min(0) * OVERSAMPLING - margin, place.max(0) * OVERSAMPLING + margin
    rows = np.arange(max(0, int(top)), max(0, min(shape[0], int(bottom) + 1)))
    columns = np.arange(max(0, int(left)), max(0, min(shape[1], int(right) + 1)))
    return (rows[:, None] * shape[1] + columns).ravel()


def _sunlit(point: Array, towards: Array, solids: list[Solid]) -> Array:
    lit = np.ones(len(point), np.float32)
    x, y, z = np.ascontiguousarray(point.T)
    for solid in solids:
        low, high = solid.bounds()
        reach = towards * (high[2] / towards[2])  # the tip of the shadow lies this far from the foot
        left, near, _ = np.minimum(low, low - reach)
        right, far, _ = np.maximum(high, high - reach)
        rows = np.flatnonzero((x > left) & (x < right) & (y > near) & (y < far) & (z < high[2]))
        if len(rows):
            lit[rows] *= 1 - solid.opacity(point[rows], towards)
    return lit


def _open(point: Array, solids: list[Solid]) -> Array:
    """Share of the sky that is not hidden: less at the foot of things."""
    share = np.ones(len(point), np.float32)
    x, y, z = np.ascontiguousarray(point.T)
    for solid in solids:
        low, high = solid.bounds()
        if low[2] > 0.5:
            continue
        inside = (x > low[0] - 1.2) & (x < high[0] + 1.2) & (y > low[1] - 1.2) & (y < high[1] + 1.2)
        rows = np.flatnonzero(inside & (z < high[2] - 0.02))
        beside = np.maximum(np.maximum(low[:2] - point[rows, :2], point[rows, :2] - high[:2]), 0)
        gap = np.sqrt(beside[:, 0] ** 2 + beside[:, 1] ** 2 + (0.5 * z[rows]) ** 2)
        share[rows] *= 1 - 0.45 * np.exp(-gap / (0.12 + 0.25 * min(1.0, high[2] - low[2])))
    return share
