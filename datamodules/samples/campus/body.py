"""Human bodies as capsules: proportions, clothes, and the joints of a walking, running or riding person."""

from dataclasses import dataclass, field, fields
from typing import NamedTuple

import numpy as np

from datamodules.samples.campus.arrays import Array, rgb

SKIN = [rgb(226, 184, 156), rgb(205, 160, 128), rgb(166, 120, 92), rgb(112, 78, 60)]
HAIR = [rgb(32, 26, 24), rgb(58, 42, 32), rgb(96, 70, 46), rgb(150, 122, 82), rgb(120, 118, 116)]
TOPS = [
    rgb(168, 52, 48), rgb(52, 74, 122), rgb(214, 208, 198), rgb(44, 46, 50), rgb(92, 112, 84), rgb(196, 160, 76),
    rgb(122, 88, 120), rgb(98, 132, 160), rgb(150, 146, 140), rgb(210, 128, 88), rgb(70, 58, 52), rgb(60, 110, 108),
]  # fmt: skip
TROUSERS = [
    rgb(48, 56, 78), rgb(38, 38, 42), rgb(92, 84, 74), rgb(70, 84, 112), rgb(120, 112, 100), rgb(58, 52, 48),
]  # fmt: skip
SHOES = [rgb(34, 32, 32), rgb(190, 188, 184), rgb(92, 64, 46), rgb(60, 60, 70)]
BAGS = [rgb(40, 40, 44), rgb(132, 60, 50), rgb(60, 76, 92), rgb(112, 96, 70)]


Point = tuple[float, float, float]
"""A point (forward, left, up) of a body's own frame in metres."""


class Parts(NamedTuple):
    """What a figure consists of, in world metres: P capsules with a radius at each end, and Q flat panels.

    Attributes:
        start, end: Centres of the ends of the capsules (P, 3).
        radius: Their radii (P, 2).
        colour: Their reflectances (P, 3).
        corners: Corners of the panels (Q, 4, 3), convex; two may be one.
        paint: Reflectances of the panels (Q, 3).
    """

    start: Array
    end: Array
    radius: Array
    colour: Array
    corners: Array = np.zeros((0, 4, 3), np.float32)
    paint: Array = np.zeros((0, 3), np.float32)


@dataclass(frozen=True)
class Look:
    """What makes a person recognisable.

    Args:
        height: Metres.
        girth: Thickness of trunk and limbs, relative.
        top, trousers, skin, hair, shoes, bag: Reflectances (3,).
        sleeves: Whether the forearms are covered.
        coat: How far the coat or skirt reaches from the waist (0) to the knee (1).
        long_hair: Whether the hair covers the neck.
        luggage: ``backpack``, ``shoulder`` or ``none``.
    """

    height: float
    girth: float
    top: Array
    trousers: Array
    skin: Array
    hair: Array
    shoes: Array
    bag: Array
    sleeves: bool
    coat: float
    long_hair: bool
    luggage: str

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Look":
        """Dress a random person."""
        return cls(
            height=float(np.clip(rng.normal(1.72, 0.08), 1.55, 1.92)),
            girth=float(np.clip(rng.normal(1.0, 0.08), 0.85, 1.2)),
            top=_dye(rng, TOPS),
            trousers=_dye(rng, TROUSERS),
            skin=_dye(rng, SKIN),
            hair=_dye(rng, HAIR),
            shoes=_dye(rng, SHOES),
            bag=_dye(rng, BAGS),
            sleeves=bool(rng.random() < 0.65),
            coat=float(rng.choice([0.0, 0.0, 0.25, 0.6, 1.0])),
            long_hair=bool(rng.random() < 0.4),
            luggage=str(rng.choice(["none", "backpack", "backpack", "shoulder", "none"])),
        )


def _dye(rng: np.random.Generator, colours: list[Array]) -> Array:
    return colours[rng.integers(len(colours))] * rng.uniform(0.8, 1.2)


@dataclass
class Pose:
    """How a body holds its limbs, in its own frame; lists hold left and right.

    Args:
        hip: Height of the hips in metres.
        lean: Angle of the trunk in radians, forward positive.
        ankles: (forward, up) in metres from the point of the ground below the hips.
        arms: Angle of the upper arm from hanging, forward positive, and bend of the elbow, in radians.
        toes: Angle by which the feet point down, in radians.
        spread: Metres by which each foot stands wider than its hip.
        sides: Angles by which upper arm and forearm are turned away from the body, sideways, in radians.
    """

    hip: float
    lean: float
    ankles: list[tuple[float, float]]
    arms: list[tuple[float, float]]
    toes: list[float] = field(default_factory=lambda: [0.0, 0.0])
    spread: float = 0.0
    sides: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.0), (0.0, 0.0)])

    def towards(self, other: "Pose", share: float) -> "Pose":
        """The pose between this one (``share`` 0) and ``other`` (1)."""

        def between(first, second):
            if isinstance(first, (list, tuple)):
                return type(first)(between(*pair) for pair in zip(first, second, strict=True))
            return first + share * (second - first)

        return Pose(*(between(getattr(self, item.name), getattr(other, item.name)) for item in fields(self)))


def two_bones(
    root: tuple[float, float], tip: tuple[float, float], first: float, second: float, bend: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Place the joint of a limb of two bones in its plane (forward, up).

    Args:
        root: Hip or shoulder.
        tip: Where ankle or wrist should be; pulled closer when out of reach.
        first: Length of the upper bone.
        second: Length of the lower bone.
        bend: +1 when the joint points forward (knee), -1 when it points backward (elbow).

    Returns:
        The joint and the tip.
    """
    way = np.array(tip) - root
    length = float(np.hypot(*way))
    reach = min(max(length, abs(first - second) + 1e-3), (first + second) * 0.999)
    way = way / max(length, 1e-6)
    cosine = (first**2 + reach**2 - second**2) / (2 * first * reach)
    sine = bend * np.sqrt(max(0.0, 1 - cosine**2))
    turned = np.array([way[0] * cosine - way[1] * sine, way[0] * sine + way[1] * cosine])
    joint, end = root + first * turned, root + reach * way
    return (float(joint[0]), float(joint[1])), (float(end[0]), float(end[1]))


def on_trunk(look: Look, pose: Pose, up: float, left: float = 0.0, forward: float = 0.0) -> Point:
    """A point ``up`` body heights above the hips, leaning with the trunk."""
    sine, cosine, rise = np.sin(pose.lean), np.cos(pose.lean), up * look.height
    return (sine * rise + cosine * forward, left, pose.hip + cosine * rise - sine * forward)


def arm(look: Look, pose: Pose, side: int) -> tuple[Point, Point, Point]:
    """Shoulder, elbow and wrist of the left (0) or right (1) arm."""
    (swing, flex), (upper, fore) = pose.arms[side], pose.sides[side]
    left, out = (0.185, 1.0) if side == 0 else (-0.185, -1.0)
    first, second = 0.165 * look.height, 0.15 * look.height
    top = on_trunk(look, pose, 0.29, left)
    aside = out * first * np.cos(swing) * np.sin(upper)
    elbow = (
        top[0] + first * np.sin(swing),
        left * 1.15 + aside,
        top[2] - first * np.cos(swing) * np.cos(upper),
    )
    wrist = (
        elbow[0] + second * np.sin(swing + flex),
        left + aside + out * second * np.cos(swing + flex) * np.sin(fore),
        elbow[2] - second * np.cos(swing + flex) * np.cos(fore),
    )
    return top, elbow, wrist


def build(look: Look, pose: Pose, place: Array, heading: Array) -> Parts:
    """Cover the joints of ``pose`` with capsules.

    Args:
        look: Proportions and colours.
        pose: Joints.
        place: Point of the ground below the hips (2,) or (3,) in metres.
        heading: Unit vector (2,) the body faces.
    """
    size, g = look.height, look.girth
    thigh = shank = 0.245 * size
    rows: list[tuple] = []

    def add(start: tuple, end: tuple, first: float, last: float, colour: Array) -> None:
        rows.append((start, end, first * size / 1.72, last * size / 1.72, colour))

    def trunk(up: float, left: float = 0.0, forward: float = 0.0) -> Point:
        return on_trunk(look, pose, up, left, forward)

    for side, (ankle, toe) in enumerate(zip(pose.ankles, pose.toes, strict=True)):
        left = (0.085 if side == 0 else -0.085) * g
        stance = left + (pose.spread if side == 0 else -pose.spread)
        knee, foot = two_bones((0.0, pose.hip), ankle, thigh, shank, 1.0)
        add((0.0, left, pose.hip), (knee[0], stance, knee[1]), 0.088 * g, 0.062 * g, look.trousers)
        add((knee[0], stance, knee[1]), (foot[0], stance, foot[1]), 0.060 * g, 0.043 * g, look.trousers)
        tip = (foot[0] + 0.15 * np.cos(toe), stance, foot[1] - 0.045 - 0.15 * np.sin(toe))
        add((foot[0] - 0.03, stance, foot[1] - 0.03), tip, 0.048, 0.036, look.shoes)
    for left in (0.065, -0.065):
        add(trunk(0.02, left * g), trunk(0.285, left * 1.6 * g), 0.098 * g, 0.088 * g, look.top)
    add(trunk(0.285, -0.13), trunk(0.285, 0.13), 0.075, 0.075, look.top)
    if look.coat:
        swing = 0.25 * (pose.ankles[0][0] + pose.ankles[1][0])
        hem = pose.hip - look.coat * 0.24 * size - 0.06
        for left in (0.07, -0.07):
            add(trunk(0.05, left), (swing, left * 1.3, hem), 0.105 * g, 0.115 * g, look.top)
    add(trunk(0.29), trunk(0.35, 0, 0.01), 0.05, 0.05, look.skin)
    add(trunk(0.36, 0, 0.035), trunk(0.40, 0, 0.04), 0.066, 0.072, look.skin)
    add(trunk(0.40, 0, -0.02), trunk(0.43, 0, 0.0), 0.088, 0.088, look.hair)
    if look.long_hair:
        add(trunk(0.41, 0, -0.03), trunk(0.30, 0, -0.06), 0.082, 0.06, look.hair)
    for side in (0, 1):
        top, elbow, hand = arm(look, pose, side)
        add(top, elbow, 0.056 * g, 0.047 * g, look.top)
        add(elbow, hand, 0.044 * g, 0.036 * g, look.top if look.sleeves else look.skin)
        add(hand, (hand[0], hand[1], hand[2] - 0.05), 0.04, 0.036, look.skin)
    if look.luggage == "backpack":
        add(trunk(0.08, 0, -0.17), trunk(0.25, 0, -0.16), 0.125, 0.11, look.bag)
    elif look.luggage == "shoulder":
        add(trunk(-0.03, -0.22, -0.04), trunk(-0.03, -0.22, 0.10), 0.11, 0.11, look.bag)
        add(trunk(0.0, -0.2), trunk(0.29, 0.06, -0.02), 0.02, 0.02, look.bag * 0.6)

    local = np.array([(row[0], row[1]) for row in rows], np.float32)
    return Parts(
        start=to_world(local[:, 0], place, heading),
        end=to_world(local[:, 1], place, heading),
        radius=np.array([row[2:4] for row in rows], np.float32),
        colour=np.stack([row[4] for row in rows]).astype(np.float32),
    )


def to_world(local: Array, place: Array, heading: Array) -> Array:
    """Turn points (N, 3) given as (forward, left, up) of a thing at ``place`` that faces ``heading``."""
    axes = np.array([[heading[0], heading[1], 0], [-heading[1], heading[0], 0], [0, 0, 1]], np.float32)
    return local @ axes + np.array([place[0], place[1], place[2] if len(place) > 2 else 0.0], np.float32)


def together(*figures: Parts) -> Parts:
    """Several figures as one."""
    return Parts(*(np.concatenate(fields) for fields in zip(*figures, strict=True)))
