"""The static camera: where a point of the world falls in the picture, and how light becomes grey levels."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from datamodules.samples.campus.arrays import Array

GAMMA = 2.2  # display gamma; everything before `Sensor.expose` is linear light


@dataclass(frozen=True)
class Camera:
    """A pinhole with a little barrel distortion, as cheap wide-angle surveillance lenses have.

    World: x to the right, y away from the camera, z up, in metres; the camera stands at (0, 0, ``height``).

    Args:
        size: Height and width of the picture in pixels.
        height: Metres above the ground.
        pitch: Degrees below the horizon.
        yaw: Degrees to the right of the y axis.
        roll: Degrees by which the mounting is crooked.
        focal: Focal length as a multiple of the picture's width.
        barrel: Relative shortening of radii at half the width from the centre.
    """

    size: tuple[int, int]
    height: float
    pitch: float
    yaw: float = 0.0
    roll: float = 0.0
    focal: float = 0.85
    barrel: float = 0.02

    @property
    def position(self) -> Array:
        """Place of the camera (3,)."""
        return np.array([0.0, 0.0, self.height], np.float32)

    @property
    def pixels(self) -> float:
        """Focal length in pixels: a metre at distance d is ``pixels / d`` pixels long."""
        return self.focal * self.size[1]

    @cached_property
    def axes(self) -> Array:
        """Rows right, down and forward of the camera in the world (3, 3)."""
        pitch, yaw, roll = np.radians([self.pitch, self.yaw, self.roll])
        forward = np.array([np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), -np.sin(pitch)])
        right = np.array([np.cos(yaw), -np.sin(yaw), 0.0])
        down = np.cross(forward, right)
        right, down = np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right
        return np.stack([right, down, forward]).astype(np.float32)

    def project(self, points: Array) -> tuple[Array, Array]:
        """Project ``points`` (..., 3) to pixel positions (..., 2) as x, y and distances along the axis (...)."""
        local = (points - self.position) @ self.axes.T
        distance = local[..., 2]
        plane = local[..., :2] / np.maximum(distance, 0.1)[..., None] * self.focal  # 1 = width of the picture
        plane = plane * (1 - self.barrel * 4 * (plane**2).sum(-1, keepdims=True).clip(max=1))
        return plane * self.size[1] + self._centre, distance

    def rays(self, x: Array, y: Array) -> Array:
        """Directions (..., 3), one unit along the axis long, of the rays through pixel positions ``x``, ``y``."""
        seen = (np.stack([x, y], -1) - self._centre) / self.size[1]
        plane = seen
        for _ in range(4):  # invert the distortion; it is small, so the fixed point is reached quickly
            plane = seen / (1 - self.barrel * 4 * (plane**2).sum(-1, keepdims=True))
        local = np.concatenate([plane / self.focal, np.ones_like(plane[..., :1])], -1)
        return (local @ self.axes).astype(np.float32)

    @property
    def _centre(self) -> Array:
        return np.array([self.size[1] / 2, self.size[0] / 2], np.float32)


class Sensor:
    """Tone curve, vignetting and noise of the camera.

    Args:
        size: Height and width in pixels.
        noise: Standard deviation of the noise in grey levels of 255.
        rng: Draws the noise.
    """

    LEVELS = 2048  # steps of linear light up to white

    def __init__(self, size: tuple[int, int], noise: float, rng: np.random.Generator) -> None:
        height, width = size
        y, x = np.mgrid[:height, :width].astype(np.float32)
        radius = ((x - width / 2) ** 2 + (y - height / 2) ** 2) / (width / 2) ** 2
        self.gain = np.repeat(self.LEVELS * (1 - 0.16 * radius)[..., None], 3, axis=2)
        self.size, self.rng = size, rng
        # fresh noise would take a third of the time of a film: frames get random windows of one large field
        luma = rng.standard_normal((2 * height, 2 * width, 1), dtype=np.float32)
        chroma = rng.standard_normal((2 * height, 2 * width, 3), dtype=np.float32)
        self.noise = noise * (0.92 * luma + 0.39 * chroma) + np.float32(0.5)  # and a half for rounding
        light = np.arange(2 * self.LEVELS, dtype=np.float32) / self.LEVELS
        curve = light ** (1 / GAMMA)
        knee = 0.82  # highlights are rolled off instead of clipped
        curve = np.where(curve > knee, knee + (1 - knee) * np.tanh((curve - knee) / (1 - knee)), curve)
        self.curve = (255 * (0.03 + 0.97 * curve)).astype(np.float32)  # blacks of a camera are not black

    def expose(self, light: Array) -> NDArray[np.uint8]:
        """Turn linear light (H, W, 3) float32 into a frame (H, W, 3) uint8."""
        height, width = self.size
        frame = self.curve.take((light * self.gain).astype(np.intp), mode="clip")
        top, left = self.rng.integers(0, (height + 1, width + 1))
        frame += self.noise[top : top + height, left : left + width]
        return frame.clip(0, 255).astype(np.uint8)
