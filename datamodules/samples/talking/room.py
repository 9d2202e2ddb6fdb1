"""Rooms: a wide picture of each, of which the moving camera sees a part, a table, and the light in it."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from datamodules.samples.talking.skin import clouds
from datamodules.samples.talking.speech import Array

ROOMS = 6
MARGIN = (0.14, 0.3)  # share of the height and width that the camera can turn to on either side
TABLE = 0.85  # height of the table's edge in the frame when the camera looks straight ahead
WALLS = ((206, 198, 180), (170, 186, 196), (190, 170, 150), (150, 164, 146), (212, 206, 200), (178, 160, 166))
WOOD = ((120, 84, 54), (92, 62, 44), (168, 130, 90))


@dataclass(frozen=True)
class Room:
    """A room.

    Attributes:
        picture: All of it that can ever be seen (H', W', 3) uint8.
        table: First row of the picture that belongs to the table, in front of the people.
        margin: Rows and columns that the camera can turn to on either side.
        lamp: Direction (3,) to the light.
        level: Strength of the light from there and from everywhere.
    """

    picture: np.ndarray
    table: int
    margin: tuple[int, int]
    lamp: Array
    level: tuple[float, float]


@lru_cache(maxsize=2)
def enter(scene: int, size: tuple[int, int], seed: int) -> Room:
    """Furnish room number ``scene``; the same arguments give the same room."""
    rng = np.random.default_rng([seed, 23, scene])
    margin = (round(MARGIN[0] * size[0]), round(MARGIN[1] * size[1]))
    height, width = size[0] + 2 * margin[0], size[1] + 2 * margin[1]
    unit = size[0] / 360
    image = Image.new("RGB", (width, height), WALLS[scene % len(WALLS)])
    draw = ImageDraw.Draw(image)
    window_side = rng.random() < 0.5
    slots = np.linspace(0, width, 6)
    things = [_window, _shelf, _painting, _lamp, _painting]
    rng.shuffle(things)
    for thing, left, right in zip(things, slots[:-1], slots[1:], strict=True):
        thing(draw, (left + 0.1 * (right - left), right - 0.1 * (right - left)), height, unit, rng)
    image = image.filter(ImageFilter.GaussianBlur(1.6 * unit))
    table = margin[0] + round(TABLE * size[0])
    wood = np.array(WOOD[rng.integers(len(WOOD))])
    picture = np.asarray(image).astype(np.float32)
    picture *= 0.82 + 0.3 * clouds(rng, picture.shape[:2], (5, 3))[..., None]
    grain = clouds(rng, (height - table, width), (14, 40))
    picture[table:] = wood * (0.75 + 0.4 * grain)[..., None]
    edge = max(2, round(5 * unit))
    picture[table : table + edge] *= np.linspace(1.35, 1.0, edge)[:, None, None]
    picture += rng.normal(0, 1.5, picture.shape)
    lamp = np.float32([rng.uniform(0.3, 0.8) * (-1 if window_side else 1), -0.45, 0.75])
    level = (float(rng.uniform(0.6, 0.75)), float(rng.uniform(0.3, 0.38)))
    return Room(picture.clip(0, 255).astype(np.uint8), table, margin, lamp, level)


Span = tuple[float, float]


def _window(draw: ImageDraw.ImageDraw, span: Span, height: int, unit: float, rng: np.random.Generator) -> None:
    top, bottom = 0.08 * height, 0.6 * height
    draw.rectangle((span[0] - 6 * unit, top - 6 * unit, span[1] + 6 * unit, bottom + 6 * unit), fill=(236, 234, 228))
    for row in np.arange(top, bottom, 2):
        share = (row - top) / (bottom - top)
        sky = tuple(int(value) for value in np.array((190, 214, 240)) * (1 - share) + np.array((150, 170, 140)) * share)
        draw.rectangle((span[0], row, span[1], row + 2), fill=sky)
    middle = sum(span) / 2
    draw.rectangle((middle - 3 * unit, top, middle + 3 * unit, bottom), fill=(236, 234, 228))


def _shelf(draw: ImageDraw.ImageDraw, span: Span, height: int, unit: float, rng: np.random.Generator) -> None:
    draw.rectangle((span[0], 0.1 * height, span[1], height), fill=(84, 60, 44))
    for row in np.arange(0.13, 0.95, 0.17) * height:
        draw.rectangle((span[0] + 5, row, span[1] - 5, row + 0.14 * height), fill=(48, 36, 30))
        left = span[0] + 8
        while left < span[1] - 18 * unit:
            wide, tall = rng.uniform(6, 16) * unit, rng.uniform(0.08, 0.13) * height
            colour = tuple(int(value) for value in rng.integers(40, 210, 3))
            draw.rectangle((left, row + 0.14 * height - tall, left + wide, row + 0.14 * height), fill=colour)
            left += wide + 1


def _painting(draw: ImageDraw.ImageDraw, span: Span, height: int, unit: float, rng: np.random.Generator) -> None:
    top, bottom = rng.uniform(0.1, 0.2) * height, rng.uniform(0.38, 0.5) * height
    draw.rectangle((span[0], top, span[1], bottom), fill=(60, 46, 34))
    inner = (span[0] + 6 * unit, top + 6 * unit, span[1] - 6 * unit, bottom - 6 * unit)
    draw.rectangle(inner, fill=tuple(int(value) for value in rng.integers(90, 220, 3)))
    for _ in range(5):
        x, y = rng.uniform(inner[0], inner[2] - 20), rng.uniform(inner[1], inner[3] - 15)
        colour = tuple(int(value) for value in rng.integers(30, 230, 3))
        draw.ellipse(
            (x, y, min(x + rng.uniform(15, 60), inner[2]), min(y + rng.uniform(10, 40), inner[3])), fill=colour
        )


def _lamp(draw: ImageDraw.ImageDraw, span: Span, height: int, unit: float, rng: np.random.Generator) -> None:
    middle, top = sum(span) / 2, rng.uniform(0.22, 0.32) * height
    draw.rectangle((middle - 3 * unit, top, middle + 3 * unit, height), fill=(50, 46, 44))
    shade = [(middle - 24 * unit, top - 50 * unit), (middle + 24 * unit, top - 50 * unit)]
    draw.polygon([*shade, (middle + 42 * unit, top), (middle - 42 * unit, top)], fill=(250, 232, 180))
    draw.ellipse((middle - 60 * unit, 0.72 * height, middle + 60 * unit, height), fill=(70, 100, 62))
