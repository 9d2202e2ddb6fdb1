"""What is annotated of a split of a data set: faces, voices, and the clips that they are of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from datamodules.checking import Defect
from datamodules.tracks.table import SPEAKING, Medium, TrackTable
from datamodules.tracks.voices import VoiceTable

# Facts of the medium of a video; None, or nothing, where there is none.
Media = Mapping[str, Medium] | Callable[[str], Medium | None]


@dataclass(frozen=True)
class Clip:
    """A video that is annotated.

    Attributes:
        video_id: Clip uid of Ego4D, video of AVA.
        parent: Video that it was cut from; empty where nobody says.
        num_frames: Frames that the annotation says it has; None where it does not.
        wearers: Persons who are the one with the camera, as they are called; of one clip there may be two names.
        persons: All persons, in the order of the file, in view or not.
        labelled: Whether it is known who speaks.
        valid: What the annotation says of itself.
    """

    video_id: str
    parent: str = ""
    num_frames: int | None = None
    wearers: frozenset[str] = frozenset()
    persons: tuple[str, ...] = ()
    labelled: bool = True
    valid: bool = True


@dataclass(frozen=True)
class Annotations:
    """What was read of annotation files.

    Attributes:
        tracks: Faces.
        voices: Voices, of people in view or not.
        clips: The videos by id, also those without faces.
        defects: What is wrong in the files; what a defect names as left out is in no table.
    """

    tracks: TrackTable
    voices: VoiceTable
    clips: Mapping[str, Clip]
    defects: tuple[Defect, ...] = ()


def medium_of(media: Media, video_id: str) -> Medium | None:
    """Facts of the medium of a video; None where there is none."""
    return media(video_id) if callable(media) else media.get(video_id)


def voices_seen(tracks: TrackTable) -> VoiceTable:
    """Voices of the faces that speak, where nothing else is known of voices: their runs of frames."""
    speaking = tracks.take(tracks.label == SPEAKING)
    begins = np.zeros(len(speaking), dtype=bool)
    begins[1:] = np.diff(speaking.frame) != 1
    begins[speaking.starts[:-1]] = True
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(speaking))[: len(first)] - 1
    columns = {"video_id": speaking.video_id[first], "person_id": speaking.person_id[first], "wearer": False}
    ends = {"first_frame": speaking.frame[first], "last_frame": speaking.frame[last]}
    return VoiceTable.from_columns(columns | ends)
