"""Draw neck, shoulders and long hair: a picture per person, scaled and pasted behind the head."""

from functools import lru_cache

import numpy as np

from datamodules.samples.talking.looks import Look
from datamodules.samples.talking.skin import clouds
from datamodules.samples.talking.speech import Array

CELLS = 64  # of the picture in a half height of the head
LEFT, TOP, RIGHT, BOTTOM = -2.0, -0.9, 2.0, 3.6  # its edges, seen from the middle of the head
STEPS = 40  # scales are rounded to this fraction of an octave, so that few are ever made


class Torso:
    """Body of a person under the light of a room, see `Head`."""

    def __init__(self, look: Look, lamp: Array, level: tuple[float, float]) -> None:
        rng = np.random.default_rng([look.seed, 2])
        x, y = np.meshgrid(np.arange(LEFT, RIGHT, 1 / CELLS), np.arange(TOP, BOTTOM, 1 / CELLS))
        x, y = x.astype(np.float32), y.astype(np.float32)
        across, shoulders = abs(x), 1.2 + 0.1 * abs(x) + 0.5 * np.maximum(abs(x) - 0.9, 0) ** 2
        neck = (across < 0.36 + 0.1 * np.maximum(y - 1, 0)) & (y > 0.2) & (y < 1.9)
        cloth = (y > shoulders) & (across < 1.75)
        collar = cloth & (y < shoulders + 0.55 - 1.1 * across)
        behind = (
            (across < 0.86 + 0.05 * np.sin(5 * y)) & (y > -0.3) & (y < 1.75) if look.style == "long" else neck & False
        )
        side = (lamp / np.linalg.norm(lamp))[0]
        round_ = np.sqrt(np.maximum(0.05, 1 - (x / 1.9) ** 2))
        shade = level[0] * np.maximum(0.1, 0.75 * round_ + side * x / 1.9) + level[1]
        folds = 1 + 0.5 * (clouds(rng, x.shape, (9, 5)) - 0.5) * np.minimum(1, across)
        shirt = np.broadcast_to(look.shirt, (*x.shape, 3)) * folds[..., None]
        if look.stripes:
            shirt = shirt * (0.6 + 0.4 * (np.sin(14 * (y - 0.1 * across)) > 0))[..., None]
        shadow = np.clip((y - 0.75) * 1.2, 0.25, 1)  # under the chin
        picture = np.zeros((*x.shape, 3), np.float32)
        picture[behind] = (look.hair * (0.5 + 0.5 * clouds(rng, x.shape, (50, 3)))[..., None])[behind]
        picture[cloth] = shirt[cloth]
        skin = (neck & ~cloth) | collar
        picture[skin] = (look.skin * shadow[..., None])[skin]
        self.picture = (255 * np.sqrt(np.clip(picture * shade[..., None], 0, 1))).astype(np.uint8)
        self.mask = neck | cloth | behind
        self._at_scale = lru_cache(maxsize=8)(self._scaled)

    def paint(self, frame: np.ndarray, x: float, y: float, scale: float) -> None:
        """Draw it into ``frame`` (H, W, 3) uint8, below a head of half height ``scale`` around ``x``, ``y``."""
        step = round(STEPS * np.log2(scale))
        picture, mask = self._at_scale(step)
        rounded = 2 ** (step / STEPS)
        top, left = round(y + TOP * rounded), round(x + LEFT * rounded)
        height, width, _ = mask.shape
        rows = slice(max(top, 0), max(0, min(top + height, frame.shape[0])))
        columns = slice(max(left, 0), max(0, min(left + width, frame.shape[1])))
        if rows.start < rows.stop and columns.start < columns.stop:
            part = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
            np.copyto(frame[rows, columns], picture[part], where=mask[part])

    def _scaled(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        scale = 2 ** (step / STEPS) / CELLS
        rows, columns = (np.arange(0, edge - 1, 1 / scale).astype(int) for edge in self.mask.shape)
        chosen = np.ix_(rows, columns)
        return self.picture[chosen], np.repeat(self.mask[chosen][..., None], 3, axis=2)
