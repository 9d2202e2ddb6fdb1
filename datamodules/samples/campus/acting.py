"""People who do one thing after another: atomic actions, several at once, each with its time."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from datamodules.samples.campus import gait, gestures
from datamodules.samples.campus.arrays import Array
from datamodules.samples.campus.body import Look, Parts, Pose, build, to_world, together

BLEND = 0.4  # seconds in which one act turns into the next
LEGS = ("stand", "walk", "run", "jump", "crouch")
ARMS = ("free", "wave", "hold", "give", "take")
WITH_BALL = ("hold", "give")
BALL = 0.18  # metres, radius


@dataclass(frozen=True)
class Act:
    """What somebody does from one moment on.

    Args:
        begin: Second.
        legs: One of `LEGS`.
        arms: One of `ARMS`; whoever holds or gives has a ball in the hands.
        heading: Degrees to which the person is turned: 0 to the right, 90 away from the camera, -90 towards it.
        speed: Metres per second in that direction.
        watches: Whether the eyes are on somebody who performs. It changes nothing in how the person looks.
    """

    begin: float
    legs: str
    arms: str = "free"
    heading: float = 0.0
    speed: float = 0.0
    watches: bool = False

    @property
    def direction(self) -> Array:
        """Unit vector (2,)."""
        return np.array([np.cos(np.radians(self.heading)), np.sin(np.radians(self.heading))])

    @property
    def actions(self) -> tuple[str, ...]:
        """Words for all that is done at once."""
        hands = {"free": (), "wave": ("wave",), "hold": ("hold",), "give": ("hold", "give"), "take": ()}
        return (self.legs, *hands[self.arms], *(("watch",) if self.watches else ()))


@dataclass(frozen=True)
class Performer:
    """A person and a plan.

    Args:
        look: Clothes and proportions.
        start: Place (2,) in metres at the beginning of the first act.
        acts: One after the other; the first begins at or before time 0, the last never ends.
        ball: Reflectance (3,) of the ball in the hands.
        phase: Makes people move out of step: seconds added to the time of periodic motions.
    """

    look: Look
    start: tuple[float, float]
    acts: tuple[Act, ...]
    ball: Array
    phase: float = 0.0

    def act(self, time: float) -> Act:
        """What is done at ``time`` seconds."""
        return self.acts[self._number(time)]

    def at(self, time: float) -> Array:
        """Place (2,) at ``time`` seconds."""
        number = self._number(time)
        act = self.acts[number]
        return self._starts[number] + act.direction * act.speed * (time - act.begin)

    def parts(self, time: float) -> Parts:
        """Capsules of the person and of what is in the hands."""
        number = self._number(time)
        act, pose = self.acts[number], self._pose(number, time)
        heading = act.heading
        share = (time - act.begin) / BLEND
        if number and share < 1:
            share = share * share * (3 - 2 * share)
            last = self.acts[number - 1]
            pose = self._pose(number - 1, time).towards(pose, share)
            turn = (act.heading - last.heading + 180) % 360 - 180
            heading = last.heading + share * turn
        facing = np.array([np.cos(np.radians(heading)), np.sin(np.radians(heading))])
        body = build(self.look, pose, self.at(time), facing)
        if act.arms not in WITH_BALL:
            return body
        centre = np.array([gestures.grip(self.look, pose, BALL)], np.float32)
        point = to_world(centre, self.at(time), facing)
        ball = Parts(point, point + np.float32(1e-3), np.full((1, 2), BALL, np.float32), self.ball[None])
        return together(body, ball)

    @cached_property
    def _starts(self) -> list[Array]:
        places = [np.array(self.start, float)]
        for act, following in zip(self.acts, self.acts[1:], strict=False):
            places.append(places[-1] + act.direction * act.speed * (following.begin - act.begin))
        return places

    def _number(self, time: float) -> int:
        return max(sum(act.begin <= time for act in self.acts) - 1, 0)

    def _pose(self, number: int, time: float) -> Pose:
        act, clock = self.acts[number], time + self.phase
        if act.legs in ("walk", "run"):
            cycle = self.phase + act.speed * (time - act.begin) / gait.stride(self.look, act.speed)
            pose = (gait.walking if act.legs == "walk" else gait.running)(self.look, cycle)
        elif act.legs == "jump":
            pose = gait.jumping(self.look, time - act.begin)
        else:
            pose = (gait.standing if act.legs == "stand" else gait.crouching)(self.look, clock)
        if act.arms == "wave":
            return gestures.waving(pose, clock, aside=abs(act.direction[1]) > 0.6)
        if act.arms == "hold":
            return gestures.holding(pose)
        return pose if act.arms == "free" else gestures.reaching(pose)
