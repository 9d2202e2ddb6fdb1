"""Which clips the Ego4D sample has."""

import uuid
from dataclasses import dataclass

from datamodules.samples import making
from datamodules.samples.talking.room import ROOMS

VERSION = 1  # of pictures and sound; raise it when the generator makes something else
FPS = 30  # of Ego4D
FACES = (2, 3, 3, 4)  # people who can come into view; the clips take turns


@dataclass(frozen=True)
class Clip:
    """A clip of the sample.

    Args:
        name: Its clip uid.
        video: Uid of the video that it is a part of.
        split: ``train`` or ``val``.
        number: Place among all clips.
        scene: Number of the room, from 0.
        num_faces: People who can come into view.
        num_frames: Length at `FPS`.
    """

    name: str
    video: str
    split: str
    number: int
    scene: int
    num_faces: int
    num_frames: int


@dataclass(frozen=True)
class Settings(making.Settings):
    """What a sample is made from.

    Args:
        seed: Seed.
        num_training: Clips for training.
        num_validation: Clips for validation.
        seconds: Length of the clips.
        size: Height and width in pixels.
        version: Version of the generator.
    """

    seed: int
    num_training: int
    num_validation: int
    seconds: int
    size: tuple[int, int]
    version: int = VERSION

    def videos(self) -> list[Clip]:
        """All clips, those for training first; two in a row are of one video."""
        counts = {"train": self.num_training, "val": self.num_validation}
        turns = [(split, turn) for split, count in counts.items() for turn in range(count)]
        return [
            Clip(
                self._uid("clip", number),
                self._uid(split, turn // 2),
                split,
                number,
                number % ROOMS,
                FACES[turn % len(FACES)],
                self.seconds * FPS,
            )
            for number, (split, turn) in enumerate(turns)
        ]

    def _uid(self, *what: object) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"vidzoo sample {self.seed} {what}"))
