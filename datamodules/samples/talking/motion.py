"""How people sit, sway and walk, and where the wearer of the camera looks."""

from dataclasses import dataclass

import numpy as np

from datamodules.samples.talking.speech import Array
from datamodules.samples.talking.story import Part

GAZE = (1.2, 3.2)  # seconds that the wearer looks at somebody
TO_SPEAKER = 0.45  # share of looks that go to one who speaks; the others go to anybody
CALM = 0.3  # seconds in which the camera follows the gaze


@dataclass(frozen=True)
class Path:
    """Movement of a head (n,), per frame: middle and half height in pixels of the room, angles, eyes.

    Attributes:
        x, y, scale: Middle and half height in pixels of the room.
        roll, yaw, pitch: Angles in radians.
        eyes: Openness of the eyes, 0 to 1.
        gaze: Direction of the eyes (n, 2), -1 to 1.
    """

    x: Array
    y: Array
    scale: Array
    roll: Array
    yaw: Array
    pitch: Array
    eyes: Array
    gaze: Array


def sit(
    seat: tuple[float, float, float], opening: Array, times: np.ndarray, walks: float, rng: np.random.Generator
) -> Path:
    """Move a head.

    Args:
        seat: Middle and half height in pixels of the room.
        opening: Of the mouth (n,); heads nod with it, whether it is heard or not.
        times: Second of each frame (n,).
        walks: How far in pixels the person walks away for some seconds; 0 to stay.
        rng: Draws.
    """
    x, y, scale = seat
    emphasis = np.convolve(np.pad(opening, 4, mode="edge"), np.hanning(11)[1:-1] / 5, mode="valid")
    leave, back = (rng.uniform(*span) * times[-1] for span in ((0.1, 0.4), (0.6, 0.8)))
    away = _ease((times - leave) / 1.6) * (1 - _ease((times - back) / 1.6))
    blink = np.min([abs(times - moment) for moment in _moments(times[-1], (1.5, 4.5), rng)], axis=0)
    look = np.stack([_steps(times, (0.8, 2.5), rng), 0.5 * _steps(times, (0.8, 2.5), rng)], 1)
    return Path(
        x=x + scale * 0.12 * wander(times, 0.35, rng) + walks * away,
        y=y
        + scale * 0.06 * wander(times, 0.5, rng)
        + scale * 0.04 * emphasis
        - 0.15 * abs(walks * away) * (scale / 300),
        scale=scale * (1 + 0.035 * wander(times, 0.2, rng)),
        roll=0.05 * wander(times, 0.4, rng),
        yaw=rng.uniform(-0.12, 0.12) + 0.16 * wander(times, 0.3, rng) + 0.7 * np.sign(walks) * away * (1 - away) * 4,
        pitch=0.03 + 0.05 * wander(times, 0.5, rng) + 0.03 * emphasis,
        eyes=np.clip((blink - 0.05) / 0.06, 0.0, 1.0),
        gaze=look.astype(np.float32),
    )


def look_around(
    seats: list[float], parts: list[Part], times: np.ndarray, limit: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Place (n, 2) int of the upper left corner of what the camera sees, in pixels of the room.

    Args:
        seats: Middle of each head, seen from the middle of the room, in pixels.
        parts: What they say.
        times: Second of each frame (n,).
        limit: Rows and columns that the camera can turn to on either side.
        rng: Draws.
    """
    target, until, aim = np.zeros(len(times)), -1.0, 0.0
    for index, time in enumerate(times):
        if time >= until:
            speaking = [k for k, part in enumerate(parts) if any(u.begin <= time < u.end for u in part.spoken)]
            among = speaking if speaking and rng.random() < TO_SPEAKER else range(len(seats))
            aim, until = seats[rng.choice(among)] * rng.uniform(0.4, 1.0), time + rng.uniform(*GAZE)
        target[index] = aim
    step = times[1] - times[0]
    delay = np.exp(-np.arange(0, 5 * CALM, step) / CALM) * np.arange(0, 5 * CALM, step)
    target = np.convolve(np.pad(target, (len(delay) - 1, 0), mode="edge"), delay / delay.sum(), mode="valid")
    shake = limit[0] * 0.14
    across = target + shake * wander(times, 1.1, rng) + 0.3 * shake * wander(times, 3.0, rng)
    down = 3 * shake * wander(times, 0.3, rng) + shake * wander(times, 1.3, rng)
    corner = [limit[0] + np.clip(down, -limit[0], limit[0]), limit[1] + np.clip(across, -limit[1], limit[1])]
    return np.stack(corner, 1).round().astype(int)


def wander(times: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth movement (n,) about 0, mostly within -1..1, that turns about ``rate`` times a second."""
    waves = [
        np.sin(2 * np.pi * rate * rng.uniform(low, high) * times + rng.uniform(0, 6.3))
        for low, high in ((0.4, 0.8), (0.9, 1.3), (1.5, 2.2))
    ]
    return 0.6 * waves[0] + 0.4 * waves[1] + 0.2 * waves[2]


def _ease(share: np.ndarray) -> np.ndarray:
    share = np.clip(share, 0, 1)
    return share * share * (3 - 2 * share)


def _moments(end: float, pause: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    return np.cumsum(rng.uniform(*pause, 2 + int(end / pause[0]))) - rng.uniform(*pause)


def _steps(times: np.ndarray, pause: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """A value in [-1, 1] that jumps now and then."""
    jumps = np.searchsorted(np.sort(_moments(times[-1], pause, rng)), times)
    return rng.uniform(-1, 1, jumps.max() + 1)[jumps]
