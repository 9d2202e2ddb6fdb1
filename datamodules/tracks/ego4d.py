"""Annotations of the audio-visual part of Ego4D: ``av_train.json``, ``av_val.json``, ``av_test_unannotated.json``.

Schema of EGO4D/docs (Grauman et al., Ego4D, 2022). A face speaks in a frame when the frame lies in a voice segment of
its person: voice activity of somebody who is seen, not the motion of lips.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np
from msgspec.structs import astuple

from datamodules.ava_rows import NO_MEDIA
from datamodules.checking import DUPLICATE_ID, FRAME_COUNT, Defect
from datamodules.tracks.annotations import Annotations, Clip, Media, medium_of
from datamodules.tracks.columns import coded
from datamodules.tracks.ego4d_file import AnnotatedClip, Box, Segment, clips_of
from datamodules.tracks.judging import BAD_SEGMENT, CLAMPED, usable
from datamodules.tracks.table import ANNOTATED, UNKNOWN, Medium, TrackTable
from datamodules.tracks.voices import VoiceTable

DATASET = "ego4d"
WEARER = "camera_wearer"  # the person's id in some clips
ANCHOR = "visual_anchor"  # in the id of a track: reference boxes, which are no track
BOX = Box.__struct_fields__


def read_ego4d(path: Path, media: Media, split: str = "", visual_anchors: bool = False) -> Annotations:
    """Read an annotation file.

    Boxes without area, of the camera wearer, or of frames that are not there are left out; voice segments are cut to
    the clip. Ids stay the words that they are.

    Args:
        path: The file.
        media: Size, rate and length of each clip, by clip uid; a clip without is left out and named.
        split: Part of the data set, for defects.
        visual_anchors: Take reference boxes for tracks, as the ground truth of the benchmark does.

    Raises:
        FileNotFoundError: When there is no such file.
        DataFileError: When it is no such annotation.
    """
    reading = Reading(path, split, visual_anchors)
    for parent, clip in clips_of(path):
        reading.take(str(clip.clip_uid), clip, parent, media)
    return reading.result()


@dataclass
class Reading:
    """What has been read of a file so far.

    Attributes:
        path: The file.
        split: Part of the data set.
        visual_anchors: Whether reference boxes are tracks.
        spoken: Whether the file holds any voice so far; one without is taken for one whose labels are withheld.
    """

    path: Path
    split: str
    visual_anchors: bool
    spoken: bool = False
    clips: dict[str, Clip] = field(default_factory=dict)
    tracks: list[TrackTable] = field(default_factory=list)
    voices: set[tuple[str, str, int, int, bool]] = field(default_factory=set)
    defects: list[Defect] = field(default_factory=list)

    def take(self, uid: str, content: AnnotatedClip, parent: str, media: Media) -> None:
        """Read a clip."""
        self.spoken |= any(person.voice_segments for person in content.everybody())
        if uid in self.clips:
            self.report(DUPLICATE_ID, f"clip {uid} is there twice; its first annotation is taken")
            return
        medium = medium_of(media, uid)
        if medium is None:
            self.report(NO_MEDIA, f"clip {uid}: there is no media of it")
            return
        clip = described(uid, content, parent)
        if clip.num_frames is not None and clip.num_frames != medium.num_frames:
            found = f"is to have {clip.num_frames} frames, its media has {medium.num_frames}"
            self.report(FRAME_COUNT, f"clip {uid}: {found}")
        self.clips[uid] = clip
        length = medium.num_frames if clip.num_frames is None else clip.num_frames
        for person in content.everybody():
            name = str(person.person_id)
            for segment in person.voice_segments or ():
                ends = self.clamped(f"clip {uid}, person {name}", segment, length)
                if ends is not None:
                    self.voices.add((uid, name, *ends, name in clip.wearers))
        self.tracks.append(self.faces(clip, content, medium))

    def faces(self, clip: Clip, content: AnnotatedClip, medium: Medium) -> TrackTable:
        """Face boxes of a clip; who speaks is filled in when all voices are known."""
        found = list(tracks_of(clip, content, self.visual_anchors))
        boxes = [box for *_, track in found for box in track]
        frame, x, y, width, height = numbers_of(boxes).T
        ids = np.array([ids for *ids, _ in found], dtype=object).reshape(-1, 3)
        person, track, entity = ids.repeat([len(track) for *_, track in found], axis=0).T
        columns = {
            **{"dataset": DATASET, "video_id": clip.video_id, "source": ANNOTATED},
            **{"person_id": person, "track_id": track, "entity_id": entity},
            **{"frame": frame, "timestamp": frame / medium.fps},
            **{"x1": x / medium.width, "x2": (x + width) / medium.width},
            **{"y1": y / medium.height, "y2": (y + height) / medium.height},
            **{"frame_w": medium.width, "frame_h": medium.height, "label": UNKNOWN},
        }
        table, defects = usable(
            columns,
            np.full(len(frame), medium.num_frames),
            self.path,
            lambda n: f"clip {clip.video_id}, person {person[n]}, track {track[n]}, box at frame {frame[n]:g}",
            self.split,
        )
        self.defects += defects
        return table

    def clamped(self, whose: str, segment: Segment, length: int) -> tuple[int, int] | None:
        """First and last frame of a voice segment, within the clip; None where nothing is left of it."""
        first, last = segment.start_frame, segment.end_frame
        if not (isinstance(first, int) and isinstance(last, int) and first <= last and last >= 0 and first < length):
            self.report(BAD_SEGMENT, f"{whose}: found frames {first} to {last} of {length}; it is left out")
            return None
        if first < 0 or last >= length:
            self.report(CLAMPED, f"{whose}: frames {first} to {last} of {length}; it is cut to the clip")
        return max(first, 0), min(last, length - 1)

    def report(self, kind: str, detail: str) -> None:
        """Name a defect."""
        self.defects.append(Defect(kind, self.split, str(self.path), detail))

    def result(self) -> Annotations:
        """What was read, with the label of each box."""
        names = ("video_id", "person_id", "first_frame", "last_frame", "wearer")
        columns = dict(zip(names, zip(*sorted(self.voices), strict=True), strict=True)) if self.voices else {}
        clips = {uid: replace(clip, labelled=clip.labelled and self.spoken) for uid, clip in self.clips.items()}
        labelled = [uid for uid, clip in clips.items() if clip.labelled]
        voices = VoiceTable.from_columns({name: columns.get(name, ()) for name in names}, labelled)
        tracks = TrackTable.concat(self.tracks)
        return Annotations(with_labels(tracks, voices), voices, clips, tuple(self.defects))


def described(uid: str, content: AnnotatedClip, parent: str) -> Clip:
    """What is annotated of a clip as a whole."""
    persons, ends = content.everybody(), (content.clip_start_frame, content.clip_end_frame)
    wearers = {str(one.person_id) for one in persons if one.camera_wearer or one.person_id == WEARER}
    return Clip(
        video_id=uid,
        parent=parent,
        num_frames=int(ends[1]) - int(ends[0]) if None not in ends else None,
        wearers=frozenset(wearers),
        persons=tuple(dict.fromkeys(str(one.person_id) for one in persons)),
        labelled=all(one.voice_segments is not None for one in persons),
        valid=bool(content.valid),
    )


def tracks_of(
    clip: Clip, content: AnnotatedClip, visual_anchors: bool
) -> Iterator[tuple[str, str, str, Sequence[Box]]]:
    """Person, track, entity and boxes of each track of those who are seen; entities differ by person and track."""
    names: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for person in content.persons or ():
        name = str(person.person_id)
        for found in person.tracking_paths or ():
            track = str(found.track_id)
            if name in clip.wearers or (ANCHOR in track and not visual_anchors):
                continue
            if (name, track) not in names:
                entity = f"{name}:{track}"
                names[name, track] = entity if entity not in taken else f"{entity}#{len(names)}"
                taken.add(names[name, track])
            yield name, track, names[name, track], found.track or ()


def numbers_of(boxes: Sequence[Box]) -> np.ndarray:
    """Values of boxes, float64 (N, 5), as `Box` has them; NaN where one is not there, or null."""
    rows = map(astuple, boxes)
    try:  # no loop of Python's: there are millions of boxes
        return np.fromiter(chain.from_iterable(rows), np.float64, len(boxes) * len(BOX)).reshape(-1, len(BOX))
    except TypeError:
        return np.array([astuple(box) for box in boxes], dtype=np.float64)


def with_labels(tracks: TrackTable, voices: VoiceTable) -> TrackTable:
    """Label each face by the voice of its person in its frame; those of clips without labels stay unknown."""
    label = tracks.label.copy()
    for video, rows in tracks.videos.items():
        names, code = coded(tracks.person_id[rows])
        for number, name in enumerate(names):
            mine = rows.start + np.flatnonzero(code == number)
            label[mine] = voices.person_at(video, name, tracks.frame[mine])
    return replace(tracks, label=label)
