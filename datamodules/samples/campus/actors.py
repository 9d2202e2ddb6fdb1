"""Who moves through the place: walkers, runners, riders and thrown things, each a function of time."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from datamodules.samples.campus import gait
from datamodules.samples.campus.arrays import Array, rgb
from datamodules.samples.campus.body import Look, Parts, build, to_world

METAL, TYRE = rgb(88, 90, 96), rgb(30, 30, 32)
GRAVITY = 9.81


@dataclass(frozen=True)
class Route:
    """A straight way taken at constant speed.

    Args:
        start: Place (2,) at time 0 in metres.
        heading: Unit vector (2,).
        speed: Metres per second.
    """

    start: tuple[float, float]
    heading: tuple[float, float]
    speed: float

    def way(self, time: float) -> float:
        """Metres covered since time 0."""
        return self.speed * time

    def at(self, time: float) -> Array:
        """Place (2,) at ``time`` seconds."""
        return np.array(self.start) + np.array(self.heading) * self.way(time)


class Actor(Protocol):
    """Something that moves."""

    def parts(self, time: float) -> Parts | None:
        """Capsules at ``time`` seconds, None while it is not there."""


@dataclass(frozen=True)
class Pedestrian:
    """A person on foot who walks, or runs when faster than 2.2 m/s.

    Args:
        look: Clothes and proportions.
        route: The way.
        phase: Cycles of the gait at time 0.
        throws_at: Moment at which something leaves the right hand, None for people who throw nothing.
    """

    look: Look
    route: Route
    phase: float = 0.0
    throws_at: float | None = None

    def parts(self, time: float) -> Parts:
        phase = self.phase + self.route.way(time) / gait.stride(self.look, self.route.speed)
        pose = (gait.running if self.route.speed > 2.2 else gait.walking)(self.look, phase)
        if self.throws_at is not None:
            pose.arms[1] = _throwing_arm(pose.arms[1], time - self.throws_at)
        return build(self.look, pose, self.route.at(time), np.array(self.route.heading))


WIND_UP, FOLLOW_THROUGH = 0.7, 0.5  # seconds before and after the release in which a throwing arm moves


def _throwing_arm(rest: tuple[float, float], time: float) -> tuple[float, float]:
    """Angles of the arm that throws at time 0, blended into its usual swing."""
    keys = [-WIND_UP, -0.25, 0.0, 0.15, FOLLOW_THROUGH]
    swing = np.interp(time, keys, [rest[0], -2.4, 2.6, 1.0, rest[0]])
    flex = np.interp(time, keys, [rest[1], 1.2, 0.1, 0.2, rest[1]])
    return float(swing), float(flex)


@dataclass(frozen=True)
class Rider:
    """A person on a ``bicycle``, ``scooter`` or ``skateboard``."""

    look: Look
    route: Route
    vehicle: str
    paint: Array

    def parts(self, time: float) -> Parts:
        place, heading = self.route.at(time), np.array(self.route.heading)
        if self.vehicle == "bicycle":
            pose = gait.pedalling(self.route.way(time) / 4.5, 0.98, (0.12, 0.28))
            machine = _bicycle(self.paint)
        else:
            deck = 0.16 if self.vehicle == "scooter" else 0.12
            pose = gait.standing_on_board(self.look, time, deck, holds=self.vehicle == "scooter")
            machine = _scooter(self.paint) if self.vehicle == "scooter" else _skateboard(self.paint)
        body = build(self.look, pose, place, heading)
        start, end, radius, colour = machine
        machine = Parts(to_world(start, place, heading), to_world(end, place, heading), radius, colour)
        return Parts(*(np.concatenate(pair) for pair in zip(machine, body, strict=True)))


def _frame(rows: list[tuple]) -> Parts:
    start, end = (np.array([row[i] for row in rows], np.float32) for i in (0, 1))
    radius = np.array([[row[2], row[2]] for row in rows], np.float32)
    return Parts(start, end, radius, np.stack([row[3] for row in rows]).astype(np.float32))


def _wheel(forward: float, radius: float, pieces: int) -> list[tuple]:
    angle = np.linspace(0, 2 * np.pi, pieces + 1)
    rim = [(forward + radius * np.cos(a), 0.0, radius + radius * np.sin(a)) for a in angle]
    return [(rim[i], rim[i + 1], 0.026, TYRE) for i in range(pieces)]


def _bicycle(paint: Array) -> Parts:
    bracket, seat, head, bar = (0.12, 0, 0.28), (-0.12, 0, 0.86), (0.62, 0, 0.80), (0.60, 0, 1.02)
    tubes = [(bracket, seat), (bracket, head), (seat, head), (bracket, (-0.45, 0, 0.34)), (seat, (-0.45, 0, 0.34))]
    rows = _wheel(-0.45, 0.34, 12) + _wheel(0.72, 0.34, 12)
    rows += [(a, b, 0.022, paint) for a, b in tubes]
    rows += [(head, (0.72, 0, 0.34), 0.022, METAL), (head, bar, 0.018, METAL)]
    rows += [((0.58, -0.25, 1.03), (0.58, 0.25, 1.03), 0.018, METAL), ((-0.24, 0, 0.93), (-0.02, 0, 0.94), 0.05, TYRE)]
    return _frame(rows)


def _scooter(paint: Array) -> Parts:
    rows = _wheel(-0.42, 0.11, 8) + _wheel(0.48, 0.11, 8)
    rows += [((-0.42, 0, 0.15), (0.36, 0, 0.14), 0.05, paint), ((0.46, 0, 0.14), (0.36, 0, 1.08), 0.03, METAL)]
    rows += [((0.36, -0.24, 1.08), (0.36, 0.24, 1.08), 0.022, TYRE)]
    return _frame(rows)


def _skateboard(paint: Array) -> Parts:
    rows = [((-0.38, 0, 0.11), (0.38, 0, 0.11), 0.035, paint)]
    rows += [((x, -0.09, 0.04), (x, 0.09, 0.04), 0.04, TYRE) for x in (-0.25, 0.25)]
    return _frame(rows)


@dataclass(frozen=True)
class Thrown:
    """A ball or bag on its way through the air and, after a few bounces, along the ground.

    Args:
        origin: Point (3,) it leaves at ``start``.
        velocity: Metres per second (3,) at that moment.
        start: Seconds.
        radius: Metres.
        colour: Reflectance (3,).
    """

    origin: tuple[float, float, float]
    velocity: tuple[float, float, float]
    start: float
    radius: float
    colour: Array

    def rest(self) -> float:
        """Seconds after which it lies still."""
        fall, speed = self._flight()
        bounces = sum(2 * speed * 0.5**n / GRAVITY for n in range(1, 4))
        return self.start + fall + bounces

    def _flight(self) -> tuple[float, float]:
        rise = self.velocity[2]
        fall = (rise + np.sqrt(rise**2 + 2 * GRAVITY * (self.origin[2] - self.radius))) / GRAVITY
        return float(fall), float(GRAVITY * fall - rise)

    def parts(self, time: float) -> Parts | None:
        if time < self.start:
            return None
        left = min(time, self.rest()) - self.start
        fall, speed = self._flight()
        flat, height = 0.0, None
        if left < fall:
            flat, height = left, self.origin[2] + self.velocity[2] * left - GRAVITY * left**2 / 2
        else:
            flat, left = fall, left - fall
            for bounce in range(1, 4):  # each bounce keeps half of the speed
                up, drag = speed * 0.5**bounce, 0.6**bounce
                airtime = 2 * up / GRAVITY
                flat += drag * min(left, airtime)
                if left < airtime:
                    height = self.radius + up * left - GRAVITY * left**2 / 2
                    break
                left -= airtime
        x, y = (self.origin[axis] + self.velocity[axis] * flat for axis in (0, 1))
        point = np.array([[x, y, self.radius if height is None else height]], np.float32)
        return Parts(point, point + np.float32(1e-3), np.full((1, 2), self.radius, np.float32), self.colour[None])
