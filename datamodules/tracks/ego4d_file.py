"""What an annotation file of the audio-visual part of Ego4D holds, as far as it is read here.

Schema of EGO4D/docs (Grauman et al., Ego4D, 2022). A box is a struct and no dict because there are a million of them in
50 clips: they are parsed in a quarter of the time.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from datamodules.errors import DataFileError

Id = str | int | float | None  # written as words, and as numbers by some tools
SCHEMA = "expected videos, their clips, and persons with tracks and voice segments, as in the AV files of Ego4D"


class Box(msgspec.Struct, gc=False):
    """A face in a frame, which counts from 0 at the beginning of the clip; sides in pixels."""

    frame: float | None = None
    x: float | None = None
    y: float | None = None
    width: float | None = None
    height: float | None = None


class Track(msgspec.Struct):
    """Boxes of one face."""

    track_id: Id
    track: list[Box] | None = None


class Segment(msgspec.Struct, gc=False):
    """First and last frame of somebody speaking."""

    start_frame: Any = None
    end_frame: Any = None


class Wearer(msgspec.Struct, kw_only=True):
    """The person with the camera as described apart from the others, or not."""

    person_id: Id = None
    camera_wearer: Any = None
    tracking_paths: list[Track] | None = None
    voice_segments: list[Segment] | None = None


class Person(Wearer, kw_only=True):
    """Somebody; all have an id."""

    person_id: Id


class AnnotatedClip(msgspec.Struct):
    """A clip with everybody in it."""

    clip_uid: Id
    clip_start_frame: float | None = None
    clip_end_frame: float | None = None
    persons: list[Person] | None = None
    camera_wearer: Wearer | None = None
    valid: Any = True

    def everybody(self) -> list[Wearer]:
        """All persons; the wearer, who is also described apart, may be there twice."""
        apart = self.camera_wearer
        return [*(self.persons or ()), *([apart] if apart is not None and apart.person_id is not None else [])]


class Video(msgspec.Struct):
    """A recording that clips were taken from; they are decoded one at a time."""

    clips: list[msgspec.Raw]
    video_uid: Id = ""


class AnnotationFile(msgspec.Struct):
    """The whole file."""

    videos: list[Video]


def clips_of(path: Path) -> Iterator[tuple[str, AnnotatedClip]]:
    """Read an annotation file: the uid of its video, and each clip.

    Raises:
        FileNotFoundError: When there is no such file.
        DataFileError: When it is no such annotation.
    """
    content, place = path.read_bytes(), "the file"
    try:
        try:
            found = msgspec.json.decode(content, type=AnnotationFile)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:  # what Python writes beyond JSON, NaN, becomes null; or it is no JSON at all
            found = msgspec.json.decode(msgspec.json.encode(json.loads(content)), type=AnnotationFile)
        for number, video in enumerate(found.videos):
            for place_in_video, clip in enumerate(video.clips):
                place = f"videos[{number}].clips[{place_in_video}]"
                yield str(video.video_uid), msgspec.json.decode(clip, type=AnnotatedClip)
    except msgspec.ValidationError as error:
        raise DataFileError(path, f"does not hold what it should ({error} of {place}); {SCHEMA}") from error
    except ValueError as error:
        raise DataFileError(path, f"is no JSON ({error})") from error
