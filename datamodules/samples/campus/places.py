"""Six places of the campus, each with its own static camera, ground, things, light and flow of people."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from datamodules.samples.campus import furniture as put
from datamodules.samples.campus.arrays import rgb
from datamodules.samples.campus.backdrop import Area, Backdrop, Light, render
from datamodules.samples.campus.camera import Camera
from datamodules.samples.campus.place import Interval, Lane, Place, both_ways
from datamodules.samples.campus.solids import Box, Post, Solid
from datamodules.samples.campus.textures import Grain, asphalt, facade, grass, plain, tiles, zebra

EVERYWHERE: Interval = (-80.0, 80.0)


def promenade(size: tuple[int, int], grain: Grain, rng: np.random.Generator) -> Place:
    """A paved way across the picture, a row of trees, a brick building with windows."""
    brick = tiles(grain, (rgb(160, 92, 72), rgb(188, 176, 164)), (0.5, 0.17), 0.03, variety=0.4)
    slabs = tiles(grain, (rgb(176, 168, 156), rgb(98, 92, 86)), (1.1, 0.75), 0.05, variety=0.3)
    lawn = grass(grain, rgb(112, 136, 66))
    ground = [Area(EVERYWHERE, EVERYWHERE, lawn), Area(EVERYWHERE, (5.6, 12.4), slabs)]
    walls = facade(grain, brick, (1.5, 1.7), (2.9, 3.3), 1.1, base=0.6)
    solids = [Box((-40, 17.5, 0), (40, 25, 9), walls, plain(grain, rgb(120, 120, 120)))]
    solids += put.kerb(grain, EVERYWHERE, (12.4, 12.62)) + put.kerb(grain, EVERYWHERE, (5.38, 5.6))
    for x in (-8.5, -1.2, 6.4, 13.0):
        solids += put.tree(grain, rng, x, 14.4, rng.uniform(3.6, 4.6))
    for x in (-12.0, -5.0, 2.6, 9.8):
        solids += put.bush(grain, rng, x, 16.4, rng.uniform(0.5, 0.8))
    solids += put.bench(grain, -4.6, 13.2) + put.bench(grain, 3.2, 13.2) + put.lamp(grain, 9.4, 13.1)
    solids += put.litter_bin(grain, -2.9, 13.1, rgb(60, 110, 80)) + put.lamp(grain, -6.8, 13.1)
    lanes = both_ways((-14, 9.0), (14, 9.0), 2.6, 2.0)
    return Place(
        camera=Camera(size, height=5.2, pitch=27, yaw=4, roll=0.8, focal=1.44),
        light=Light(azimuth=215, elevation=42, sun=1.0, sky=0.42),
        lanes=lanes, ways=lanes,
        ground=ground, solids=solids, noise=1.9,
    )  # fmt: skip


def avenue(size: tuple[int, int], grain: Grain, rng: np.random.Generator) -> Place:
    """A long way that leads away from the camera between trees and lawns to a distant building."""
    stones = tiles(grain, (rgb(190, 172, 150), rgb(110, 98, 88)), (0.8, 0.8), 0.05, bond=0, variety=0.25, every=5)
    lawn = grass(grain, rgb(104, 132, 62))
    ground = [Area(EVERYWHERE, EVERYWHERE, lawn), Area((-3.2, 3.2), EVERYWHERE, stones)]
    plaster = plain(grain, rgb(206, 196, 176), 0.2)
    far = facade(grain, plaster, (2.2, 2.2), (4.0, 3.8), 1.2, base=0.9)
    solids: list[Solid] = [Box((-40, 44, 0), (40, 55, 15), far)]
    solids += put.kerb(grain, (-3.4, -3.2), (0, 44), 0.1) + put.kerb(grain, (3.2, 3.4), (0, 44), 0.1)
    for y in (10.5, 17.0, 24.5, 33.0):
        for x in (-5.6, 5.8):
            solids += put.tree(
                grain, rng, x + rng.uniform(-0.4, 0.4), y + rng.uniform(-0.6, 0.6), rng.uniform(4.2, 5.6)
            )
    for y in (12.0, 20.0, 28.0):
        solids += put.lamp(grain, 3.9, y) + put.bench(grain, -4.1, y - 1.6, along_x=False, back=-1)
    solids += put.hedge(grain, (7.4, 8.4), (15.2, 40)) + put.hedge(grain, (-9.4, -8.2), (15.2, 40))
    solids += put.litter_bin(grain, -3.9, 8.6, rgb(150, 92, 60))
    return Place(
        camera=Camera(size, height=5.0, pitch=23, yaw=-3, roll=-0.6, focal=1.38),
        light=Light(azimuth=105, elevation=38, sun=0.95, sky=0.45),
        lanes=both_ways((0, 3.0), (0, 32.0), 2.8, 1.8), ways=both_ways((-9.5, 13.6), (9.5, 13.6), 0.8, 0.8),
        ground=ground, solids=solids, noise=1.7,
    )  # fmt: skip


def riverside(size: tuple[int, int], grain: Grain, rng: np.random.Generator) -> Place:
    """A diagonal way between a panelled wall with windows and a white railing above a lower lawn."""
    bricks = tiles(grain, (rgb(150, 118, 104), rgb(96, 84, 78)), (0.6, 0.3), 0.035, variety=0.35)
    panel = tiles(grain, (rgb(188, 186, 178), rgb(120, 118, 114)), (1.6, 1.1), 0.05, variety=0.15)
    walls = facade(grain, panel, (1.6, 1.3), (3.2, 3.3), 1.0, base=0.4)
    ground = [
        Area(EVERYWHERE, EVERYWHERE, grass(grain, rgb(98, 122, 70))),
        Area((-3.4, 3.2), EVERYWHERE, bricks),
        Area((-12, -3.4), (9, 18), bricks),
        Area((3.2, 4.4), EVERYWHERE, plain(grain, rgb(170, 166, 158), 0.3)),
    ]
    solids: list[Solid] = [Box((-12, 4.5, 0), (-3.6, 10.3, 7.5), walls), Box((-12, 16.4, 0), (-3.6, 46, 7.5), walls)]
    solids += [Box((-3.6, 4.9 + 4.8 * i, 0), (-3.3, 5.4 + 4.8 * i, 7.5), panel) for i in (0, 1, *range(3, 8))]
    solids += put.railing(grain, (3.3, 3.5), (3.3, 30.0), rgb(222, 224, 222), gap=0.75)
    for y in (9.0, 17.0, 26.0):
        solids += put.tree(grain, rng, 7.6 + rng.uniform(-0.7, 0.7), y, rng.uniform(3.8, 5.0))
    solids += put.lamp(grain, 2.8, 13.5) + put.planter(grain, rng, (-3.2, -2.3), (17.4, 20.6))
    solids += put.litter_bin(grain, -3.0, 7.4, rgb(70, 84, 120)) + put.hedge(grain, (10, 11.2), (6, 50), 1.3)
    solids += [Box((-30, 48, 0), (40, 50, 9), put.leaves(grain, put.DARK_GREEN * 1.4))]
    return Place(
        camera=Camera(size, height=4.6, pitch=23, yaw=0, roll=0.5, focal=1.1),
        light=Light(azimuth=140, elevation=46, sun=0.9, sky=0.5),
        lanes=both_ways((-0.2, 2.5), (-0.2, 30.0), 2.6, 1.6), ways=both_ways((-7.0, 15.8), (2.4, 3.0), 0.2, 0.2),
        ground=ground, solids=solids, noise=2.1,
    )  # fmt: skip


def courtyard(size: tuple[int, int], grain: Grain, rng: np.random.Generator) -> Place:
    """A square of light and dark slabs before a glass entrance between stone beds."""
    slabs = tiles(grain, (rgb(196, 190, 180), rgb(116, 110, 104)), (1.0, 1.0), 0.04, bond=0, variety=0.2, every=3)
    panel = tiles(grain, (rgb(172, 160, 146), rgb(110, 102, 94)), (1.3, 0.8), 0.04, variety=0.2)
    walls = facade(grain, panel, (2.0, 2.2), (3.0, 3.4), 1.6)
    hall = facade(grain, plain(grain, rgb(80, 84, 90)), (1.35, 2.7), (1.5, 2.9), 0.7, frame=rgb(60, 64, 70))
    solids: list[Solid] = [Box((-40, 19, 0), (-2.5, 28, 9), walls), Box((6.5, 19, 0), (40, 28, 9), walls)]
    solids += [
        Box((-2.5, 20.5, 0), (6.5, 28, 9), hall),
        Box((-3.0, 17.4, 3.6), (7.0, 20.6, 3.95), plain(grain, rgb(150, 150, 152))),
    ]
    solids += [Post((x, 17.8), 0.2, 0.0, 3.6, plain(grain, rgb(196, 194, 188))) for x in (-2.4, 6.4)]
    solids += put.planter(grain, rng, (-10.0, -4.4), (14.8, 16.2)) + put.planter(grain, rng, (8.4, 14.0), (14.8, 16.2))
    solids += put.tree(grain, rng, -7.4, 15.5, 3.6) + put.tree(grain, rng, 11.0, 15.5, 3.8)
    solids += put.bollards(grain, [(x, 13.6) for x in (-9.0, -6.2, -3.4, 7.4, 10.2)])
    solids += (
        put.bench(grain, -5.6, 14.2, back=1)
        + put.litter_bin(grain, -3.2, 14.4, rgb(90, 90, 96))
        + put.lamp(grain, 7.6, 14.2)
    )
    mat = tiles(grain, (rgb(96, 92, 90), rgb(60, 58, 56)), (1.4, 0.7), 0.04, variety=0.15)
    across = both_ways((-12, 9.6), (15, 9.6), 2.6, 2.2)
    return Place(
        camera=Camera(size, height=5.4, pitch=28, yaw=-5, roll=-0.7, focal=1.42),
        light=Light(azimuth=240, elevation=50, sun=0.85, sky=0.5),
        lanes=[*across, Lane((-6, 5.2), (1.2, 20.6), 1.2), Lane((2.6, 20.6), (8.5, 4.8), 1.2)], ways=across,
        ground=[Area(EVERYWHERE, EVERYWHERE, slabs), Area((-2.2, 6.2), (18.4, 21), mat)], solids=solids, noise=1.6,
    )  # fmt: skip


def crossing(size: tuple[int, int], grain: Grain, rng: np.random.Generator) -> Place:
    """A quiet service road with a zebra crossing between two pavements, on a dull day."""
    tar = asphalt(grain, rgb(98, 98, 102))
    pave = tiles(grain, (rgb(168, 160, 152), rgb(104, 98, 94)), (0.6, 0.6), 0.045, bond=0.5, variety=0.3)
    line = plain(grain, rgb(214, 210, 196), 0.3)
    ground = [
        Area(EVERYWHERE, EVERYWHERE, grass(grain, rgb(100, 120, 70))),
        Area(EVERYWHERE, (2.0, 15.4), pave),
        Area((-1.5, 1.7), (15.4, 18.6), pave),
        Area(EVERYWHERE, (6.8, 12.0), tar),
        *(Area((-15 + 3 * i, -13.5 + 3 * i), (9.3, 9.42), line) for i in range(11)),
        Area((-1.4, 1.6), (7.0, 11.8), zebra(tar, grain, period=0.75)),
    ]
    concrete = tiles(grain, (rgb(176, 176, 170), rgb(128, 128, 124)), (2.4, 1.5), 0.05, bond=0, variety=0.12)
    walls = facade(grain, concrete, (3.2, 1.4), (4.8, 3.2), 1.3, base=0.5)
    solids: list[Solid] = [Box((-40, 18.6, 0), (40, 26, 9), walls)]
    door = facade(grain, plain(grain, rgb(60, 64, 68)), (1.1, 2.0), (1.2, 9.0), 0.1, frame=rgb(80, 84, 90))
    solids += [Box((-1.2, 18.4, 0), (1.4, 18.7, 2.4), door), Box((-1.6, 17.6, 2.5), (1.8, 18.7, 2.65), concrete)]
    solids += put.kerb(grain, (-40, -1.6), (6.62, 6.8)) + put.kerb(grain, (1.8, 40), (6.62, 6.8))
    solids += put.kerb(grain, (-40, -1.6), (12.0, 12.18)) + put.kerb(grain, (1.8, 40), (12.0, 12.18))
    solids += put.bollards(grain, [(x, 12.6) for x in (-3.9, -2.8, -1.7, 1.9, 3.0, 4.1)])
    solids += put.railing(grain, (-15, 15.6), (-3.5, 15.6), rgb(70, 90, 84), gap=0.6)
    solids += put.hedge(grain, (3.8, 16), (15.7, 16.7), 1.0) + put.lamp(grain, 5.4, 12.6, 5.0)
    solids += put.lamp(grain, -6.6, 6.3, 5.0) + put.litter_bin(grain, 4.4, 15.3, rgb(168, 120, 52))
    for x in (-9.0, 10.4):
        solids += put.tree(grain, rng, x, 17.2, 4.4)
    pavement = [*both_ways((14, 13.9), (-13, 13.9), 1.3, 0.7), Lane((-9, 5.6), (10, 5.6), 0.8)]
    return Place(
        camera=Camera(size, height=5.6, pitch=26, yaw=3, roll=0.4, focal=1.25),
        light=Light(azimuth=160, elevation=55, sun=0.28, sky=0.85),
        lanes=[*pavement, *both_ways((0.1, 3.0), (0.1, 18.6), 1.4, 0.8)],
        ways=both_ways((14, 13.9), (-13, 13.9), 0.3, 0.3),
        ground=ground, solids=solids, noise=2.3,
    )  # fmt: skip


def colonnade(size: tuple[int, int], grain: Grain, rng: np.random.Generator) -> Place:
    """A way behind thick columns in the late sun; people vanish behind the columns and come out again."""
    stones = tiles(grain, (rgb(184, 150, 122), rgb(112, 90, 76)), (0.5, 0.5), 0.05, bond=0.5, variety=0.4)
    band = plain(grain, rgb(128, 122, 116), 0.3)
    stucco = plain(grain, rgb(212, 190, 150), 0.22)
    walls = facade(grain, stucco, (1.4, 2.4), (3.4, 4.0), 0.9, base=0.8, frame=rgb(120, 82, 58))
    marble = tiles(grain, (rgb(206, 200, 190), rgb(150, 144, 136)), (2.0, 0.7), 0.04, bond=0, variety=0.1)
    ground = [Area(EVERYWHERE, EVERYWHERE, stones)]
    ground += [Area((-18.2 + 4.5 * i, -17.8 + 4.5 * i), EVERYWHERE, band) for i in range(9)]
    ground += [Area(EVERYWHERE, (6.3, 6.9), band), Area(EVERYWHERE, (14.9, 15.3), band)]
    solids: list[Solid] = [Box((-40, 17, 0), (40, 25, 8.5), walls)]
    for x in (-10.5, -6.0, -1.5, 3.0, 7.5, 12.0):
        solids += [Post((x, 8.1), 0.28, 0.2, 7, marble), Box((x - 0.4, 7.7, 0), (x + 0.4, 8.5, 0.22), marble)]
    solids += put.planter(grain, rng, (-8.4, -4.6), (15.6, 16.6)) + put.planter(grain, rng, (4.4, 8.6), (15.6, 16.6))
    solids += put.bench(grain, 0.4, 15.9) + put.litter_bin(grain, 2.2, 15.9, rgb(120, 70, 60))
    lanes = both_ways((-14, 11.2), (12, 11.2), 2.6, 1.8)
    return Place(
        camera=Camera(size, height=4.4, pitch=23, yaw=-7, roll=-0.4, focal=1.41),
        light=Light(azimuth=232, elevation=30, sun=1.15, sky=0.38),
        lanes=lanes, ways=lanes,
        ground=ground, solids=solids, noise=1.8,
    )  # fmt: skip


PLACES: list[Callable[[tuple[int, int], Grain, np.random.Generator], Place]] = [
    promenade, avenue, riverside, courtyard, crossing, colonnade,
]  # fmt: skip


@lru_cache(maxsize=2)
def visit(scene: int, size: tuple[int, int], seed: int) -> tuple[Place, Backdrop]:
    """Set up and render place number ``scene``, counted from 0."""
    rng = np.random.default_rng([seed, 1, scene])
    place = PLACES[scene % len(PLACES)](size, Grain(rng), rng)
    return place, render(place.camera, place.ground, place.solids, place.light, rng)
