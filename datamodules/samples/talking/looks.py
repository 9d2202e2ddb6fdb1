"""What people look like."""

from dataclasses import dataclass

import numpy as np

from datamodules.samples.talking.speech import Array

SKIN = ((246, 210, 182), (238, 190, 156), (224, 172, 132), (208, 146, 104), (178, 120, 84), (140, 96, 72))
HAIR = ((28, 22, 20), (58, 40, 30), (96, 66, 42), (150, 104, 58), (196, 160, 104), (130, 128, 128))
DARK = 2  # skins behind this one go with dark hair
IRIS = ((70, 44, 26), (96, 66, 34), (72, 96, 66), (70, 100, 140))
SHIRT = ((40, 60, 110), (120, 36, 40), (50, 96, 70), (170, 160, 146), (70, 70, 78), (196, 140, 60), (96, 60, 110))


def light(colour: tuple[int, int, int]) -> Array:
    """Reflectance (3,) of an sRGB colour, with the square as tone curve, whose inverse is quickly taken."""
    return (np.array(colour, np.float32) / 255) ** 2


@dataclass(frozen=True)
class Look:
    """What a person looks like; lengths in half heights of the head.

    Args:
        skin, hair, iris, shirt: Reflectances (3,).
        style: ``bald``, ``short``, ``bob`` or ``long``.
        hairline: Height of the forehead's upper edge, negative upwards.
        beard: 0 none to 1 full.
        glasses: Whether the person wears glasses.
        width: Half width of the head.
        jaw: How much narrower the jaw is.
        nose: Size of the nose.
        mouth: Half width of the mouth.
        brows: Strength of the eyebrows.
        stripes: Whether the shirt has stripes.
        seed: Of all that is irregular.
    """

    skin: Array
    hair: Array
    iris: Array
    shirt: Array
    style: str
    hairline: float
    beard: float
    glasses: bool
    width: float
    jaw: float
    nose: float
    mouth: float
    brows: float
    stripes: bool
    seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Look":
        """Draw somebody."""

        def shade(colours: tuple[tuple[int, int, int], ...]) -> Array:
            return light(colours[rng.integers(len(colours))]) * np.float32(rng.uniform(0.85, 1.1))

        tone = rng.integers(len(SKIN))
        style = str(rng.choice(["bald", "short", "short", "bob", "long"]))
        bearded = style in ("bald", "short") and rng.random() < 0.45
        return cls(
            skin=shade(SKIN[tone : tone + 1]),
            hair=shade(HAIR[:2] if tone > DARK else HAIR),
            iris=shade(IRIS),
            shirt=shade(SHIRT),
            style=style,
            hairline=float(rng.uniform(-0.66, -0.48)),
            beard=float(rng.uniform(0.3, 0.9)) if bearded else 0.0,
            glasses=bool(rng.random() < 0.25),
            width=float(rng.uniform(0.7, 0.78)),
            jaw=float(rng.uniform(0.03, 0.12)),
            nose=float(rng.uniform(0.85, 1.2)),
            mouth=float(rng.uniform(0.28, 0.33)),
            brows=float(rng.uniform(0.5, 1.0)),
            stripes=bool(rng.random() < 0.4),
            seed=int(rng.integers(2**31)),
        )
