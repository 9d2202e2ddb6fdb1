"""Who is seen and who is heard in a window: both bits of every person, in view or not, the wearer too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from datamodules.speech_windows.json_text import encoded
from datamodules.speech_windows.settings import Window
from datamodules.tracks import Annotations, Clip
from datamodules.tracks.columns import coded

DECIMALS = 6  # of pixels: a box in shares of the frame loses its last bits
BOX = ("x", "y", "width", "height")
BETWEEN = b"},{"  # two boxes in a list


@dataclass(frozen=True)
class PersonLabels:
    """Faces and voice of a person in a clip.

    Attributes:
        wearer: It is the person with the camera.
        frame: int64 (N,), of each face box, increasing; some frames may have several.
        box: float64 (N, 4), x, y, width, height in pixels.
        track: (N,) str.
        voice: int64 (S, 2), first and last frame of each voice segment, increasing and apart; None where unknown.
    """

    wearer: bool
    frame: np.ndarray
    box: np.ndarray
    track: np.ndarray
    voice: np.ndarray | None

    def within(self, window: Window) -> dict[str, Any]:
        """What there is of them in a window, as plain columns."""
        rows = slice(*np.searchsorted(self.frame, (window.first, window.stop)))
        faces = {"frame": self.frame[rows].tolist(), "track": self.track[rows].tolist()}
        faces |= {name: self.box[rows, place].tolist() for place, name in enumerate(BOX)}
        return {"camera_wearer": self.wearer, "voice": self.voice_within(window), "faces": faces}

    def voice_within(self, window: Window) -> list[list[int]] | None:
        """Voice segments [first, last] cut to a window; None where unknown."""
        if self.voice is None:
            return None
        met = slice(self.voice[:, 1].searchsorted(window.first), self.voice[:, 0].searchsorted(window.stop))
        return [[max(first, window.first), min(last, window.stop - 1)] for first, last in self.voice[met].tolist()]


class Face(msgspec.Struct, gc=False):
    """A box in pixels, as it is written."""

    x: float
    y: float
    width: float
    height: float


def clip_labels(annotations: Annotations, video_id: str) -> dict[str, PersonLabels]:
    """Faces and voices of everybody in a clip, by person, in the order of the annotation."""
    clip = annotations.clips.get(video_id, Clip(video_id, labelled=False))
    tracks = annotations.tracks.of(video_id)
    size = np.column_stack([tracks.frame_w, tracks.frame_h])
    low, high = tracks.boxes[:, :2] * size, tracks.boxes[:, 2:] * size
    box = np.round(np.concatenate([low, high - low], axis=1), DECIMALS)
    known, code = coded(tracks.person_id)
    order = np.lexsort((tracks.frame, code))
    bounds = np.searchsorted(code[order], np.arange(len(known) + 1))
    rows = {person: order[slice(*bounds[n : n + 2])] for n, person in enumerate(known)}
    nobody = np.zeros(0, dtype=np.int64)
    found = {}
    for person in dict.fromkeys([*clip.persons, *known]):
        mine = rows.get(person, nobody)
        voice = np.column_stack(annotations.voices.segments_of(video_id, person)) if clip.labelled else None
        found[person] = PersonLabels(
            person in clip.wearers, tracks.frame[mine], box[mine], tracks.track_id[mine], voice
        )
    return found


def frame_by_frame(persons: Mapping[str, Mapping[str, Any]], frames: Sequence[int]) -> bytes:
    """Faces and voices of a window as the seed's ``genejson`` writes them, of the frames that there are, as JSON.

    By frame and person: ``camera_wearer``, ``face`` (0, or boxes x, y, width, height in pixels) and ``voice`` (1, 0, or
    null where unknown). The text is put together here: an object for every person and frame takes twice as long.

    Args:
        persons: What there is of each in the window, see `PersonLabels.within`.
        frames: Frames of the window that there are.
    """
    places = {frame: place for place, frame in enumerate(frames)}
    columns = [column_of(person, found, places) for person, found in persons.items()]
    rows = map(b",".join, zip(*columns, strict=True)) if columns else [b""] * len(frames)
    return b"{" + b",".join([b'"%d":{%b}' % row for row in zip(frames, rows, strict=True)]) + b"}"


def column_of(person: str, found: Mapping[str, Any], places: Mapping[int, int]) -> list[bytes]:
    """One person in all frames of a window, as JSON; mostly out of view and silent, which is said once.

    Args:
        person: Who it is.
        found: What there is of them.
        places: Row of each frame that there is.
    """
    voice = [b"null" if found["voice"] is None else b"0"] * len(places)
    for first, last in found["voice"] or ():
        for frame in range(first, last + 1):
            if frame in places:
                voice[places[frame]] = b"1"
    begin = b'%b:{"camera_wearer":%b,"face":' % (encoded(person), encoded(found["camera_wearer"]))
    unseen = {bit: b'%b0,"voice":%b}' % (begin, bit) for bit in set(voice)}
    column = [unseen[bit] for bit in voice]
    seen, ends = begin + b"[{", {bit: b'}],"voice":%b}' % bit for bit in unseen}
    for frame, boxes in texts_of(found["faces"]).items():
        if frame in places:
            column[places[frame]] = seen + boxes + ends[voice[places[frame]]]
    return column


def texts_of(faces: Mapping[str, list]) -> dict[int, bytes]:
    """The boxes of each frame as JSON, without the braces around the first and the last."""
    if not faces["frame"]:
        return {}
    text = encoded(list(map(Face, *(faces[name] for name in BOX))))
    boxes: dict[int, bytes] = {}
    for frame, box in zip(faces["frame"], text[2:-2].split(BETWEEN), strict=True):
        boxes[frame] = boxes[frame] + BETWEEN + box if frame in boxes else box
    return boxes
