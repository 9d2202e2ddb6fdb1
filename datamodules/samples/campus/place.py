"""What makes a place to film: a camera, light, things, and the lanes people walk along."""

from dataclasses import dataclass

import numpy as np

from datamodules.samples.campus.backdrop import Area, Light
from datamodules.samples.campus.camera import Camera
from datamodules.samples.campus.solids import Solid

Interval = tuple[float, float]


@dataclass(frozen=True)
class Lane:
    """A strip along which people walk in one direction.

    Args:
        start: Where it enters the picture (x, y) in metres.
        end: Where it leaves.
        width: People walk up to half of this to the side of the line.
    """

    start: tuple[float, float]
    end: tuple[float, float]
    width: float

    @property
    def length(self) -> float:
        """Metres."""
        return float(np.hypot(self.end[0] - self.start[0], self.end[1] - self.start[1]))

    def visible(self, camera: Camera) -> Interval:
        """Between which metres along the lane the camera sees people's hips."""
        along = np.linspace(0, self.length, 200)
        foot = np.array(self.start) + along[:, None] * np.array(self.heading)
        place, distance = camera.project(np.concatenate([foot, np.full((200, 1), 0.9)], 1))
        inside = (place > 0).all(1) & (place < camera.size[::-1]).all(1) & (distance > 0.5)
        return float(along[inside].min()), float(along[inside].max())

    @property
    def heading(self) -> tuple[float, float]:
        """Unit vector of the flow."""
        return (self.end[0] - self.start[0]) / self.length, (self.end[1] - self.start[1]) / self.length


@dataclass(frozen=True)
class Place:
    """A filmed place.

    Args:
        camera: Who looks.
        light: Sun and sky.
        lanes: Where people walk.
        ways: Where people ride and run who should not; short enough to be passed within seconds.
        ground: Areas of the ground.
        solids: Everything that stands there.
        noise: Noise of the camera in grey levels.
    """

    camera: Camera
    light: Light
    lanes: list[Lane]
    ways: list[Lane]
    ground: list[Area]
    solids: list[Solid]
    noise: float


def both_ways(start: tuple[float, float], end: tuple[float, float], gap: float, width: float) -> list[Lane]:
    """Two lanes ``gap`` metres apart in which people keep to the right."""
    way = np.array(end) - start
    right = np.array([way[1], -way[0]]) / np.hypot(*way) * gap / 2
    there = Lane(tuple(np.array(start) + right), tuple(np.array(end) + right), width)
    back = Lane(tuple(np.array(end) - right), tuple(np.array(start) - right), width)
    return [there, back]
