"""Which clips the Ego4D sample has, and how one of them is filmed, annotated and written."""

import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from datamodules.samples import making
from datamodules.samples.encoding import Frame, write_json, write_movie, write_wave
from datamodules.samples.talking.annotation import annotate
from datamodules.samples.talking.film import FPS, Film, Sighting
from datamodules.samples.talking.room import ROOMS
from datamodules.samples.talking.soundtrack import mix
from datamodules.samples.talking.voice import SAMPLE_RATE

VERSION = 1  # of pictures and sound; raise it when the generator makes something else
FOLDERS = ("videos", "wave", "split", "json", "csv/train", "csv/val")
PARTS = "parts"  # folder of what the processes note down for the lists of all clips
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


def record(folder: Path, clip: Clip, settings: Settings) -> None:
    """Film ``clip`` into ``folder/videos`` and ``folder/wave`` and note down below ``folder/parts`` who is where."""
    film = Film.draw(clip, settings)
    sound = mix(film.story, settings.seconds, np.random.default_rng([settings.seed, 21, clip.number]))
    sightings: list[list[Sighting]] = []

    def frames() -> Iterator[Frame]:
        for frame, seen in film.shoot():
            sightings.append(seen)
            yield frame

    write_movie(folder / "videos" / f"{clip.name}.mp4", frames(), FPS, sound, SAMPLE_RATE)
    write_wave(folder / "wave" / f"{clip.name}.wav", sound, SAMPLE_RATE)
    rng = np.random.default_rng([settings.seed, 22, clip.number])
    faces = [list(face) for face in zip(*sightings, strict=True)]
    note = {"annotation": annotate(clip, film.story, faces, rng)}
    note["faces"] = [[asdict(seen) for seen in face] for face in faces]
    write_json(folder / PARTS / f"{clip.name}.json", note)
