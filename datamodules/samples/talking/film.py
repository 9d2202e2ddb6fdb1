"""Film a clip: frames, and where the face and the mouth of everybody are in each of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from datamodules.samples.talking.clips import FPS, Clip, Settings
from datamodules.samples.talking.features import Expression, mouth_size
from datamodules.samples.talking.head import JAW_DROP, MOUTH, Head, Pose
from datamodules.samples.talking.looks import Look
from datamodules.samples.talking.motion import Path, look_around, sit
from datamodules.samples.talking.room import Room, enter
from datamodules.samples.talking.speech import Array
from datamodules.samples.talking.story import Part, Story, tell
from datamodules.samples.talking.torso import Torso

SIZES = {2: (0.22, 0.28), 3: (0.19, 0.24), 4: (0.16, 0.2)}  # half heights of heads, in heights of the frame
SPREAD = {2: 0.22, 3: 0.33, 4: 0.38}  # how far the outer seats are from the middle, in widths of the frame
WALKERS = 3  # in every third clip somebody leaves for a while
FOREHEAD = -0.72  # where the box of a face begins, in half heights of the head


@dataclass(frozen=True)
class Sighting:
    """A face in a frame, in view or not.

    Attributes:
        person: Number among those who can come into view.
        box: x, y (upper left), width, height of the face in pixels of the frame; may leave it.
        visible: Share of the box that lies in the frame and that no nearer face covers.
        mouth: x, y of its middle, width and height in pixels.
        opening, spread: Of the lips.
        doing: What the mouth does, a `Doing`.
    """

    person: int
    box: tuple[float, float, float, float]
    visible: float
    mouth: tuple[float, float, float, float]
    opening: float
    spread: float
    doing: int


@dataclass
class Actor:
    """Somebody in front of the camera: look, movements of head and mouth (n,) per frame."""

    look: Look
    path: Path
    opening: Array
    spread: Array
    doing: np.ndarray

    @classmethod
    def draw(
        cls, part: Part, seat: tuple[float, float, float], times: np.ndarray, walks: float, rng: np.random.Generator
    ) -> "Actor":
        """Draw one who plays ``part`` at ``seat``, see `sit`."""
        opening, spread, doing = part.mouth(times)
        return cls(Look.draw(rng), sit(seat, opening, times, walks, rng), opening, spread, doing)

    def pose(self, frame: int, corner: np.ndarray) -> Pose:
        """Pose of the head, seen by a camera whose upper left ``corner`` is at this row and column of the room."""
        path = self.path
        columns = (path.x - corner[1], path.y - corner[0], path.scale, path.roll, path.yaw, path.pitch)
        return Pose(*(float(column[frame]) for column in columns))  # plain numbers leave float32 arrays what they are

    def face(self, frame: int) -> Expression:
        """Expression of the face."""
        gaze = (float(self.path.gaze[frame, 0]), float(self.path.gaze[frame, 1]))
        return Expression(float(self.opening[frame]), float(self.spread[frame]), float(self.path.eyes[frame]), gaze)


class Film:
    """A clip that is ready to be shot.

    Args:
        story: Who speaks when.
        room: Where.
        actors: Those who can come into view.
        corners: Row and column (n, 2) of the room that the camera's upper left corner is at.
        size: Height and width in pixels.
    """

    def __init__(
        self, story: Story, room: Room, actors: list[Actor], corners: np.ndarray, size: tuple[int, int]
    ) -> None:
        self.story, self.room, self.actors, self.corners, self.size = story, room, actors, corners, size

    @classmethod
    def draw(cls, clip: Clip, settings: Settings) -> "Film":
        """Draw story, people and movements of ``clip``; everything follows from the seed and its number."""
        rng = np.random.default_rng([settings.seed, 24, clip.number])
        (height, width), room = settings.size, enter(clip.scene, settings.size, settings.seed)
        story = tell(clip.num_faces, settings.seconds, rng)
        times = (np.arange(clip.num_frames) + 0.5) / FPS  # a frame shows the middle of the time it is seen
        places = np.linspace(-1, 1, clip.num_faces) * SPREAD[clip.num_faces] + rng.uniform(-0.04, 0.04, clip.num_faces)
        walker = int(rng.integers(clip.num_faces)) if clip.number % WALKERS == 1 else -1
        actors = []
        for person, (part, place) in enumerate(zip(story.faces, places, strict=True)):
            scale = height * rng.uniform(*SIZES[clip.num_faces])
            down = room.table - scale * rng.uniform(2.0, 2.4)
            seat = (room.margin[1] + width * (0.5 + place), down, scale)
            walks = 1.2 * width * (np.sign(place) or 1.0) if person == walker else 0.0
            actors.append(Actor.draw(part, seat, times, walks, rng))
        seats = [width * place for place in places]
        return cls(story, room, actors, look_around(seats, story.faces, times, room.margin, rng), settings.size)

    def shoot(self) -> Iterator[tuple[np.ndarray, list[Sighting]]]:
        """Film it: frames (H, W, 3) uint8 and all faces, in view or not."""
        heads = [Head(actor.look, self.room.lamp, self.room.level) for actor in self.actors]
        bodies = [Torso(actor.look, self.room.lamp, self.room.level) for actor in self.actors]
        far_first = np.argsort([actor.path.scale[0] for actor in self.actors])
        height, width = self.size
        for number, corner in enumerate(self.corners):
            view = self.room.picture[corner[0] : corner[0] + height, corner[1] : corner[1] + width]
            frame, poses = view.copy(), [actor.pose(number, corner) for actor in self.actors]
            for person in far_first:
                bodies[person].paint(frame, poses[person].x, poses[person].y, poses[person].scale)
                heads[person].paint(frame, poses[person], self.actors[person].face(number))
            table = max(0, self.room.table - corner[0])
            frame[table:] = view[table:]
            yield frame, self._sightings(number, heads, poses, far_first)

    def _sightings(self, number: int, heads: list[Head], poses: list[Pose], far_first: np.ndarray) -> list[Sighting]:
        boxes = {person: face_box(self.actors[person], poses[person], number) for person in far_first.tolist()}
        sightings = []
        for rank, person in enumerate(far_first.tolist()):
            actor, pose, box = self.actors[person], poses[person], boxes[person]
            face = actor.face(number)
            half_width, gape = mouth_size(actor.look, face)
            x, y = heads[person].place((MOUTH[0], MOUTH[1] + 0.2 * gape), pose, face.opening)
            mouth = (x, y, 2 * half_width * actor.look.width * pose.scale, (gape + 0.15) * pose.scale)
            nearer = [boxes[other] for other in far_first[rank + 1 :].tolist()]
            hidden = max((_shared(box, other) for other in nearer), default=0.0)
            visible = max(0.0, _shared(box, (0, 0, self.size[1], self.size[0])) - hidden)
            state = (float(actor.opening[number]), float(actor.spread[number]), int(actor.doing[number]))
            sightings.append(Sighting(person, box, visible, mouth, *state))
        return sorted(sightings, key=lambda seen: seen.person)


def face_box(actor: Actor, pose: Pose, number: int) -> tuple[float, float, float, float]:
    """x, y, width, height in pixels of a face from forehead to chin."""
    bottom = 1 + 0.5 * JAW_DROP * float(actor.opening[number])
    half_width, half_height = actor.look.width * pose.scale, 0.5 * (bottom - FOREHEAD) * pose.scale
    along = 0.5 * (bottom + FOREHEAD) * pose.scale
    x, y = pose.x - np.sin(pose.roll) * along, pose.y + np.cos(pose.roll) * along
    return float(x - half_width), float(y - half_height), float(2 * half_width), float(2 * half_height)


def _shared(box: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Share of ``box`` that ``other`` covers, both x, y, width, height."""
    across = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
    down = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
    return max(0.0, across) * max(0.0, down) / (box[2] * box[3])
