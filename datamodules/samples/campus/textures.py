"""Surface materials: functions from surface coordinates in metres to reflectance."""

from collections.abc import Callable

import numpy as np

from datamodules.samples.campus.arrays import Array, rgb

Material = Callable[[Array, Array], Array]
"""Maps coordinates u, v (N,) in metres to reflectance (N, 3); v is the height on upright faces."""

TABLE = 256  # cells after which a random field repeats


class Grain:
    """Random fields over the plane, fixed by the generator they were drawn from."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.table = rng.random((TABLE, TABLE), dtype=np.float32)

    def cell(self, i: Array, j: Array) -> Array:
        """One number in [0, 1) per pair of integers (N,)."""
        i, j = i.astype(np.int64), j.astype(np.int64)
        return self.table[(73 * i + 151 * j) % TABLE, (37 * j + 11 * i) % TABLE]

    def smooth(self, u: Array, v: Array, size: float) -> Array:
        """Value noise (N,) in [0, 1] with lattice cells of ``size`` metres."""
        u, v = u / size, v / size
        i, j = np.floor(u), np.floor(v)
        f, g = u - i, v - j
        f, g = f * f * (3 - 2 * f), g * g * (3 - 2 * g)
        i, j = i.astype(np.int64) % TABLE, j.astype(np.int64) % TABLE
        k, m = (i + 1) % TABLE, (j + 1) % TABLE
        low = self.table[i, j] * (1 - f) + self.table[k, j] * f
        high = self.table[i, m] * (1 - f) + self.table[k, m] * f
        return low * (1 - g) + high * g

    def fractal(self, u: Array, v: Array, size: float, octaves: int = 3) -> Array:
        """Sum of value noises of halving size, scaled to [0, 1]."""
        total, weight = np.zeros_like(u), 0.0
        for octave in range(octaves):
            share = 0.55**octave
            total += share * self.smooth(u + 17.3 * octave, v - 9.1 * octave, size / 2**octave)
            weight += share
        return total / weight


def mix(first: Array, second: Array, share: Array) -> Array:
    """Blend two colours or colour fields by ``share`` (N,) of the second."""
    return first + (second - first) * share[:, None]


def tiles(
    grain: Grain,
    colours: tuple[Array, Array],
    tile: tuple[float, float],
    joint: float = 0.03,
    bond: float = 0.5,
    variety: float = 0.25,
    every: int = 0,
) -> Material:
    """Slabs, paving stones, bricks or panels.

    Args:
        grain: Randomness of stones and stains.
        colours: Of the stones and of the joints.
        tile: Width and height of a stone in metres.
        joint: Width of a joint in metres.
        bond: Shift of every second row, as a share of a stone; 0 makes a grid.
        variety: Difference between stones, relative.
        every: Lay every n-th column and row of stones darker; 0 for none.
    """

    def material(u: Array, v: Array) -> Array:
        row = np.floor(v / tile[1])
        shifted = u / tile[0] + bond * (row % 2)
        column = np.floor(shifted)
        edge_u = np.abs((shifted - column) - 0.5) * tile[0]
        edge_v = np.abs(v / tile[1] - row - 0.5) * tile[1]
        gap = np.maximum(edge_u - tile[0] / 2, edge_v - tile[1] / 2) > -joint / 2
        shade = 1 + variety * (grain.cell(column, row) - 0.5)
        shade *= 0.82 + 0.36 * grain.fractal(u, v, 2.5)  # stains and wear
        shade *= 0.9 + 0.2 * grain.smooth(u, v, 0.06)
        if every:
            shade *= np.where((column % every == 0) | (row % every == 0), 0.62, 1.0)
        return mix(colours[0] * shade[:, None], colours[1], gap.astype(np.float32))

    return material


def asphalt(grain: Grain, colour: Array) -> Material:
    """Dark, speckled, with patches and cracks."""

    def material(u: Array, v: Array) -> Array:
        shade = 0.75 + 0.5 * grain.fractal(u, v, 3.0, 4)
        shade *= 0.8 + 0.4 * grain.smooth(u, v, 0.05)
        crack = np.abs(grain.fractal(u + 40, v, 4.0, 4) - 0.5) < 0.006
        return colour * (shade * np.where(crack, 0.55, 1.0))[:, None]

    return material


def grass(grain: Grain, colour: Array) -> Material:
    """Lawn with tufts, bare patches and fallen leaves."""
    earth, leaf = rgb(118, 100, 72), rgb(168, 132, 70)

    def material(u: Array, v: Array) -> Array:
        shade = 0.5 + 0.6 * grain.fractal(u, v, 1.6, 3) + 0.7 * (grain.smooth(u, v, 0.1) - 0.5)
        ground = mix(colour * shade[:, None], earth, (grain.fractal(u + 60, v, 4.0) > 0.66) * 0.55)
        scattered = grain.cell(np.floor(u / 0.13), np.floor(v / 0.17)) > 0.975
        return mix(ground, leaf, scattered * 0.8)

    return material


def plain(grain: Grain, colour: Array, wear: float = 0.25, size: float = 0.8) -> Material:
    """Concrete, plaster, painted metal: one colour with stains of the given strength and size in metres."""

    def material(u: Array, v: Array) -> Array:
        return colour * (1 + wear * (grain.fractal(u, v, size, 4) - 0.5) * 2)[:, None]

    return material


def planks(grain: Grain, colour: Array, width: float = 0.12) -> Material:
    """Wooden slats along u with dark gaps."""

    def material(u: Array, v: Array) -> Array:
        board = np.floor(v / width)
        gap = v / width - board < 0.2
        shade = 0.75 + 0.4 * grain.cell(board, board) + 0.2 * (grain.smooth(u, v * 8, 0.3) - 0.5)
        return colour * (shade * np.where(gap, 0.3, 1.0))[:, None]

    return material


def leaves(grain: Grain, colour: Array) -> Material:
    """Foliage: clumps of light and dark leaves."""

    def material(u: Array, v: Array) -> Array:
        clump = grain.fractal(u, v, 0.8, 3)
        leaf = grain.smooth(u, v, 0.09)
        return colour * (0.08 + 2.9 * clump * leaf**1.5)[:, None]

    return material


def facade(
    grain: Grain,
    wall: Material,
    window: tuple[float, float],
    pitch: tuple[float, float],
    sill: float,
    base: float = 0.0,
    frame: Array | None = None,
) -> Material:
    """A wall with a grid of windows.

    Args:
        grain: Randomness of blinds and reflections.
        wall: Material between the windows.
        window: Width and height of a window in metres.
        pitch: Distance between windows along u and v in metres.
        sill: Height of the lowest sill in metres.
        base: Height of the plinth in metres.
        frame: Colour of the window frames.
    """
    frame = rgb(214, 214, 208) if frame is None else frame
    glass, sky, blind, plinth = rgb(38, 48, 56), rgb(128, 148, 164), rgb(196, 190, 174), rgb(112, 108, 104)

    def material(u: Array, v: Array) -> Array:
        surface = wall(u, v)
        column, row = np.floor(u / pitch[0]), np.floor((v - sill) / pitch[1])
        x = u - column * pitch[0] - (pitch[0] - window[0]) / 2
        y = v - sill - row * pitch[1]
        inside = (x > 0) & (x < window[0]) & (y > 0) & (y < window[1]) & (row >= 0)
        bar = 0.09
        pane = inside & (x > bar) & (x < window[0] - bar) & (y > bar) & (y < window[1] - bar)
        pane &= np.abs(x - window[0] / 2) > bar / 2
        pane &= np.abs(y - 0.68 * window[1]) > bar / 2
        reflection = 0.55 * (y / window[1]).clip(0, 1) * grain.smooth(u + 3, v, 0.9)
        view = mix(glass[None], sky[None], reflection)
        drawn = y / window[1] > 0.35 + 0.9 * grain.cell(column, row + 7)  # blinds let down by different amounts
        view = np.where(drawn[:, None], blind * (0.8 + 0.2 * np.sign(np.sin(y * 50)))[:, None], view)
        surface = np.where(inside[:, None], np.where(pane[:, None], view, frame), surface)
        ledge = (y > -0.12) & (y <= 0) & (x > -0.1) & (x < window[0] + 0.1) & (row >= 0)
        surface = np.where(ledge[:, None], frame * 0.85, surface)
        return np.where((v < base)[:, None], plinth * (0.8 + 0.4 * grain.fractal(u, v, 1.0))[:, None], surface)

    return material


def zebra(ground: Material, grain: Grain, period: float = 1.0) -> Material:
    """Worn white bars along v over ``ground``, ``period`` metres apart in u."""
    paint = rgb(222, 220, 212)

    def material(u: Array, v: Array) -> Array:
        bar = (u / period) % 1 < 0.5
        worn = grain.fractal(u, v, 0.5, 3) < 0.62
        return mix(ground(u, v), paint, (bar & worn) * 0.85)

    return material
