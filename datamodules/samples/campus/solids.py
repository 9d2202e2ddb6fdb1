"""What a place is built of: boxes, posts and foliage, each with its ray intersection and its shadow."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from datamodules.samples.campus.arrays import Array
from datamodules.samples.campus.textures import Grain, Material

MISS = np.float32(1e9)


class Solid(Protocol):
    """A thing that light cannot pass."""

    def bounds(self) -> Array:
        """Opposite corners (2, 3) of the upright box around it."""

    def hit(self, origin: Array, rays: Array) -> tuple[Array, Array, Array]:
        """First hit of rays (N, 3) from ``origin`` (3,) or (N, 3).

        Returns:
            Distances (N,) in lengths of the ray, `MISS` where nothing is hit; normals (N, 3); reflectances (N, 3).
        """

    def opacity(self, origin: Array, ray: Array) -> Array:
        """Share of the light that is held up on the way from points (N, 3) along one ``ray`` (3,)."""


@dataclass(frozen=True)
class Box:
    """A box along the axes.

    Args:
        low: Corner with the smallest coordinates.
        high: Corner with the largest coordinates.
        side: Material of the upright faces; u runs horizontally, v is the height.
        top: Material of the horizontal faces, ``side`` if not given.
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    side: Material
    top: Material | None = None

    def bounds(self) -> Array:
        return np.array([self.low, self.high], np.float32)

    def _slabs(self, origin: Array, rays: Array) -> tuple[Array, Array, Array]:
        rays = np.where(np.abs(rays) < 1e-6, np.float32(1e-6), rays)
        corners = self.bounds()
        first, second = (corners[0] - origin) / rays, (corners[1] - origin) / rays
        near, far = np.minimum(first, second), np.maximum(first, second)
        # numpy reduces over a short last axis slowly
        enter = np.maximum(np.maximum(near[:, 0], near[:, 1]), near[:, 2])
        leave = np.minimum(np.minimum(far[:, 0], far[:, 1]), far[:, 2])
        return near, enter, leave

    def hit(self, origin: Array, rays: Array) -> tuple[Array, Array, Array]:
        near, enter, leave = self._slabs(origin, rays)
        reached = (enter < leave) & (enter > 1e-3)
        axis = near.argmax(-1)
        normal = np.zeros_like(rays)
        rows = np.arange(len(rays))
        normal[rows, axis] = -np.sign(rays[rows, axis])
        point = origin + rays * enter[:, None]
        upright = axis < 2
        u = np.where(axis == 0, point[:, 1], point[:, 0])
        v = np.where(upright, point[:, 2], point[:, 1])
        colour = np.zeros_like(rays)
        for chosen, material in ((upright, self.side), (~upright, self.top or self.side)):
            chosen = chosen & reached
            if chosen.any():
                colour[chosen] = material(u[chosen], v[chosen])
        return np.where(reached, enter, MISS), normal, colour

    def opacity(self, origin: Array, ray: Array) -> Array:
        _, enter, leave = self._slabs(origin, ray[None])
        return ((enter < leave) & (leave > 0.02) & (enter > -1e-3)).astype(np.float32)


@dataclass(frozen=True)
class Post:
    """An upright round post: lamp, trunk, bollard, bin, column.

    Args:
        foot: Centre of the foot in metres (x, y).
        radius: Metres.
        low: Height of the lower end.
        high: Height of the upper end.
        side: Material; u runs around, v is the height.
    """

    foot: tuple[float, float]
    radius: float
    low: float
    high: float
    side: Material

    def bounds(self) -> Array:
        (x, y), r = self.foot, self.radius
        return np.array([[x - r, y - r, self.low], [x + r, y + r, self.high]], np.float32)

    def _roots(self, origin: Array, rays: Array) -> tuple[Array, Array]:
        offset = (origin - np.array([*self.foot, 0], np.float32))[..., :2]
        a = (rays[..., :2] ** 2).sum(-1) + 1e-9
        b = (offset * rays[..., :2]).sum(-1)
        root = np.sqrt(np.maximum(b * b - a * ((offset**2).sum(-1) - self.radius**2), 0))
        inside = root > 0
        return np.where(inside, (-b - root) / a, MISS), np.where(inside, (-b + root) / a, -MISS)

    def hit(self, origin: Array, rays: Array) -> tuple[Array, Array, Array]:
        enter, _ = self._roots(origin, rays)
        point = origin + rays * enter[:, None]
        reached = (enter > 1e-3) & (enter < MISS) & (point[:, 2] > self.low) & (point[:, 2] < self.high)
        out = (point[:, :2] - np.array(self.foot, np.float32)) / self.radius
        side = np.concatenate([out, np.zeros_like(out[:, :1])], -1)
        cap = (self.high - origin[..., 2]) / rays[:, 2]  # the flat upper end, seen from above
        on_top = origin + rays * cap[:, None]
        capped = (cap > 1e-3) & (((on_top[:, :2] - np.array(self.foot, np.float32)) ** 2).sum(-1) < self.radius**2)
        colour = np.zeros_like(rays)
        u, v = np.arctan2(out[:, 1], out[:, 0]) * self.radius, point[:, 2]
        shown = reached | capped
        if shown.any():
            colour[shown] = self.side(u[shown], np.where(capped, self.high, v)[shown])
        normal = np.where((capped & ~reached)[:, None], np.array([0, 0, 1], np.float32), side)
        return np.where(reached, enter, np.where(capped, cap, MISS)), normal.astype(np.float32), colour

    def opacity(self, origin: Array, ray: Array) -> Array:
        enter, leave = self._roots(origin, ray[None])
        height = origin[:, 2] + ray[2] * np.maximum(enter, 0)
        return ((leave > 0.02) & (enter > -1e-3) & (enter < MISS) & (height > self.low) & (height < self.high)).astype(
            np.float32
        )


@dataclass(frozen=True)
class Foliage:
    """A clump of leaves: an ellipsoid with a ragged rim.

    Args:
        centre: Metres.
        radii: Half axes in metres.
        side: Material.
        grain: Raggedness.
        density: Share of the rim that is leaves rather than holes.
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    side: Material
    grain: Grain
    density: float = 0.62

    def bounds(self) -> Array:
        centre, radii = np.array(self.centre, np.float32), np.array(self.radii, np.float32)
        return np.stack([centre - radii, centre + radii])

    def _roots(self, origin: Array, rays: Array) -> tuple[Array, Array, Array]:
        offset = (origin - np.array(self.centre, np.float32)) / np.array(self.radii, np.float32)
        step = rays / np.array(self.radii, np.float32)
        a = (step**2).sum(-1)
        b = (offset * step).sum(-1)
        inner = b * b - a * ((offset**2).sum(-1) - 1)
        root = np.sqrt(np.maximum(inner, 0))
        return (-b - root) / a, (-b + root) / a, inner > 0

    def hit(self, origin: Array, rays: Array) -> tuple[Array, Array, Array]:
        enter, leave, inside = self._roots(origin, rays)
        distance = np.full(len(rays), MISS)
        for root in (leave, enter):  # through a hole of the near side one sees the leaves of the far side
            x, y, z = (origin + rays * root[:, None]).T
            leaf = self.grain.smooth(x + 0.7 * y, z + 0.3 * y, 0.22) * 0.7 + self.grain.smooth(x - y, z - y, 0.09) * 0.3
            distance = np.where(inside & (leaf < self.density) & (root > 1e-3), root, distance).astype(np.float32)
        shown = distance < MISS
        point = origin + rays * np.where(shown, distance, 0)[:, None]
        normal = (point - np.array(self.centre, np.float32)) / np.array(self.radii, np.float32) ** 2
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-6
        normal += np.array([0, 0, 0.5], np.float32)
        colour = np.zeros_like(rays)
        if shown.any():
            x, y, z = point[shown].T
            # two projections: a single one leaves streaks where the surface runs along it
            colour[shown] = (self.side(x + 0.6 * y, z + 0.3 * y) + self.side(y - 0.5 * x, 0.8 * z + 0.6 * x)) / 2
        return distance, normal.astype(np.float32), colour

    def opacity(self, origin: Array, ray: Array) -> Array:
        enter, leave, inside = self._roots(origin, ray[None])
        x, y, _ = (origin + ray * leave[:, None]).T
        gaps = self.grain.smooth(x, y, 0.35) * 0.6 + self.grain.smooth(x, y, 0.14) * 0.4
        thick = ((leave - enter) / 1.2).clip(0, 1)
        return np.where(inside & (leave > 0.02), thick * (gaps < self.density).astype(np.float32) * 0.95, 0)
