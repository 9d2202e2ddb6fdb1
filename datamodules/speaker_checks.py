"""What is wrong with a data set of active speakers as a whole, for ``mode=check``."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.ava_rows import NO_MEDIA
from datamodules.ava_rows import OUTSIDE as BOX_OUTSIDE
from datamodules.checking import (
    DUPLICATE_CONTENT,
    DUPLICATE_ID,
    FRAME_COUNT,
    GAP,
    LEAK,
    SIZE,
    TRUNCATED,
    UNREADABLE,
    Defect,
    Examined,
    duplicate_ids,
    same_content,
)
from datamodules.errors import VideoReadError
from datamodules.listing import Listed
from datamodules.sound import audio_defect, probe_sound
from datamodules.speaker_recordings import Recording
from datamodules.tracks.judging import CLAMPED, DUPLICATE_ROW, NO_AREA
from datamodules.tracks.judging import KINDS as KINDS_OF_ROWS

if TYPE_CHECKING:
    from datamodules.speaker_set import SpeakerSet

NO_SOUND = "clip without sound"
SOUND_LENGTH = "sound of another length"
NO_PICTURE = "face in a frame that is not there"
SHARED = "clip in two splits"
KINDS = tuple(
    dict.fromkeys(
        (
            *(UNREADABLE, TRUNCATED, FRAME_COUNT, GAP, SIZE, DUPLICATE_ID, DUPLICATE_CONTENT, LEAK, SHARED),
            *(NO_SOUND, SOUND_LENGTH, NO_PICTURE, *KINDS_OF_ROWS),
        )
    )
)
# What sound data sets have as well: it is left out or cut to size, and costs nothing else.
USUAL = (DUPLICATE_ROW, NO_AREA, BOX_OUTSIDE, CLAMPED, FRAME_COUNT, NO_MEDIA, DUPLICATE_ID)


def check_speakers(
    data: "SpeakerSet", splits: Mapping[str, Sequence[Listed]], examined: Mapping[Path, Examined]
) -> Iterator[Defect]:
    """Say what is wrong with the clips as a set, with their sounds, and with the annotations of every split."""
    recordings = {}
    for split, videos in splits.items():
        yield from duplicate_ids(split, videos, by_last_part=True)
        for video in videos:
            facts = examined[video.path].facts
            if facts is not None:
                recordings[video.name] = data.recording(video.name, facts)
                yield from check_sound(split, recordings[video.name])
    yield from same_content({split: [video.path for video in videos] for split, videos in splits.items()}, examined)
    media = {name: recording.medium for name, recording in recordings.items()}
    seen: dict[str, str] = {}
    for split in data.parts():
        found = data.read_annotations(split, media)
        yield from found.defects
        for name, rows in found.tracks.videos.items():
            gone = found.tracks.frame[rows][recordings[name].places(found.tracks.frame[rows]) < 0]
            if len(gone):
                path = str(recordings[name].facts.path)
                yield Defect(NO_PICTURE, split, path, f"{len(gone)} faces, the first in frame {gone[0]}")
            names = list(found.tracks.videos)
            if data.belongs(name, split, names) and seen.setdefault(name, split) != split:
                yield Defect(SHARED, split, str(data.annotation(split)), f"clip {name} is in {seen[name]} too")


def check_sound(split: str, recording: Recording) -> Iterator[Defect]:
    """Say what is wrong with the sound of a clip."""
    if recording.sound is None:
        yield Defect(NO_SOUND, split, str(recording.facts.path), "neither beside it nor in it")
        return
    try:
        found = probe_sound(recording.sound)
    except VideoReadError as error:
        yield Defect(UNREADABLE, split, str(error.path), error.reason)
        return
    medium = recording.medium
    wrong = audio_defect(found, medium.num_frames / medium.fps, medium.fps)
    if wrong is not None:
        yield Defect(SOUND_LENGTH, split, str(recording.sound), wrong)
