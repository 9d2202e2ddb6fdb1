"""Draw a head: a textured egg in perspective-free projection, lit from one side, with eyes and mouth that move."""

from dataclasses import dataclass

import numpy as np

from datamodules.samples.talking.features import Expression, paint_eye, paint_mouth
from datamodules.samples.talking.looks import Look
from datamodules.samples.talking.skin import HALF, hair_texture, skin_texture
from datamodules.samples.talking.speech import Array

MOUTH = (0.0, 0.5)  # place in the face, which spans -1..1 from ear to ear and from crown to chin
EYES = ((-0.34, -0.1), (0.34, -0.1))
JAW_DROP = 0.2  # by how much a wide open mouth lengthens the face below it
SHELL = 1.1  # size of the hair over that of the skull
REACH = 1.2  # of the window in which a head is drawn


@dataclass(frozen=True)
class Pose:
    """Where a head is: middle in pixels, half height in pixels, roll, yaw and pitch in radians."""

    x: float
    y: float
    scale: float
    roll: float
    yaw: float
    pitch: float

    def rotation(self) -> Array:
        """Matrix (3, 3) from the face to the picture: x right, y down, z towards the camera."""
        (cy, sy), (cp, sp) = ((np.cos(angle), np.sin(angle)) for angle in (self.yaw, self.pitch))
        turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
        return (nod @ turn).astype(np.float32)


class Head:
    """A head under the light of a room.

    Args:
        look: Whose.
        lamp: Direction (3,) to the light: x right, y down, z towards the camera.
        level: Strength (2,) of the light from there and from everywhere.
    """

    def __init__(self, look: Look, lamp: Array, level: tuple[float, float]) -> None:
        self.look, self.level = look, level
        self.lamp = np.float32(lamp / np.linalg.norm(lamp))
        self.skin = skin_texture(look, self.lamp)
        self.hair = hair_texture(look)

    def place(self, point: tuple[float, float], pose: Pose, opening: float) -> tuple[float, float]:
        """Pixel position of a ``point`` of the face."""
        inside = np.sqrt(max(0.0, 1 - point[0] ** 2 - point[1] ** 2))
        p, v, _ = pose.rotation() @ np.float32([*point, inside])
        u = p * self._width(v)
        v += max(0.0, v - MOUTH[1]) * JAW_DROP * opening
        cos, sin = np.cos(pose.roll), np.sin(pose.roll)
        return float(pose.x + pose.scale * (cos * u - sin * v)), float(pose.y + pose.scale * (sin * u + cos * v))

    def paint(self, frame: np.ndarray, pose: Pose, face: Expression) -> None:
        """Draw it into ``frame`` (H, W, 3) uint8."""
        window = _window(frame.shape, pose)
        if window is None:
            return
        rows, columns = window
        u, v = self._plane(rows, columns, pose, face.opening)
        p = u / self._width(v)
        turned = pose.rotation().T
        z, cover = _sphere(p, v, pose.scale)
        x, y, _ = _turn(turned, p, v, z)
        texture = _look_up(self.skin, x, y)
        colour = texture[..., :3]
        depth = (p.shape, pose.scale)
        for point in EYES:
            patch = self._patch(point, pose, 0.22, rows, columns, face.opening)
            if patch is not None:
                paint_eye(colour[patch], x[patch], y[patch], point, self.look, face, depth[1])
        patch = self._patch(MOUTH, pose, 0.45, rows, columns, face.opening)
        if patch is not None:
            paint_mouth(colour[patch], x[patch], y[patch], MOUTH, self.look, face, depth[1])
        shade = self._shade(p, v, z, texture[..., 3])
        colour = colour * shade[..., None]
        if self.hair is not None:
            colour, cover = self._comb(colour, cover, p, v, turned, pose.scale)
        target = frame[rows, columns]
        painted = 255 * np.sqrt(np.clip(colour, 0, 1))
        target[...] = (target + (painted - target) * cover[..., None] + 0.5).astype(np.uint8)

    def _comb(self, colour: Array, cover: Array, p: Array, v: Array, turned: Array, scale: float) -> tuple[Array, Array]:
        """Lay the hair over the skull."""
        p, v = p / SHELL, (v + 0.05) / SHELL
        z, shell = _sphere(p, v, scale * SHELL)
        x, y, back = _turn(turned, p, v, z)
        hair = _look_up(self.hair, x, y)
        alpha = shell * np.where(back < 0.05, np.maximum(hair[..., 1], (y < 0.15).astype(np.float32)), hair[..., 1])
        shine = hair[..., 0] * self._shade(p, v, z, np.float32(0))
        tint = self.look.hair * shine[..., None]
        return colour + (tint - colour) * alpha[..., None], np.maximum(cover, alpha)

    def _shade(self, p: Array, v: Array, z: Array, relief: Array) -> Array:
        lamp = self.lamp
        towards = np.maximum(0, lamp[0] * p + lamp[1] * v + lamp[2] * z + relief)
        return self.level[0] * towards + self.level[1] * (0.75 + 0.25 * z)

    def _width(self, v: Array) -> Array:
        """Half width of the head at height ``v``."""
        return self.look.width - self.look.jaw * np.maximum(v, 0) ** 2

    def _plane(self, rows: slice, columns: slice, pose: Pose, opening: float) -> tuple[Array, Array]:
        """Coordinates of the pixels along and across the head, the opened jaw pushed back into its place."""
        across = (np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5 - pose.x) / pose.scale
        down = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5 - pose.y)[:, None] / pose.scale
        cos, sin = np.float32(np.cos(pose.roll)), np.float32(np.sin(pose.roll))
        u, v = cos * across + sin * down, cos * down - sin * across
        drop = np.float32(JAW_DROP * opening)
        v -= np.maximum(v - MOUTH[1], 0) * (drop / (1 + drop))
        return u, v

    def _patch(
        self, point: tuple[float, float], pose: Pose, reach: float, rows: slice, columns: slice, opening: float
    ) -> tuple[slice, slice] | None:
        """Part of the window around a ``point`` of the face."""
        x, y = self.place(point, pose, opening)
        reach *= pose.scale
        top, bottom = (int(np.clip(edge - rows.start, 0, rows.stop - rows.start)) for edge in (y - reach, y + reach))
        left, right = (
            int(np.clip(edge - columns.start, 0, columns.stop - columns.start)) for edge in (x - reach, x + reach)
        )
        return (slice(top, bottom), slice(left, right)) if top < bottom and left < right else None


def _window(shape: tuple[int, ...], pose: Pose) -> tuple[slice, slice] | None:
    reach, aside = REACH * pose.scale, 0.95 * pose.scale
    top, bottom = (int(np.clip(edge, 0, shape[0])) for edge in (pose.y - reach, pose.y + reach + 1))
    left, right = (int(np.clip(edge, 0, shape[1])) for edge in (pose.x - aside, pose.x + aside + 1))
    return (slice(top, bottom), slice(left, right)) if top < bottom and left < right else None


def _sphere(p: Array, v: Array, scale: float) -> tuple[Array, Array]:
    """Depth of the unit sphere and how much of each pixel it covers."""
    square = p * p + v * v
    return np.sqrt(np.maximum(0, 1 - square)), np.clip((1 - np.sqrt(square)) * (0.75 * scale) + 0.5, 0, 1)


def _turn(matrix: Array, x: Array, y: Array, z: Array) -> list[Array]:
    return [row[0] * x + row[1] * y + row[2] * z for row in matrix]


def _look_up(texture: Array, x: Array, y: Array) -> Array:
    """Values of a ``texture`` (2 HALF, 2 HALF, C) at places in [-1, 1]."""
    index = (y * HALF + HALF).astype(np.int32) * (2 * HALF) + (x * HALF + HALF).astype(np.int32)
    return texture.reshape(4 * HALF * HALF, -1).take(index, axis=0, mode="clip")
