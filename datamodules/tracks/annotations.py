"""What is annotated of a split of a data set: faces, voices, and the clips that they are of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from datamodules.checking import Defect
from datamodules.tracks.table import Medium, TrackTable
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
