"""Who does what in a video: people who walk, and in test videos something that does not belong there."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from datamodules.samples.campus.actors import FOLLOW_THROUGH, WIND_UP, Actor, Driver, Pedestrian, Rider, Route, Thrown
from datamodules.samples.campus.arrays import rgb
from datamodules.samples.campus.body import Look
from datamodules.samples.campus.place import Lane, Place
from datamodules.samples.campus.vehicles import ROOM

PAINTS = [rgb(170, 40, 40), rgb(40, 70, 130), rgb(40, 44, 48), rgb(210, 210, 205)]
LACQUERS = [
    rgb(186, 36, 34),
    rgb(36, 74, 150),
    rgb(226, 226, 220),
    rgb(232, 180, 40),
    rgb(104, 120, 140),
    rgb(70, 130, 90),
]
BALLS = [rgb(214, 92, 40), rgb(222, 214, 60), rgb(230, 228, 222), rgb(60, 90, 170)]
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

    def normally(self) -> "Role | None":
        """The part in the same video without its anomaly, None if it has none there."""
        if self.kind is None:
            return self
        return None if self.otherwise is None else Role(self.otherwise)


def tell(place: Place, duration: float, kind: str | None, rng: np.random.Generator) -> list[Role]:
    """Make up the story of a video of ``duration`` seconds with an anomaly of ``kind``, or with none.

    A normal story is one with an anomaly of any kind that is left out: people have kept clear of its way all the same,
    so that nothing but the anomaly itself tells the two apart.
    """
    unusual = ANOMALIES[kind or TURNS[rng.integers(len(TURNS))]](place, duration, rng)
    roles = [Role(walker) for walker in crowd(place, duration, [role.actor for role in unusual], rng)] + unusual
    return roles if kind is not None else without_anomaly(roles)


def without_anomaly(roles: list[Role]) -> list[Role]:
    """The same story in which nothing unusual happens."""
    return [part for role in roles if (part := role.normally()) is not None]


def crowd(place: Place, duration: float, others: list[Actor], rng: np.random.Generator) -> list[Pedestrian]:
    """People who walk with the flow of their lanes, some in pairs, without bumping into each other or ``others``."""
    people: list[Pedestrian] = []
    moving = [other for other in others if isinstance(other, Pedestrian | Rider | Driver)]
    wanted = int(rng.integers(3, 7))
    for _ in range(8 * wanted):
        if len(people) >= wanted:
            break
        lane = place.lanes[rng.integers(len(place.lanes))]
        first, last = lane.visible(place.camera)
        speed = float(np.clip(rng.normal(1.3, 0.14), 0.95, 1.7))
        along = rng.uniform(first - 0.8 * speed * duration, last - 1)
        aside = rng.uniform(-0.5, 0.5) * lane.width
        group = [aside] if rng.random() < 0.7 else [aside - 0.42, aside + 0.42]
        newcomers = [
            Pedestrian(Look.draw(rng), _route(lane, along + rng.uniform(-0.15, 0.15), side, speed), float(rng.random()))
            for side in group
        ]
        if all(_apart(new, old, duration) for new in newcomers for old in people + moving):
            people += newcomers
    return people


def _route(lane: Lane, along: float, aside: float, speed: float, *, against: bool = False) -> Route:
    """A way along ``lane`` that begins ``along`` metres from its start and ``aside`` metres to its left."""
    x, y = lane.heading
    start = (lane.start[0] + along * x - aside * y, lane.start[1] + along * y + aside * x)
    return Route(start, (-x, -y) if against else (x, y), speed)


def _apart(walker: Pedestrian, other: Pedestrian | Rider | Driver, duration: float) -> bool:
    """Whether somebody on foot never comes close to ``other``, which may be a long vehicle."""
    (x, y), room = other.route.heading, np.array(other.room)
    gaps = np.array([walker.route.at(time) - other.route.at(time) for time in np.arange(0, duration, 0.25)])
    gaps = np.abs(gaps @ np.array([[x, -y], [y, x]])) - room
    return bool((np.hypot(*gaps.clip(min=0).T) > PERSONAL_SPACE).all())


def _passage(
    place: Place,
    duration: float,
    speeds: tuple[float, float],
    rng: np.random.Generator,
    *,
    ahead: float = 0.0,
    against: bool = False,
) -> tuple[Lane, float, float, float]:
    """A lane, a place on it at time 0 (along, aside) and a speed with which something passes mid-video.

    ``ahead`` is half its length in metres.
    """
    lane = place.ways[rng.integers(len(place.ways))]
    middle = duration * rng.uniform(0.45, 0.55)
    first, last = lane.visible(place.camera)
    # fast enough to leave normal frames at both ends, but not faster than anybody could be
    needed = (last - first + 2 * ahead) / (0.55 * duration)
    speed = float(min(max(rng.uniform(*speeds), needed), 1.5 * speeds[1]))
    centre = (first + last) / 2
    along = centre + speed * middle if against else centre - speed * middle
    return lane, along, rng.uniform(-0.4, 0.4) * lane.width, speed


def _riding(vehicle: str, slow: float, fast: float) -> Callable[[Place, float, np.random.Generator], list[Role]]:
    def roles(place: Place, duration: float, rng: np.random.Generator) -> list[Role]:
        kind, paints = (Driver, LACQUERS) if vehicle in ROOM else (Rider, PAINTS)
        ahead = ROOM[vehicle][0] if vehicle in ROOM else 0.0
        route = _route(*_passage(place, duration, (slow, fast), rng, ahead=ahead))
        return [Role(kind(Look.draw(rng), route, vehicle, paints[rng.integers(len(paints))]), vehicle)]

    return roles


def _running(place: Place, duration: float, rng: np.random.Generator) -> list[Role]:
    route = _route(*_passage(place, duration, (3.5, 4.2), rng, against=True), against=True)
    return [Role(Pedestrian(Look.draw(rng), route), "running")]


def _chasing(place: Place, duration: float, rng: np.random.Generator) -> list[Role]:
    lane, along, aside, speed = _passage(place, duration, (3.8, 4.4), rng)
    gap = rng.uniform(1.6, 2.4)
    return [
        Role(Pedestrian(Look.draw(rng), _route(lane, along + ahead, aside + side, speed), phase), "chasing")
        for ahead, side, phase in ((gap / 2, 0.15, 0.0), (-gap / 2, -0.15, 0.3))
    ]


def _throwing(place: Place, duration: float, rng: np.random.Generator) -> list[Role]:
    lane = place.lanes[0]  # where lanes lead away from the camera, the first one begins near it
    first, last = lane.visible(place.camera)
    speed, moment = float(rng.uniform(1.1, 1.4)), float(duration * rng.uniform(0.35, 0.5))
    nearest = first + rng.uniform(0.15, 0.45) * min(last - first, 12.0)
    along, aside = nearest - speed * moment, rng.uniform(-0.3, 0.3) * lane.width
    look, phase, route = Look.draw(rng), float(rng.random()), _route(lane, along, aside, speed)
    x, y = lane.heading
    hand = route.at(moment) + 0.5 * np.array([x, y]) - 0.2 * np.array([-y, x])
    push = rng.uniform(4.5, 6.5)
    thrown = Thrown(
        origin=(float(hand[0]), float(hand[1]), look.height * 1.08),
        velocity=(float(push * x), float(push * y), float(rng.uniform(3.4, 4.6))),
        start=moment,
        radius=float(rng.uniform(0.16, 0.20)),
        colour=BALLS[rng.integers(len(BALLS))],
    )
    walker = Pedestrian(look, route, phase)
    thrower = Pedestrian(look, route, phase, throws_at=moment)
    return [
        Role(thrower, "throwing", moment - WIND_UP, moment + FOLLOW_THROUGH, otherwise=walker),
        Role(thrown, "throwing", moment, thrown.rest()),
    ]


ANOMALIES = {
    "bicycle": _riding("bicycle", 3.8, 5.0),
    "running": _running,
    "throwing": _throwing,
    "scooter": _riding("scooter", 3.6, 4.6),
    "chasing": _chasing,
    "skateboard": _riding("skateboard", 3.0, 4.0),
    "car": _riding("car", 3.2, 4.2),
    "van": _riding("van", 3.2, 4.2),
    "cart": _riding("cart", 3.2, 4.2),
    "motorcycle": _riding("motorcycle", 4.2, 5.4),
}
"""Roles of each kind of anomaly, made from the place, the length of the video in seconds and a generator."""

KINDS = tuple(ANOMALIES)
"""Kinds of anomalies."""

TURNS = (
    "car", "van", "bicycle", "running", "throwing", "motorcycle", "car",
    "chasing", "cart", "van", "scooter", "motorcycle", "skateboard", "cart",
)  # fmt: skip
"""The order in which videos get them: about every second is of those that are seen from afar."""
