"""``clip.json``: everything about a window but its pixels and sound. Its presence says that the window is complete."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datamodules.speech_windows.images import Images
from datamodules.speech_windows.labels import PersonLabels
from datamodules.speech_windows.settings import DATASET_CLIPS, MANIFEST, ClipSource, Window, WindowSettings
from datamodules.speech_windows.sounds import Sound

VERSION = 1  # to be raised when the same clip and settings give other files
NOTE = "clip.json"
FRAMES = "frames"


@dataclass(frozen=True)
class OpenClip:
    """A clip with all that its windows are made of.

    Attributes:
        source: What is known of it.
        persons: Who is seen and heard, by person.
        images: Its images.
        sound: Its sound; None where there is none.
        settings: How it is cut.
    """

    source: ClipSource
    persons: Mapping[str, PersonLabels]
    images: Images
    sound: Sound | None
    settings: WindowSettings

    def frames(self, window: Window) -> list[int]:
        """Frames of a window that are there."""
        there = self.images.frames
        return [frame for frame in range(window.first, window.stop) if frame in there]


def note_of(clip: OpenClip, window: Window) -> dict[str, Any]:
    """What ``clip.json`` says; frames and samples are counted from 0 at the beginning of the clip.

    ``frames`` and ``audio`` are files of the window; with ``files: manifest`` there are none, and ``source`` says where
    the images and the samples are. ``fps`` is a fraction; ``persons`` has for each one the segments of the voice
    (first and last frame) and the faces (x, y, width and height in pixels of ``frame_size``), column by column.
    """
    source, settings, sound = clip.source, clip.settings, clip.sound
    there = clip.frames(window)
    written = settings.files != MANIFEST
    first, stop = (0, 0) if sound is None else window.samples(sound.sample_rate, source.rate)
    return {
        "version": VERSION,
        "clip_uid": source.name,
        "split": source.split,
        "first_frame": window.first,
        "last_frame": window.stop - 1,
        "num_frames": window.stop - window.first,
        "partial": window.partial,
        "fps": [source.rate.numerator, source.rate.denominator],
        "frame_size": [source.facts.width, source.facts.height],
        "frames": [f"{FRAMES}/{clip.images.name(frame)}" for frame in there] if written else [],
        "missing_frames": sorted({*range(window.first, window.stop)} - {*there}),
        "audio": f"audio_{window.span}.wav" if written and sound is not None else None,
        "sample_rate": None if sound is None else sound.sample_rate,
        "audio_first_sample": first,
        "audio_num_samples": stop - first,
        "audio_padded_samples": 0 if sound is None else stop - max(first, min(stop, sound.num_samples)),
        "labels": f"{source.name}_{window.span}.json" if settings.layout == DATASET_CLIPS else None,
        "source": {
            "frames": str(source.facts.path),
            "images": [] if written else clip.images.origins(there),
            "first_image": source.first_image,
            "sound": None if source.sound is None else str(source.sound),
        },
        "parameters": settings.parameters(),
        "persons": {person: labels.within(window) for person, labels in clip.persons.items()},
    }


def is_whole(folder: Path, note: Mapping[str, Any]) -> bool:
    """Whether the files of a window are there. After a loss of power some images may be empty."""
    files = [note[name] for name in ("audio", "labels") if note[name] is not None]
    if not all((folder / name).is_file() for name in files):
        return False
    if not note["frames"]:
        return True
    try:
        with os.scandir(folder / FRAMES) as entries:
            found = {f"{FRAMES}/{entry.name}" for entry in entries if entry.stat().st_size}
    except FileNotFoundError:
        return False
    return found == set(note["frames"])
