"""How a clip of the Ego4D sample is filmed, annotated and written."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from datamodules.samples.encoding import Frame, write_json, write_movie, write_wave
from datamodules.samples.talking.annotation import annotate
from datamodules.samples.talking.clips import FPS, Clip, Settings
from datamodules.samples.talking.film import Film, Sighting
from datamodules.samples.talking.soundtrack import mix
from datamodules.samples.talking.voice import SAMPLE_RATE

FOLDERS = ("videos", "wave", "split", "json", "csv/train", "csv/val")
PARTS = "parts"  # folder of what the processes note down for the lists of all clips


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
