"""Which videos the AVA sample has, and how one of them is filmed, annotated and written."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datamodules.samples import making
from datamodules.samples.campus.acting import Performer
from datamodules.samples.campus.camera import Camera
from datamodules.samples.campus.detector import Detector
from datamodules.samples.campus.film import Sighting, Weather, shoot
from datamodules.samples.campus.sketches import rehearse
from datamodules.samples.campus.stages import STAGES, visit
from datamodules.samples.campus.story import Role
from datamodules.samples.encoding import write_json, write_video

VERSION = 2  # of the pictures; raise it when the generator draws something else
FPS = 15  # a multiple of one frame a second, so that a frame lies exactly on every key second
FIRST_SECOND = 900  # of the annotation at the first frame of a video, as for the cut clips of AVA
MARGIN = 2  # seconds at both ends without key frames, so that the clip around a key frame lies in the video
PROGRAMME = ("show", "handover", "show", "exercise", "handover")  # five, so that each is given on each of four stages
VISIBLE = 0.35  # share of a person that must be seen for a box; the official annotators left out less as well
PARTS = "parts"  # folder of what the processes note down for the lists of all videos


@dataclass(frozen=True)
class Video:
    """A video of the sample.

    Args:
        name: 11 characters, like the names of the official data.
        split: ``train`` or ``val``.
        scene: Number of the stage, from 0.
        sketch: What happens.
        num_frames: Length at `FPS`.
    """

    name: str
    split: str
    scene: int
    sketch: str
    num_frames: int


@dataclass(frozen=True)
class Settings(making.Settings):
    """What a sample is made from.

    Args:
        seed: Seed.
        num_training: Videos for training.
        num_validation: Videos for validation.
        seconds: Length of the videos.
        size: Height and width in pixels.
        version: Version of the generator.
    """

    seed: int
    num_training: int
    num_validation: int
    seconds: int
    size: tuple[int, int]
    version: int = VERSION

    def videos(self) -> list[Video]:
        """All videos, those for training first; sketches and stages take turns in both splits."""
        counts = {"train": self.num_training, "val": self.num_validation}
        turns = [(split, turn) for split, count in counts.items() for turn in range(count)]
        return [
            Video(
                f"sample{number:05d}",
                split,
                turn % len(STAGES),
                PROGRAMME[turn % len(PROGRAMME)],
                self.seconds * FPS,
            )
            for number, (split, turn) in enumerate(turns, 1)
        ]

    def key_seconds(self) -> range:
        """Seconds of the key frames of every video."""
        return range(FIRST_SECOND + MARGIN, FIRST_SECOND + self.seconds - MARGIN + 1)


def cast(video: Video, settings: Settings) -> tuple[list[Performer], np.random.Generator]:
    """Who is in ``video``, and the generator that draws the rest."""
    rng = np.random.default_rng([settings.seed, 12, *video.name.encode()])
    return rehearse(video.sketch, settings.seconds, rng), rng


def record(folder: Path, video: Video, settings: Settings) -> None:
    """Film ``video`` into ``folder/videos`` and note down below ``folder/parts`` what its key frames show."""
    people, rng = cast(video, settings)
    place, backdrop = visit(video.scene, settings.size, settings.seed)
    detector = Detector(settings.size, np.random.default_rng([settings.seed, 13, *video.name.encode()]))
    weather, roles = Weather.draw(rng), [Role(person) for person in people]
    frames = {(second - FIRST_SECOND) * FPS: second for second in settings.key_seconds()}
    notes: list[dict] = []

    def noting():
        shots = shoot(place, backdrop, roles, weather, rng, num_frames=video.num_frames, fps=FPS)
        for number, shot in enumerate(shots):
            if number in frames:
                detected = detector.report("", shot.sightings)
                notes.append({
                    "second": frames[number],
                    "people": _people(shot.sightings, people, place.camera, number / FPS),
                    "detected": [
                        {"box": box, "score": score}
                        for box, score in zip(detected["Boxes"], detected["Scores"], strict=True)
                    ],
                })  # fmt: skip
            yield shot.image

    write_video(folder / "videos" / f"{video.name}.avi", noting(), FPS)
    write_json(folder / PARTS / f"{video.name}.json", notes)


def _people(sightings: list[Sighting], people: list[Performer], camera: Camera, time: float) -> list[dict]:
    """Boxes and actions of those whose middle is in the picture and who are not mostly hidden."""
    found = []
    for sighting in sightings:
        person = people[sighting.actor]
        middle = np.array([*person.at(time), 0.5 * person.look.height], np.float32)
        (x, _), _ = camera.project(middle)
        if sighting.visible >= VISIBLE and 0 < x < camera.size[1]:
            found.append({"person": sighting.actor, "box": list(sighting.box), "actions": person.act(time).actions})
    return sorted(found, key=lambda one: one["person"])
