"""Film a story: frames, and what can be seen of every actor in each of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from datamodules.samples.campus import painter
from datamodules.samples.campus.arrays import Array
from datamodules.samples.campus.backdrop import Backdrop
from datamodules.samples.campus.camera import Sensor
from datamodules.samples.campus.place import Place
from datamodules.samples.campus.places import visit
from datamodules.samples.campus.story import Role, tell, without_anomaly

FPS = 24  # of the ShanghaiTech Campus videos
SMALLEST = 8  # pixels of a figure that count as seen, at 160 x 240; fewer would not be annotated


@dataclass(frozen=True)
class Sighting:
    """An actor in a frame.

    Attributes:
        actor: Number of the role.
        kind: Kind of anomaly it shows at this moment, None if normal.
        box: x1, y1, x2, y2 in pixels, the last two exclusive, of what can be seen of it.
        visible: Share of the figure that nothing hides.
    """

    actor: int
    kind: str | None
    box: tuple[int, int, int, int]
    visible: float


@dataclass(frozen=True)
class Shot:
    """A frame (H, W, 3) uint8 and the actors in it."""

    image: np.ndarray
    sightings: list[Sighting]


@dataclass(frozen=True)
class Weather:
    """Light that drifts slowly, as clouds pass and the camera's exposure follows.

    Args:
        sun: Mean factor on the sun's strength.
        drift: Amplitudes of sun and exposure.
        period: Seconds of the two drifts.
        phase: Where they start, in radians.
    """

    sun: float
    drift: tuple[float, float]
    period: tuple[float, float]
    phase: tuple[float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Weather":
        """Draw the weather of a video."""
        return cls(
            sun=float(rng.uniform(0.65, 1.05)),
            drift=(float(rng.uniform(0.02, 0.08)), float(rng.uniform(0.004, 0.012))),
            period=(float(rng.uniform(7, 16)), float(rng.uniform(4, 9))),
            phase=tuple(rng.uniform(0, 2 * np.pi, 2)),
        )

    def at(self, time: float) -> tuple[float, float]:
        """Factors on sun and sky at ``time`` seconds."""
        wave = [
            a * np.sin(2 * np.pi * time / t + p) for a, t, p in zip(self.drift, self.period, self.phase, strict=True)
        ]
        gain = 1 + wave[1]
        return gain * self.sun * (1 + wave[0]), gain * (1 + 0.1 * (1 - self.sun))


def film(
    name: str,
    *,
    num_frames: int,
    scene: int,
    size: tuple[int, int],
    seed: int,
    kind: str | None = None,
    anomalous: bool = True,
) -> Iterator[Shot]:
    """Film one video, frame after frame; everything follows from ``seed`` and ``name``.

    Args:
        name: The video's name.
        num_frames: Its length at `FPS`.
        scene: Number of the place.
        size: Height and width in pixels.
        seed: Seed of the data set.
        kind: Kind of anomaly that happens, None for a normal video.
        anomalous: Whether to film the anomaly; without it everything else stays the same to the last bit.
    """
    rng = np.random.default_rng([seed, 2, *name.encode()])
    place, backdrop = visit(scene, size, seed)
    roles, weather = tell(place, num_frames / FPS, kind, rng), Weather.draw(rng)
    if not anomalous:
        roles = without_anomaly(roles)
    yield from shoot(place, backdrop, roles, weather, rng, num_frames=num_frames, fps=FPS)


def shoot(
    place: Place,
    backdrop: Backdrop,
    roles: list[Role],
    weather: Weather,
    rng: np.random.Generator,
    *,
    num_frames: int,
    fps: int,
) -> Iterator[Shot]:
    """Film what ``roles`` do at a place.

    Args:
        place: Where it happens.
        backdrop: The empty place as its camera sees it.
        roles: Who does what.
        weather: Light of the video.
        rng: Draws the camera's noise.
        num_frames: Length of the video.
        fps: Frames a second.
    """
    size = place.camera.size
    sensor = Sensor(size, place.noise, rng)
    for number in range(num_frames):
        time = number / fps
        sun, sky = weather.at(time)
        shadow, contact = np.zeros((2, *size), np.float32)
        figures: list[tuple[int, Role, painter.Seen]] = []
        for index, role in enumerate(roles):
            parts = role.actor.parts(time)
            if parts is None:
                continue
            painter.cast(parts, place.camera, place.light, shadow, contact)
            seen = painter.see(parts, place.camera, backdrop, place.light, sun, sky)
            if seen is not None:
                figures.append((index, role, seen))
        light = (sun * backdrop.sun) * (1 - shadow * backdrop.level)[..., None]
        light += (sky * backdrop.sky) * (1 - 0.55 * contact * backdrop.level)[..., None]
        figures.sort(key=lambda figure: -figure[2].distance)
        owner = _compose(light, figures)
        yield Shot(sensor.expose(light), _sightings(figures, owner, time, size))


def _compose(light: Array, figures: list[tuple[int, Role, painter.Seen]]) -> np.ndarray:
    """Lay the figures over ``light``, far ones first; returns whose each pixel (H, W) is, -1 for nobody's."""
    owner = np.full(light.shape[:2], -1, np.int16)
    for index, _, seen in figures:
        window = (seen.rows, seen.columns)
        light[window] += (seen.colour - light[window]) * seen.alpha[..., None]
        owner[window][seen.alpha > 0.5] = index
    return owner


def _sightings(
    figures: list[tuple[int, Role, painter.Seen]], owner: np.ndarray, time: float, size: tuple[int, int]
) -> list[Sighting]:
    least = SMALLEST * size[0] * size[1] / (160 * 240)
    sightings = []
    for index, role, seen in figures:
        mine = owner[seen.rows, seen.columns] == index
        if mine.sum() < max(1.0, least):
            continue
        rows, columns = np.flatnonzero(mine.any(1)), np.flatnonzero(mine.any(0))
        top, left = seen.rows.start, seen.columns.start
        box = (left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1)
        kind = role.kind if role.begin <= time <= role.end else None
        share = float(mine.sum() / max(1, (seen.whole > 0.5).sum()))
        sightings.append(Sighting(index, kind, tuple(int(edge) for edge in box), min(1.0, share)))
    return sightings
