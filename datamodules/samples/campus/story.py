"""Who does what in a video: people who walk, and in test videos something that does not belong there."""

from dataclasses import dataclass

import numpy as np

from datamodules.samples.campus.actors import WIND_UP, Actor, Pedestrian, Rider, Route, Thrown
from datamodules.samples.campus.arrays import rgb
from datamodules.samples.campus.body import Look
from datamodules.samples.campus.places import Lane, Place

KINDS = ("bicycle", "running", "throwing", "scooter", "chasing", "skateboard")
"""Kinds of anomalies, in the order in which videos get them."""

PERSONAL_SPACE = 0.75  # metres between the centres of two people


@dataclass(frozen=True)
class Role:
    """A part in the story.

    Args:
        actor: Who plays it.
        kind: Kind of anomaly, None for normal behaviour.
        begin, end: Seconds between which the behaviour is anomalous.
        otherwise: Who is there instead when the same video is filmed without its anomaly.
    """

    actor: Actor
    kind: str | None = None
    begin: float = -np.inf
    end: float = np.inf
    otherwise: Actor | None = None


def tell(place: Place, duration: float, kind: str | None, rng: np.random.Generator) -> list[Role]:
    """Make up the story of a video of ``duration`` seconds with an anomaly of ``kind``, or with none."""
    roles = [Role(walker) for walker in crowd(place, duration, rng)]
    if kind is None:
        return roles
    return roles + ANOMALIES[kind](place, duration, rng)


def crowd(place: Place, duration: float, rng: np.random.Generator) -> list[Pedestrian]:
    """People who walk with the flow of their lanes, some in pairs, without bumping into each other."""
    people: list[Pedestrian] = []
    wanted = int(rng.integers(5, 10))
    for _ in range(6 * wanted):
        if len(people) >= wanted:
            break
        lane = place.lanes[rng.integers(len(place.lanes))]
        speed = float(np.clip(rng.normal(1.3, 0.14), 0.95, 1.7))
        along = rng.uniform(-0.9 * speed * duration, lane.length)
        aside = rng.uniform(-0.5, 0.5) * lane.width
        group = [aside] if rng.random() < 0.7 else [aside - 0.42, aside + 0.42]
        newcomers = [
            Pedestrian(Look.draw(rng), _route(lane, along + rng.uniform(-0.15, 0.15), side, speed), float(rng.random()))
            for side in group
        ]
        if all(_apart(new, old, duration) for new in newcomers for old in people):
            people += newcomers
    return people


def _route(lane: Lane, along: float, aside: float, speed: float, *, against: bool = False) -> Route:
    x, y = lane.heading
    start = (lane.start[0] + along * x - aside * y, lane.start[1] + along * y + aside * x)
    return Route(start, (-x, -y) if against else (x, y), speed)


def _apart(first: Pedestrian, second: Pedestrian, duration: float) -> bool:
    times = np.arange(0, duration, 0.25)
    gaps = [first.route.at(time) - second.route.at(time) for time in times]
    return bool((np.hypot(*np.transpose(gaps)) > PERSONAL_SPACE).all())


def _passage(
    lane: Lane, duration: float, speed: float, rng: np.random.Generator, *, against: bool
) -> tuple[float, float]:
    """Where on the lane, and how far aside, somebody must be at time 0 to pass through in the middle of the video."""
    middle = duration * rng.uniform(0.42, 0.58)
    half = lane.length / 2
    along = half + speed * middle if against else half - speed * middle
    return along, rng.uniform(-0.4, 0.4) * lane.width


def _riding(vehicle: str, slow: float, fast: float):
    def roles(place: Place, duration: float, rng: np.random.Generator) -> list[Role]:
        lane = place.lanes[rng.integers(min(2, len(place.lanes)))]
        speed = float(rng.uniform(slow, fast))
        along, aside = _passage(lane, duration, speed, rng, against=False)
        paint = [rgb(170, 40, 40), rgb(40, 70, 130), rgb(40, 44, 48), rgb(210, 210, 205)][rng.integers(4)]
        return [Role(Rider(Look.draw(rng), _route(lane, along, aside, speed), vehicle, paint), vehicle)]

    return roles


def _running(place: Place, duration: float, rng: np.random.Generator) -> list[Role]:
    lane = place.lanes[rng.integers(min(2, len(place.lanes)))]
    speed = float(rng.uniform(3.4, 4.2))
    along, aside = _passage(lane, duration, speed, rng, against=True)
    return [Role(Pedestrian(Look.draw(rng), _route(lane, along, aside, speed, against=True)), "running")]


def _chasing(place: Place, duration: float, rng: np.random.Generator) -> list[Role]:
    lane = place.lanes[rng.integers(min(2, len(place.lanes)))]
    speed = float(rng.uniform(3.6, 4.4))
    along, aside = _passage(lane, duration, speed, rng, against=False)
    gap = rng.uniform(1.6, 2.4)
    return [
        Role(Pedestrian(Look.draw(rng), _route(lane, along + place_, aside + side, speed), phase), "chasing")
        for place_, side, phase in ((gap / 2, 0.15, 0.0), (-gap / 2, -0.15, 0.3))
    ]


def _throwing(place: Place, duration: float, rng: np.random.Generator) -> list[Role]:
    lane = place.lanes[rng.integers(min(2, len(place.lanes)))]
    speed, moment = float(rng.uniform(1.1, 1.4)), float(duration * rng.uniform(0.38, 0.5))
    along, aside = lane.length * rng.uniform(0.35, 0.5) - speed * moment, rng.uniform(-0.3, 0.3) * lane.width
    look, phase, route = Look.draw(rng), float(rng.random()), _route(lane, along, aside, speed)
    x, y = lane.heading
    hand = route.at(moment) + 0.5 * np.array([x, y]) - 0.2 * np.array([-y, x])
    push = rng.uniform(6.0, 8.0)
    thrown = Thrown(
        origin=(float(hand[0]), float(hand[1]), look.height * 1.08),
        velocity=(float(push * x), float(push * y), float(rng.uniform(3.4, 4.6))),
        start=moment,
        radius=float(rng.uniform(0.13, 0.17)),
        colour=[rgb(214, 92, 40), rgb(222, 214, 60), rgb(230, 228, 222), rgb(60, 90, 170)][rng.integers(4)],
    )
    begin, end = moment - WIND_UP, thrown.rest()
    return [
        Role(Pedestrian(look, route, phase, moment), "throwing", begin, end, otherwise=Pedestrian(look, route, phase)),
        Role(thrown, "throwing", begin, end),
    ]


ANOMALIES = {
    "bicycle": _riding("bicycle", 3.8, 5.0),
    "running": _running,
    "throwing": _throwing,
    "scooter": _riding("scooter", 3.6, 4.6),
    "chasing": _chasing,
    "skateboard": _riding("skateboard", 3.0, 4.0),
}
