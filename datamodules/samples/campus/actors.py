"""Who moves through the place: walkers, runners, riders and thrown things, each a function of time."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from datamodules.samples.campus import gait, vehicles
from datamodules.samples.campus.arrays import Array
from datamodules.samples.campus.body import Look, Parts, build, together

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

    room = (0.0, 0.0)

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
    """A person on a ``bicycle``, ``scooter``, ``skateboard`` or ``motorcycle``."""

    look: Look
    route: Route
    vehicle: str
    paint: Array

    room = (0.8, 0.3)

    def parts(self, time: float) -> Parts:
        place, heading = self.route.at(time), np.array(self.route.heading)
        if self.vehicle == "bicycle":
            pose = gait.pedalling(self.route.way(time) / 4.5, 0.98, (0.12, 0.28))
        elif self.vehicle == "motorcycle":
            pose = gait.sitting(0.86, forward=0.22, foot=(0.28, 0.32), lean=0.12)
        else:
            deck = 0.16 if self.vehicle == "scooter" else 0.12
            pose = gait.standing_on_board(self.look, time, deck, holds=self.vehicle == "scooter")
        return together(
            vehicles.MACHINES[self.vehicle](self.paint, place, heading), build(self.look, pose, place, heading)
        )


@dataclass(frozen=True)
class Driver:
    """A ``car`` or ``van``, or a person in an open electric ``cart``."""

    look: Look
    route: Route
    vehicle: str
    paint: Array

    @property
    def room(self) -> tuple[float, float]:
        """Half of length and width in metres."""
        return vehicles.ROOM[self.vehicle]

    def parts(self, time: float) -> Parts:
        place, heading = self.route.at(time), np.array(self.route.heading)
        machine = vehicles.MACHINES[self.vehicle](self.paint, place, heading)
        if self.vehicle != "cart":
            return machine
        pose = gait.sitting(0.85, forward=0.42, foot=(0.55, 0.48), lean=-0.05)
        return together(machine, build(self.look, pose, place - 0.2 * heading, heading))


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
