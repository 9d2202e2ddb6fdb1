"""Four places filmed from near, where people do things before the camera."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from datamodules.samples.campus import furniture as put
from datamodules.samples.campus.arrays import rgb
from datamodules.samples.campus.backdrop import Area, Backdrop, Light, render
from datamodules.samples.campus.camera import Camera
from datamodules.samples.campus.place import Lane, Place
from datamodules.samples.campus.solids import Box, Post, Solid
from datamodules.samples.campus.textures import Grain, asphalt, facade, grass, plain, tiles

EVERYWHERE = (-40.0, 40.0)
FRONT, BACK = 7.0, 9.0  # metres from the camera of those who act and of those who pass behind them
WINGS = 5.6  # metres to the left and right of the middle; from there on the camera sees nobody


def _stage(
    size: tuple[int, int],
    light: Light,
    ground: list[Area],
    solids: list[Solid],
    *,
    height: float,
    yaw: float,
    roll: float,
) -> Place:
    """A place before a camera that sees people a third of the picture's height tall."""
    camera = Camera(size, height=height, pitch=9.5, yaw=yaw, roll=roll, focal=0.95)
    way = Lane((-WINGS, BACK), (WINGS, BACK), 0.8)
    return Place(camera, light, lanes=[way], ways=[way], ground=ground, solids=solids, noise=1.6)


def square(size: tuple[int, int], grain: Grain, rng: np.random.Generator) -> Place:
    """Light slabs before a brick building."""
    slabs = tiles(grain, (rgb(182, 174, 162), rgb(104, 98, 92)), (1.2, 0.9), 0.05, variety=0.25)
    brick = tiles(grain, (rgb(160, 92, 72), rgb(188, 176, 164)), (0.5, 0.17), 0.03, variety=0.4)
    solids: list[Solid] = [Box((-40, 14, 0), (40, 20, 9), facade(grain, brick, (1.5, 1.7), (3.1, 3.3), 1.1, base=0.6))]
    solids += put.bench(grain, -2.6, 12.6) + put.litter_bin(grain, 0.4, 12.8, rgb(60, 110, 80))
    solids += put.planter(grain, rng, (2.2, 5.6), (12.4, 13.2)) + put.lamp(grain, 1.2, 12.8, 5.0)
    light = Light(azimuth=215, elevation=44, sun=0.95, sky=0.45)
    return _stage(size, light, [Area(EVERYWHERE, EVERYWHERE, slabs)], solids, height=2.1, yaw=1.5, roll=0.4)


def park(size: tuple[int, int], grain: Grain, rng: np.random.Generator) -> Place:
    """A sandy way across a lawn, a hedge and trees behind it."""
    sand = plain(grain, rgb(196, 178, 148), 0.2, 0.5)
    ground = [Area(EVERYWHERE, EVERYWHERE, grass(grain, rgb(112, 136, 66))), Area(EVERYWHERE, (5.2, 10.4), sand)]
    solids: list[Solid] = put.hedge(grain, (-40, 40), (12.6, 13.6), 1.1)
    for x in (-6.2, -1.6, 3.8, 8.0):
        solids += put.tree(grain, rng, x, 15.6, rng.uniform(4.6, 5.6))
    solids += put.bench(grain, 1.4, 11.4) + put.lamp(grain, -3.2, 11.2)
    solids += [Box((-40, 24, 0), (40, 26, 6), put.leaves(grain, put.DARK_GREEN * 1.4))]
    light = Light(azimuth=140, elevation=48, sun=0.9, sky=0.5)
    return _stage(size, light, ground, solids, height=2.2, yaw=-2.0, roll=-0.5)


def yard(size: tuple[int, int], grain: Grain, rng: np.random.Generator) -> Place:
    """The asphalt of a school yard before a concrete wall, on a dull day."""
    line = plain(grain, rgb(214, 200, 120), 0.3)
    ground = [Area(EVERYWHERE, EVERYWHERE, asphalt(grain, rgb(120, 120, 124)))]
    ground += [Area(EVERYWHERE, (10.2, 10.3), line), Area((-0.05, 0.05), (10.3, 13.6), line)]
    concrete = tiles(grain, (rgb(182, 182, 176), rgb(128, 128, 124)), (2.4, 1.5), 0.05, bond=0, variety=0.12)
    walls = facade(grain, concrete, (2.6, 1.4), (4.4, 3.2), 1.3, base=0.5)
    solids: list[Solid] = [Box((-40, 13.6, 0), (40, 20, 9), walls)]
    solids += put.railing(grain, (-9, 12.4), (-2.2, 12.4), rgb(70, 90, 84), gap=0.6)
    solids += put.bollards(grain, [(x, 12.6) for x in (2.0, 3.2, 4.4)])
    light = Light(azimuth=160, elevation=55, sun=0.3, sky=0.85)
    return _stage(size, light, ground, solids, height=2.0, yaw=0.0, roll=0.3)


def arcade(size: tuple[int, int], grain: Grain, rng: np.random.Generator) -> Place:
    """Small stones in the late sun before a row of columns and a yellow wall."""
    stones = tiles(grain, (rgb(184, 156, 130), rgb(112, 92, 78)), (0.5, 0.5), 0.05, bond=0.5, variety=0.35)
    marble = tiles(grain, (rgb(206, 200, 190), rgb(150, 144, 136)), (2.0, 0.7), 0.04, bond=0, variety=0.1)
    stucco = facade(grain, plain(grain, rgb(212, 190, 150), 0.22), (1.4, 2.4), (3.4, 4.0), 0.9, base=0.8)
    solids: list[Solid] = [Box((-40, 15, 0), (40, 20, 8.5), stucco)]
    solids += [Post((x, 12.4), 0.26, 0, 7, marble) for x in (-5.4, -1.8, 1.8, 5.4)]
    solids += put.planter(grain, rng, (-4.4, -2.8), (13.4, 14.2)) + put.bench(grain, 3.6, 13.4)
    light = Light(azimuth=228, elevation=34, sun=1.1, sky=0.4)
    return _stage(size, light, [Area(EVERYWHERE, EVERYWHERE, stones)], solids, height=2.1, yaw=2.0, roll=-0.3)


STAGES: list[Callable[[tuple[int, int], Grain, np.random.Generator], Place]] = [square, park, yard, arcade]


@lru_cache(maxsize=2)
def visit(stage: int, size: tuple[int, int], seed: int) -> tuple[Place, Backdrop]:
    """Set up and render stage number ``stage``, counted from 0."""
    rng = np.random.default_rng([seed, 11, stage])
    place = STAGES[stage](size, Grain(rng), rng)
    return place, render(place.camera, place.ground, place.solids, place.light, rng)
