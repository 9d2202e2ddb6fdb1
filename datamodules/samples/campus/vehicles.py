"""What people ride and drive: capsules for tubes and tyres, panels for sheet metal."""

from collections.abc import Callable

import numpy as np

from datamodules.samples.campus.arrays import Array, rgb
from datamodules.samples.campus.body import Parts, Point, to_world

METAL, TYRE, GLASS, HUB = rgb(88, 90, 96), rgb(30, 30, 32), rgb(52, 62, 72), rgb(150, 152, 156)
HEADLIGHT, TAIL_LIGHT, SEAT = rgb(236, 234, 214), rgb(170, 28, 26), rgb(62, 54, 48)

Tube = tuple[Point, Point, float, Array]
"""Start, end, radius and colour of a capsule, (forward, left, up) in metres."""

Panel = tuple[Point, Point, Point, Point, Array]
"""Corners and paint of a panel."""

Slice = tuple[tuple[float, float], float, tuple[float, float], Array, Array]
"""Part of a hull: from where to where forward, bottom, heights behind and in front, paint of the sides and the top."""


def _placed(tubes: list[Tube], panels: list[Panel], place: Array, heading: Array) -> Parts:
    start, end = (np.array([tube[i] for tube in tubes], np.float32) for i in (0, 1))
    radius = np.array([[tube[2], tube[2]] for tube in tubes], np.float32)
    colour = np.stack([tube[3] for tube in tubes]).astype(np.float32)
    corners = np.array([panel[:4] for panel in panels], np.float32).reshape(-1, 3)
    paint = np.array([panel[4] for panel in panels], np.float32).reshape(-1, 3)
    start, end, corners = (to_world(points, place, heading) for points in (start, end, corners))
    return Parts(start, end, radius, colour, corners.reshape(-1, 4, 3), paint)


def _ring(forward: float, radius: float, pieces: int, thick: float = 0.026) -> list[Tube]:
    angle = np.linspace(0, 2 * np.pi, pieces + 1)
    rim = [(forward + radius * np.cos(a), 0.0, radius + radius * np.sin(a)) for a in angle]
    return [(rim[i], rim[i + 1], thick, TYRE) for i in range(pieces)]


def bicycle(paint: Array, place: Array, heading: Array) -> Parts:
    """A bicycle; like all machines painted and put at ``place`` (2,), turned to ``heading`` (2,)."""
    bracket, seat, head, bar = (0.12, 0, 0.28), (-0.12, 0, 0.86), (0.62, 0, 0.80), (0.60, 0, 1.02)
    pairs = [(bracket, seat), (bracket, head), (seat, head), (bracket, (-0.45, 0, 0.34)), (seat, (-0.45, 0, 0.34))]
    tubes = _ring(-0.45, 0.34, 12) + _ring(0.72, 0.34, 12)
    tubes += [(a, b, 0.022, paint) for a, b in pairs]
    tubes += [(head, (0.72, 0, 0.34), 0.022, METAL), (head, bar, 0.018, METAL)]
    tubes += [((0.58, -0.25, 1.03), (0.58, 0.25, 1.03), 0.018, METAL), ((-0.24, 0, 0.93), (-0.02, 0, 0.94), 0.05, TYRE)]
    return _placed(tubes, [], place, heading)


def scooter(paint: Array, place: Array, heading: Array) -> Parts:
    """A kick scooter."""
    tubes = _ring(-0.42, 0.11, 8) + _ring(0.48, 0.11, 8)
    tubes += [((-0.42, 0, 0.15), (0.36, 0, 0.14), 0.05, paint), ((0.46, 0, 0.14), (0.36, 0, 1.08), 0.03, METAL)]
    tubes += [((0.36, -0.24, 1.08), (0.36, 0.24, 1.08), 0.022, TYRE)]
    return _placed(tubes, [], place, heading)


def skateboard(paint: Array, place: Array, heading: Array) -> Parts:
    """A skateboard."""
    tubes = [((-0.38, 0, 0.11), (0.38, 0, 0.11), 0.035, paint)]
    tubes += [((x, -0.09, 0.04), (x, 0.09, 0.04), 0.04, TYRE) for x in (-0.25, 0.25)]
    return _placed(tubes, [], place, heading)


def motorcycle(paint: Array, place: Array, heading: Array) -> Parts:
    """A motorcycle with a delivery box behind the rider."""
    tubes = _ring(-0.68, 0.27, 10, 0.07) + _ring(0.74, 0.27, 10, 0.07)
    tubes += [((-0.15, 0, 0.45), (0.3, 0, 0.45), 0.17, METAL), ((0.15, 0, 0.8), (0.42, 0, 0.84), 0.16, paint)]
    tubes += [((-0.72, 0, 0.72), (-0.05, 0, 0.76), 0.11, SEAT), ((-0.68, 0, 0.32), (0.1, 0, 0.4), 0.05, METAL)]
    tubes += [((0.74, 0, 0.32), (0.5, 0, 1.0), 0.05, METAL), ((0.46, -0.35, 1.06), (0.46, 0.35, 1.06), 0.025, TYRE)]
    tubes += [((0.6, 0, 0.9), (0.64, 0, 0.9), 0.1, HEADLIGHT), ((0.55, 0, 0.6), (0.95, 0, 0.58), 0.06, paint)]
    box = [((-1.05, -0.5), 0.82, (1.32, 1.32), paint, paint)]
    return _placed(tubes, _hull(box, 0.26, paint, paint), place, heading)


def car(paint: Array, place: Array, heading: Array) -> Parts:
    """A hatchback."""
    body = [
        ((-2.0, -0.7), 0.34, (0.94, 0.98), paint, paint),
        ((-0.7, 0.7), 0.28, (0.98, 0.98), paint, paint),
        ((0.7, 2.0), 0.34, (0.98, 0.76), paint, paint),
    ]
    cabin = [
        ((-1.95, -1.5), 0.94, (0.94, 1.42), GLASS, GLASS),
        ((-1.5, -0.4), 0.94, (1.42, 1.46), GLASS, paint),
        ((-0.4, 0.35), 0.94, (1.46, 1.4), GLASS, paint),
        ((0.35, 1.15), 0.94, (1.4, 0.94), GLASS, GLASS),
    ]
    tubes = _wheels((-1.35, 1.35), 0.8, 0.31)
    tubes += [((2.0, y, 0.68), (2.02, y, 0.68), 0.09, HEADLIGHT) for y in (-0.6, 0.6)]
    tubes += [((-2.0, y, 0.8), (-2.02, y, 0.8), 0.08, TAIL_LIGHT) for y in (-0.65, 0.65)]
    return _placed(tubes, _hull(body, 0.85, paint, paint) + _hull(cabin, 0.74, GLASS, GLASS), place, heading)


def van(paint: Array, place: Array, heading: Array) -> Parts:
    """A delivery van."""
    body = [
        ((-2.4, -0.8), 0.4, (2.1, 2.15), paint, paint),
        ((-0.8, 0.8), 0.34, (2.15, 2.15), paint, paint),
        ((0.8, 2.4), 0.4, (1.16, 0.98), paint, paint),
    ]
    cabin = [((0.8, 1.35), 1.14, (2.15, 2.1), GLASS, paint), ((1.35, 1.95), 1.1, (2.1, 1.1), GLASS, GLASS)]
    tubes = _wheels((-1.6, 1.6), 0.9, 0.34)
    tubes += [((2.4, y, 0.78), (2.42, y, 0.78), 0.1, HEADLIGHT) for y in (-0.7, 0.7)]
    tubes += [((-2.4, y, 1.0), (-2.42, y, 1.0), 0.09, TAIL_LIGHT) for y in (-0.8, 0.8)]
    return _placed(tubes, _hull(body, 0.94, paint, paint) + _hull(cabin, 0.88, GLASS, GLASS), place, heading)


def cart(paint: Array, place: Array, heading: Array) -> Parts:
    """An open electric cart with a roof."""
    body = [
        ((-1.3, -0.5), 0.3, (0.82, 0.82), paint, SEAT),
        ((-0.5, 0.5), 0.3, (0.4, 0.4), paint, METAL),
        ((0.5, 1.3), 0.3, (0.95, 0.62), paint, paint),
    ]
    roof = [((-1.2, -0.15), 1.86, (1.96, 1.98), paint, paint), ((-0.15, 0.9), 1.86, (1.98, 1.94), paint, paint)]
    tubes = _wheels((-0.9, 0.9), 0.55, 0.26)
    for y in (-0.52, 0.52):
        tubes += [((-1.15, y, 0.8), (-1.1, y, 1.88), 0.03, METAL), ((0.75, y, 0.9), (0.6, y, 1.88), 0.03, METAL)]
    tubes += [((-0.62, -0.45, 1.1), (-0.62, 0.45, 1.1), 0.14, SEAT), ((1.3, 0, 0.6), (1.31, 0, 0.6), 0.1, HEADLIGHT)]
    return _placed(tubes, _hull(body, 0.6, paint, paint) + _hull(roof, 0.62, paint, paint), place, heading)


def _wheels(axles: tuple[float, float], aside: float, radius: float) -> list[Tube]:
    """Wheels of a car; a capsule as short as this is a ball, flat enough where most of it is inside the hull."""
    tubes: list[Tube] = []
    for x in axles:
        for side in (-1, 1):
            hub = (x, side * (aside + 0.12), radius)
            tubes += [
                ((x, side * aside, radius), hub, radius, TYRE),
                (hub, (x, side * (aside + 0.14), radius), 0.5 * radius, HUB),
            ]
    return tubes


def _hull(slices: list[Slice], half: float, back: Array, front: Array) -> list[Panel]:
    """Sides and tops of ``slices``, ``half`` a width each way, closed behind and in front."""
    panels: list[Panel] = []
    for (x0, x1), low, (top0, top1), side, top in slices:
        for y in (-half, half):
            panels.append(((x0, y, low), (x1, y, low), (x1, y, top1), (x0, y, top0), side))
        panels.append(((x0, -half, top0), (x1, -half, top1), (x1, half, top1), (x0, half, top0), top))
    for x, low, high, paint in (
        (slices[0][0][0], slices[0][1], slices[0][2][0], back),
        (slices[-1][0][1], slices[-1][1], slices[-1][2][1], front),
    ):
        if high > low:
            panels.append(((x, -half, low), (x, half, low), (x, half, high), (x, -half, high), paint))
    return panels


MACHINES: dict[str, Callable[[Array, Array, Array], Parts]] = {
    "bicycle": bicycle, "scooter": scooter, "skateboard": skateboard, "motorcycle": motorcycle,
    "car": car, "van": van, "cart": cart,
}  # fmt: skip
"""Makers of machines, from paint (3,), place (2,) and heading (2,)."""

ROOM = {"car": (2.0, 0.85), "van": (2.4, 0.95), "cart": (1.3, 0.6)}
"""Half of length and width in metres of what has four wheels."""
