"""Things that stand on a campus, put together from solids."""

import numpy as np

from datamodules.samples.campus.arrays import Array, rgb
from datamodules.samples.campus.solids import Box, Foliage, Post, Solid
from datamodules.samples.campus.textures import Grain, leaves, plain, planks

GREEN, DARK_GREEN, STEEL = rgb(96, 124, 62), rgb(62, 92, 50), rgb(96, 98, 102)


def tree(grain: Grain, rng: np.random.Generator, x: float, y: float, height: float = 5.0) -> list[Solid]:
    """A trunk with a crown of ragged clumps."""
    spread = 0.28 * height
    tint = leaves(grain, GREEN * rng.uniform(0.8, 1.2))
    solids: list[Solid] = [Post((x, y), 0.028 * height, 0, 0.6 * height, plain(grain, rgb(104, 88, 72), 0.5, 0.25))]
    for _ in range(10):
        dx, dy, dz = rng.uniform(-0.75, 0.75, 3) * spread
        radius = spread * rng.uniform(0.35, 0.7)
        centre = (x + dx, y + dy, 0.72 * height + 0.8 * dz)
        solids.append(Foliage(centre, (radius, radius, 0.8 * radius), tint, grain))
    return solids


def bush(grain: Grain, rng: np.random.Generator, x: float, y: float, size: float = 0.6) -> list[Solid]:
    """A round shrub."""
    tint = leaves(grain, DARK_GREEN * rng.uniform(0.9, 1.5))
    return [Foliage((x, y, 0.55 * size), (size, size, 0.8 * size), tint, grain, density=0.75)]


def hedge(grain: Grain, x: tuple[float, float], y: tuple[float, float], height: float = 0.9) -> list[Solid]:
    """A clipped hedge."""
    return [Box((x[0], y[0], 0), (x[1], y[1], height), leaves(grain, DARK_GREEN * 1.3))]


def bench(grain: Grain, x: float, y: float, *, along_x: bool = True, back: float = 1.0) -> list[Solid]:
    """A slatted bench 1.8 m long; ``back`` is +1 or -1 for the side of its backrest."""
    wood, metal = planks(grain, rgb(150, 104, 64)), plain(grain, STEEL)

    def box(along: tuple[float, float], across: tuple[float, float], up: tuple[float, float], material) -> Box:
        across = tuple(sorted(back * value for value in across))
        a, b = (along, across) if along_x else (across, along)
        return Box((x + a[0], y + b[0], up[0]), (x + a[1], y + b[1], up[1]), material)

    return [
        box((-0.9, 0.9), (-0.25, 0.2), (0.40, 0.46), wood),
        box((-0.9, 0.9), (0.2, 0.26), (0.46, 0.85), wood),
        box((-0.75, -0.65), (-0.2, 0.2), (0, 0.4), metal),
        box((0.65, 0.75), (-0.2, 0.2), (0, 0.4), metal),
    ]


def lamp(grain: Grain, x: float, y: float, height: float = 4.5) -> list[Solid]:
    """A lamp post with a flat head."""
    metal = plain(grain, rgb(70, 76, 78), 0.15)
    head = Box((x - 0.12, y - 0.45, height - 0.12), (x + 0.12, y + 0.25, height), metal)
    return [Post((x, y), 0.06, 0, height, metal), Post((x, y), 0.12, 0, 0.5, metal), head]


def litter_bin(grain: Grain, x: float, y: float, colour: Array) -> list[Solid]:
    """A litter bin with a darker lid."""
    return [
        Post((x, y), 0.26, 0, 0.8, plain(grain, colour, 0.2)),
        Post((x, y), 0.29, 0.8, 0.92, plain(grain, colour * 0.45)),
    ]


def bollards(grain: Grain, places: list[tuple[float, float]]) -> list[Solid]:
    """Stone bollards."""
    stone = plain(grain, rgb(176, 172, 164), 0.3, 0.3)
    return [Post(place, 0.13, 0, 0.75, stone) for place in places]


def railing(
    grain: Grain, start: tuple[float, float], end: tuple[float, float], colour: Array, *, gap: float = 0.5
) -> list[Solid]:
    """A metal railing 1.1 m high between two points that share x or y, with an upright every ``gap`` metres."""
    metal = plain(grain, colour, 0.15)
    (x0, y0), (x1, y1) = start, end
    solids: list[Solid] = [
        Box(
            (min(x0, x1) - 0.03, min(y0, y1) - 0.03, z - 0.03),
            (max(x0, x1) + 0.03, max(y0, y1) + 0.03, z + 0.03),
            metal,
        )
        for z in (0.15, 0.6, 1.08)
    ]
    count = max(1, round((abs(x1 - x0) + abs(y1 - y0)) / gap))
    for share in np.linspace(0, 1, count + 1):
        x, y = x0 + (x1 - x0) * share, y0 + (y1 - y0) * share
        solids.append(Box((x - 0.025, y - 0.025, 0), (x + 0.025, y + 0.025, 1.08), metal))
    return solids


def planter(grain: Grain, rng: np.random.Generator, x: tuple[float, float], y: tuple[float, float]) -> list[Solid]:
    """A raised bed of stone with shrubs in it."""
    stone = plain(grain, rgb(164, 156, 146), 0.3, 0.4)
    solids: list[Solid] = [Box((x[0], y[0], 0), (x[1], y[1], 0.5), stone, plain(grain, rgb(84, 70, 56), 0.5, 0.2))]
    count = max(2, int(max(x[1] - x[0], y[1] - y[0]) / 0.7))
    for share in (np.arange(count) + 0.5) / count:
        long_x = x[1] - x[0] > y[1] - y[0]
        place = (
            (x[0] + share * (x[1] - x[0]), (y[0] + y[1]) / 2)
            if long_x
            else ((x[0] + x[1]) / 2, y[0] + share * (y[1] - y[0]))
        )
        radius = rng.uniform(0.35, 0.5)
        tint = leaves(grain, GREEN * rng.uniform(0.6, 1.3))
        solids.append(Foliage((*place, 0.6), (radius, radius, 0.45), tint, grain, density=0.8))
    return solids


def kerb(grain: Grain, x: tuple[float, float], y: tuple[float, float], height: float = 0.12) -> list[Solid]:
    """A kerb stone along a strip."""
    stone = plain(grain, rgb(186, 184, 178), 0.3, 0.5)
    return [Box((x[0], y[0], 0), (x[1], y[1], height), stone)]
