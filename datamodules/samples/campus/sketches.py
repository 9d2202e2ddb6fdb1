"""Short plays for a stage: who does what when, so that every action has a time, a place and a reason.

Whether somebody who stands *watches* shows in nothing but the rest of the picture: somebody in front jumps.
Watchers and others who stand look alike, are turned to the left as often as to the right, and stand in the same spots;
the others have their back to what happens, or nobody who jumps is there.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from datamodules.samples.campus.acting import Act, Performer
from datamodules.samples.campus.arrays import rgb
from datamodules.samples.campus.body import Look
from datamodules.samples.campus.stages import BACK, FRONT, WINGS

BALLS = [rgb(235, 110, 30), rgb(240, 220, 50), rgb(235, 235, 230), rgb(40, 90, 200), rgb(210, 40, 50)]
WALKING, RUNNING = (1.1, 1.5), (2.7, 3.3)  # metres per second
OUT, NEAR = 2.1, 0.9  # metres from the middle to the usual spots
APART = 1.27  # metres between two people who hand something over with stretched arms
TOWARDS = -90.0  # degrees: turned to the camera


def rehearse(sketch: str, duration: float, rng: np.random.Generator) -> list[Performer]:
    """Make up what happens in a video.

    Args:
        sketch: One of `SKETCHES`.
        duration: Seconds.
        rng: Draws people, spots and times.

    Returns:
        Everybody who is on the stage at any moment.
    """
    return SKETCHES[sketch](duration, rng) + _passers(duration, rng)


def _person(rng: np.random.Generator, spot: tuple[float, float], acts: list[Act]) -> Performer:
    look = replace(Look.draw(rng), luggage="none")  # a bag would be one more thing to carry
    return Performer(look, spot, tuple(acts), BALLS[rng.integers(len(BALLS))], float(rng.uniform(0, 6)))


def _side(rng: np.random.Generator) -> float:
    """-1 for the left half of the stage, 1 for the right one."""
    return float(rng.choice([-1.0, 1.0]))


def _spot(rng: np.random.Generator, side: float, out: float = OUT) -> tuple[float, float]:
    return float(side * out + rng.uniform(-0.25, 0.25)), float(FRONT + rng.uniform(-0.4, 0.5))


def _profile(rng: np.random.Generator, side: float) -> float:
    """Degrees of somebody who looks to ``side``, seen about from the side."""
    return float((0 if side > 0 else 180) + rng.uniform(-20, 20))


def _open(rng: np.random.Generator) -> float:
    """Degrees of somebody seen about from the front."""
    return float(TOWARDS + rng.uniform(-40, 40))


def _earlier(rng: np.random.Generator) -> float:
    """A moment before time 0, so that what repeats itself every second is not always seen in the same phase."""
    return float(rng.uniform(-1, 0))


def _passers(duration: float, rng: np.random.Generator) -> list[Performer]:
    """People who cross the stage behind the others and come back: some run, some carry a ball."""
    people = []
    for row, runs in enumerate([True, False] if rng.random() < 0.4 else [bool(rng.random() < 0.6)]):
        side, speed = _side(rng), float(rng.uniform(*(RUNNING if runs else WALKING)))
        x, moment = float(rng.uniform(-WINGS, WINGS)), 0.0
        arms, legs = ("hold" if rng.random() < 0.4 else "free"), ("run" if runs else "walk")
        acts, way = [], WINGS - side * x
        while moment < duration:
            acts.append(Act(moment, legs, arms, 0 if side > 0 else 180, speed))
            moment, side, way = moment + way / speed, -side, 2 * WINGS
        people.append(_person(rng, (x, BACK + 0.7 * row), acts))
    return people


def _performance(rng: np.random.Generator, begin: float, end: float) -> list[Act]:
    """Jumping, now and then with a waving hand."""
    acts, waves = [], bool(rng.random() < 0.5)
    while begin < end - 0.5:
        acts.append(Act(begin, "jump", "wave" if waves else "free", _open(rng)))
        begin, waves = begin + float(rng.integers(2, 4)), not waves
    return acts


def _show(duration: float, rng: np.random.Generator) -> list[Performer]:
    """One performs and one or two watch; before or after that, they stand there with nothing to watch."""
    side, speed = _side(rng), float(rng.uniform(*(RUNNING if rng.random() < 0.5 else WALKING)))
    legs, (x, y) = ("walk" if speed < 2 else "run"), _spot(rng, side)
    change, way = duration * float(rng.uniform(0.42, 0.58)), (WINGS - abs(x)) / speed
    comes = bool(rng.random() < 0.5)
    if comes:
        coming = Act(change - way, legs, "free", 180 if side > 0 else 0, speed)
        star = _person(rng, (side * WINGS, y), [Act(0, "stand"), coming, *_performance(rng, change, duration)])
    else:
        leaving = Act(change, legs, "free", 0 if side > 0 else 180, speed)
        star = _person(rng, (x, y), [*_performance(rng, _earlier(rng), change), leaving, Act(change + way, "stand")])
    audience = []
    for out in (OUT, NEAR) if rng.random() < 0.5 else (OUT,):
        there, away = _profile(rng, side), _profile(rng, -side)
        if comes:
            turned = there if rng.random() < 0.7 else away
            acts = [Act(0, "stand", "free", turned), Act(change, "stand", "free", there, watches=True)]
        else:  # people turn away from somebody who goes, and may turn back when nobody is there
            acts = [Act(0, "stand", "free", there, watches=True), Act(change, "stand", "free", away)]
            if rng.random() < 0.7:
                acts.append(Act(change + way, "stand", "free", there))
        audience.append(_person(rng, _spot(rng, -side, out), acts))
    return [star, *audience]


def _handover(duration: float, rng: np.random.Generator) -> list[Performer]:
    """Two hand a ball to each other again and again; somebody else has nothing to do with it."""
    side = _side(rng)
    x, y = _spot(rng, side, 1.3)
    plans: list[list[Act]] = [[], []]
    facing, holder = (0.0, 180.0), int(rng.integers(2))
    moment = float(rng.uniform(-1.2, 0))
    while moment < duration:
        offers = moment + float(rng.uniform(0.9, 1.5))
        reaches = offers + float(rng.uniform(1.5, 2.1))
        other = 1 - holder
        plans[holder] += [Act(moment, "stand", "hold", facing[holder]), Act(offers, "stand", "give", facing[holder])]
        plans[other] += [Act(moment, "stand", "free", facing[other]), Act(reaches, "stand", "take", facing[other])]
        moment, holder = reaches + 0.8, other
    first, second = (_person(rng, (x + shift * APART / 2, y), acts) for shift, acts in zip((-1, 1), plans, strict=True))
    return [first, replace(second, ball=first.ball), _bystander(duration, rng, -side)]


def _bystander(duration: float, rng: np.random.Generator, side: float) -> Performer:
    """Somebody with the back to the stage, who stands, squats or holds a ball."""
    acts, moment, turned = [], 0.0, _profile(rng, side)
    kinds = [("stand", "free"), ("crouch", "free"), ("stand", "hold"), ("stand", "free")]
    last = None
    while moment < duration:
        number = int(rng.choice([number for number in range(len(kinds)) if number != last]))
        acts.append(Act(moment, *kinds[number], turned))
        moment, last = moment + float(rng.uniform(3, 4.5)), number
    return _person(rng, _spot(rng, side, 2.3), acts)


def _exercise(duration: float, rng: np.random.Generator) -> list[Performer]:
    """Three people, each for itself: jumping, waving, squatting."""
    kinds = [("jump", "free"), ("stand", "wave"), ("crouch", "free"), ("crouch", "wave")]
    people = []
    for side in (-1, 0, 1):
        acts, moment, last = [], _earlier(rng), None
        while moment < duration:
            number = int(rng.choice([number for number in range(len(kinds)) if number != last]))
            acts.append(Act(moment, *kinds[number], _open(rng)))
            moment, last = moment + float(rng.integers(3, 5)), number
        people.append(_person(rng, _spot(rng, side, 2.2), acts))
    return people


SKETCHES: dict[str, Callable[[float, np.random.Generator], list[Performer]]] = {
    "show": _show,
    "handover": _handover,
    "exercise": _exercise,
}
