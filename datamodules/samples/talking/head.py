"""Draw a head: a textured egg in perspective-free projection, lit from one side, with eyes and mouth that move."""

from dataclasses import dataclass

import numpy as np

from datamodules.samples.talking.features import Expression, paint_eye, paint_mouth
from datamodules.samples.talking.looks import Look
from datamodules.samples.talking.skin import HALF, STYLES, hair_texture, skin_texture
from datamodules.samples.talking.speech import Array

MOUTH = (0.0, 0.5)  # place in the face, which spans -1..1 from ear to ear and from crown to chin
EYES = ((-0.34, -0.1), (0.34, -0.1))
EARS = ("bald", "short")  # hair that leaves them free
EAR = (0.11, 0.2)  # half width and half height
JAW_DROP = 0.2  # by how much a wide open mouth lengthens the face below it
SHELL = 1.1  # size of the hair over that of the skull
REACH, ASIDE = 1.2, 0.95  # of the window in which a head is drawn, along and across it


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
        self.lower = STYLES[look.style][1] if self.hair is not None else -1.0

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
        window = _clipped((pose.y, pose.x), (REACH * pose.scale, ASIDE * pose.scale), frame.shape[:2])
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
        for point in EYES:
            patch = self._patch(point, pose, (0.17, 0.16), rows, columns, face.opening)
            if patch is not None:
                paint_eye(colour[patch], x[patch], y[patch], point, self.look, face, pose.scale)
        patch = self._patch(MOUTH, pose, (0.36, 0.46), rows, columns, face.opening)
        if patch is not None:
            paint_mouth(colour[patch], x[patch], y[patch], MOUTH, self.look, face, pose.scale)
        shade = self._shade(p, v, z, texture[..., 3])
        colour = colour * shade[..., None]
        if self.look.style in EARS:
            self._ears(colour, cover, u, v, pose)
        if self.hair is not None:
            colour, cover = self._comb(colour, cover, p, v, turned, pose.scale)
        target = frame[rows, columns]
        painted = 255 * np.sqrt(np.clip(colour, 0, 1))
        target[...] = (target + (painted - target) * cover[..., None] + 0.5).astype(np.uint8)

    def _ears(self, colour: Array, cover: Array, u: Array, v: Array, pose: Pose) -> None:
        """Lay ears beside the skull, into ``colour`` and ``cover`` of all pixels."""
        for side in (-1, 1):
            x, y, _ = pose.rotation() @ np.float32([side, 0.02, 0])
            near = np.flatnonzero((abs(u - x * self.look.width) < EAR[0] + 2 / pose.scale).any(0))
            if not len(near):
                continue
            part = (slice(None), slice(near[0], near[-1] + 1))
            away = np.hypot((u[part] - x * self.look.width) / EAR[0], (v[part] - y) / EAR[1])
            ear = np.clip((1 - away) * (EAR[0] * pose.scale) + 0.5, 0, 1) * (1 - cover[part])
            tone = self.look.skin * (self.level[1] + 0.45 * self.level[0]) * (0.6 + 0.4 * away)[..., None]
            colour[part] += (tone - colour[part]) * ear[..., None]
            cover[part] = np.maximum(cover[part], ear)

    def _comb(
        self, colour: Array, cover: Array, p: Array, v: Array, turned: Array, scale: float
    ) -> tuple[Array, Array]:
        """Lay the hair over the skull."""
        p, v = p / SHELL, (v + 0.05) / SHELL
        z, shell = _sphere(p, v, scale * SHELL)
        x, y, back = _turn(turned, p, v, z)
        hair = _look_up(self.hair, x, y)
        beside = (1 - cover) * (y < self.lower)  # what shows past the skull is hair, on the side turned away as well
        alpha = shell * np.maximum(hair[..., 1], np.maximum(beside, (back < 0.05) & (y < self.lower)))
        shine = hair[..., 0] * self._shade(p, v, z, np.float32(0))
        tint = self.look.hair * shine[..., None]
        return colour + (tint - colour) * alpha[..., None], cover + alpha - cover * alpha

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
        self,
        point: tuple[float, float],
        pose: Pose,
        reach: tuple[float, float],
        rows: slice,
        columns: slice,
        opening: float,
    ) -> tuple[slice, slice] | None:
        """Part of the window around a ``point`` of the face."""
        x, y = self.place(point, pose, opening)
        aside, above = reach[0] * pose.scale, reach[1] * pose.scale
        return _clipped(
            (y - rows.start, x - columns.start), (above, aside), (rows.stop - rows.start, columns.stop - columns.start)
        )


def _clipped(
    middle: tuple[float, float], reach: tuple[float, float], shape: tuple[int, ...]
) -> tuple[slice, slice] | None:
    """Rows and columns within ``reach`` of ``middle`` in a picture of ``shape``, None when there are none."""
    low = [int(np.clip(at - far, 0, edge)) for at, far, edge in zip(middle, reach, shape, strict=True)]
    high = [int(np.clip(at + far + 1, 0, edge)) for at, far, edge in zip(middle, reach, shape, strict=True)]
    return (slice(low[0], high[0]), slice(low[1], high[1])) if low[0] < high[0] and low[1] < high[1] else None


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
