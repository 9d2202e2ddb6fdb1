"""Clips with sound: which frame is which, where the sound is, whether it is as long as the video."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datamodules.errors import SoundReadError, VideoReadError
from datamodules.faces.cache import open_packed
from datamodules.reading import VideoFacts
from datamodules.sound import SAMPLE_RATE
from datamodules.speaker_clips import SpeakerSource
from datamodules.speaker_packing import ClipPlan
from datamodules.tracks import Annotations, Medium

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


class Planned(NamedTuple):
    """A split before it is packed.

    Attributes:
        tables: Its faces and voices.
        plans: What is packed of its clips that have faces, by name.
        broken: Why others of all clips cannot be read, by name.
        recordings: All clips that can be read, by name.
    """

    tables: Annotations
    plans: dict[str, ClipPlan]
    broken: dict[str, VideoReadError]
    recordings: dict[str, Recording]


def with_sound(plans: Mapping[str, ClipPlan], policy: str) -> dict[str, ClipPlan]:
    """Answer clips without sound by a policy.

    Args:
        plans: The clips.
        policy: ``silence`` keeps them, ``drop`` leaves them out, ``error`` refuses them.

    Raises:
        SoundReadError: When there are any and the policy is ``error``.
    """
    silent = [plan for plan in plans.values() if plan.sound is None]
    if not silent:
        return dict(plans)
    first = silent[0].faces.facts.path
    if policy == "error":
        places = ", ".join(f"{folder}/{silent[0].name}.wav" for folder in SOUND_FOLDERS[:2])
        reason = f"it and {len(silent) - 1} more of {len(plans)} clips have no sound; expected {places} or a stream"
        raise SoundReadError(first, f"{reason} of sound; or datamodule.missing_audio=silence or drop")
    what = "are left out" if policy == "drop" else "are silent"
    log.warning("%d of %d clips have no sound and %s; the first is %s", len(silent), len(plans), what, first)
    return {name: plan for name, plan in plans.items() if policy == "silence" or plan.sound is not None}


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
