"""Clips with sound: which frame is which, where the sound is, whether it is as long as the video."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datamodules.faces.cache import open_packed
from datamodules.reading import VideoFacts
from datamodules.sound import SAMPLE_RATE
from datamodules.speaker_clips import SpeakerSource
from datamodules.tracks import Medium

log = logging.getLogger(__name__)

SOUND_FOLDERS = ("wave", "wav", "audio", ".")  # below the root
SOUND_SUFFIXES = (".wav", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".aac")


@dataclass(frozen=True)
class Recording:
    """A clip that can be read.

    Attributes:
        name: What it is called.
        facts: Its video or frame folder.
        sound: File with its sound; None where there is none.
        frames: int64 (F,), number of each stored frame, increasing, 0 for the first frame of the clip.
    """

    name: str
    facts: VideoFacts
    sound: Path | None
    frames: np.ndarray

    @property
    def medium(self) -> Medium:
        """What annotations are compared with."""
        return Medium(self.facts.width, self.facts.height, self.facts.fps, int(self.frames[-1]) + 1)

    def places(self, frames: np.ndarray) -> np.ndarray:
        """Place of frames among the stored ones, int64 (N,); -1 for those that are not there."""
        found = np.searchsorted(self.frames, frames).clip(max=len(self.frames) - 1)
        return np.where(self.frames[found] == frames, found, -1)


def sound_of(name: str, facts: VideoFacts, root: Path) -> Path | None:
    """The file with the sound of a clip: one of its own below the root, or the video; None where there is none."""
    named = (root / folder / f"{name}{suffix}" for folder in SOUND_FOLDERS for suffix in SOUND_SUFFIXES)
    return next((path for path in named if path.is_file()), facts.path if facts.audio_streams else None)


def compare_lengths(sources: Sequence[SpeakerSource]) -> None:
    """Say how many sounds are longer or shorter than their clip by more than a frame."""
    apart = {}
    for source in sources:
        if source.sound is not None:
            seconds = len(open_packed(source.sound)) / SAMPLE_RATE - source.num_frames / source.fps
            apart |= {source.name: seconds} if abs(seconds) > 1 / source.fps else {}
    if apart:
        worst = max(apart, key=lambda name: abs(apart[name]))
        found = f"the sound of {len(apart)} of {len(sources)} clips is not as long as its video"
        answer = "silence takes the place of what is missing, what is too much is left out"
        log.warning("%s (%s: %+.3f s): %s", found, worst, apart[worst], answer)
