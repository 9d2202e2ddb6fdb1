"""Annotations of Ego4D: wearers, reference boxes, boxes without area, voices beyond the clip, withheld labels."""

import json
from pathlib import Path

import numpy as np
import pytest

from datamodules.ava_files import MALFORMED, NOT_FINITE
from datamodules.ava_rows import BEYOND, DUPLICATE_ROW, NO_AREA, NO_MEDIA, OUTSIDE
from datamodules.checking import DUPLICATE_ID, FRAME_COUNT
from datamodules.errors import DataFileError
from datamodules.tracks import Annotations, Medium
from datamodules.tracks.ego4d import read_ego4d
from datamodules.tracks.judging import BAD_SEGMENT, CLAMPED

MEDIUM = Medium(100, 50, 30.0, 40)


def box(frame: float | None, x: float = 10, y: float = 10, width: float = 20, height: float = 10) -> dict:
    return {"x": x, "y": y, "width": width, "height": height, "frame": frame, "video_frame": frame, "clip_frame": None}


def voice(first: int, last: int) -> dict:
    return {"start_frame": first, "end_frame": last, "start_time": first / 30, "end_time": last / 30}


def person(name: str, tracks: dict[str, list[dict]], voices: list | None = (), wearer: bool = False) -> dict:
    paths = [{"track_id": track, "track": boxes} for track, boxes in tracks.items()]
    voices = None if voices is None else list(voices)
    return {"person_id": name, "camera_wearer": wearer, "tracking_paths": paths, "voice_segments": voices}


def read(tmp_path: Path, *persons: dict, media: dict | None = None, uid: str = "c", **options: bool) -> Annotations:
    clip = {"clip_uid": uid, "clip_start_frame": 0, "clip_end_frame": 40, "persons": list(persons)}
    clip |= {"camera_wearer": {"person_id": "0", "camera_wearer": True, "voice_segments": [voice(0, 1)]}}
    path = tmp_path / "av.json"
    path.write_text(json.dumps({"videos": [{"video_uid": "v", "clips": [clip]}]}))
    return read_ego4d(path, {"c": MEDIUM} if media is None else media, "val", **options)


def kinds(found: Annotations) -> list[str]:
    return [defect.kind for defect in found.defects]


def test_a_face_speaks_in_the_voice_segments_of_its_person_both_ends_included(tmp_path: Path) -> None:
    spoken = [voice(3, 4), voice(8, 8)]
    found = read(tmp_path, person("12", {"t": [box(frame) for frame in range(2, 10)]}, spoken))
    tracks = found.tracks
    assert tracks.label.tolist() == [0, 1, 1, 0, 0, 0, 1, 0] and not found.defects
    assert set(tracks.person_id) == {"12"} and set(tracks.entity_id) == {"12:t"} and set(tracks.dataset) == {"ego4d"}
    assert (
        tracks.boxes[0].tolist() == [0.1, 0.2, 0.3, 0.4]
        and tracks.timestamp.tolist() == (np.arange(2, 10) / 30).tolist()
    )
    assert (tracks.frame_w == 100).all() and (tracks.frame_h == 50).all() and found.clips["c"].parent == "v"


@pytest.mark.parametrize("name", ["0", "camera_wearer", "7"])
def test_the_wearer_is_heard_and_never_seen(tmp_path: Path, name: str) -> None:
    marked = name == "7"
    wearer = person(name, {"t": [box(1)]}, [voice(20, 22)], wearer=marked)
    found = read(tmp_path, wearer, person("1", {"t": [box(1)]}))
    assert found.tracks.person_id.tolist() == ["1"] and name in found.clips["c"].wearers
    assert found.voices.wearer_at("c", np.array([0, 2, 20, 22, 23])).tolist() == [1, 0, 1, 1, 0]
    assert found.voices.voice_at("c", np.array([22, 23])).tolist() == [1, 0]
    assert found.clips["c"].persons[0] == name


def test_reference_boxes_are_tracks_only_for_those_who_ask(tmp_path: Path) -> None:
    one = person("1", {"track_1": [box(1)], "visual_anchor_1": [box(2)]})
    assert read(tmp_path, one).tracks.track_id.tolist() == ["track_1"]
    assert len(read(tmp_path, one, visual_anchors=True).tracks) == 2


def test_tracks_of_one_name_belong_to_several_persons(tmp_path: Path) -> None:
    found = read(tmp_path, person("1", {"t": [box(1)]}, [voice(1, 1)]), person("2", {"t": [box(1)]}))
    assert list(found.tracks.entities) == [("c", "1:t"), ("c", "2:t")] and found.tracks.label.tolist() == [1, 0]
    found = read(tmp_path, person("a:b", {"c": [box(1)]}), person("a", {"b:c": [box(1)]}))
    assert len(found.tracks.entities) == 2


def test_boxes_that_cannot_be_used_are_named_with_their_place(tmp_path: Path) -> None:
    boxes = [box(1, width=0), box(2, height=-1), box(40), box(-1), box(None), box(3.5), box(4), box(4), box(5, x=100)]
    found = read(tmp_path, person("1", {"t": boxes}))
    assert found.tracks.frame.tolist() == [4, 5], "a box outside the frame is named and stays"
    assert sorted(kinds(found)) == sorted(
        [NO_AREA, NO_AREA, BEYOND, BEYOND, NOT_FINITE, MALFORMED, DUPLICATE_ROW, OUTSIDE]
    )
    area = next(defect for defect in found.defects if defect.kind == NO_AREA)
    assert "clip c, person 1, track t, box at frame 1: 0.1,0.2,0.1,0.4" in area.detail and area.path.endswith("av.json")
    assert {defect.split for defect in found.defects} == {"val"}


def test_voices_are_cut_to_the_clip(tmp_path: Path) -> None:
    spoken = [voice(-3, 2), voice(38, 99), voice(50, 60), voice(9, 8), {"start_frame": None, "end_frame": 3}]
    found = read(tmp_path, person("1", {"t": [box(1)]}, spoken))
    assert [ends.tolist() for ends in found.voices.segments_of("c", "1")] == [[0, 38], [2, 39]]
    assert kinds(found) == [CLAMPED, CLAMPED, BAD_SEGMENT, BAD_SEGMENT, BAD_SEGMENT]


def test_withheld_labels_are_unknown(tmp_path: Path) -> None:
    found = read(tmp_path, person("1", {"t": [box(1)]}, None))
    assert found.tracks.label.tolist() == [-1] and not found.clips["c"].labelled
    path = tmp_path / "test.json"
    clip = {"clip_uid": "c", "persons": [person("1", {"t": [box(1)]}, [])]}
    path.write_text(json.dumps({"videos": [{"clips": [clip, {"clip_uid": "d"}]}]}))
    found = read_ego4d(path, lambda _: MEDIUM)
    assert found.tracks.label.tolist() == [-1] and found.voices.voice_at("c", np.arange(2)).tolist() == [-1, -1]
    assert found.clips.keys() == {"c", "d"} and found.clips["d"].num_frames is None


def test_clips_without_media_twice_or_of_another_length_are_named(tmp_path: Path) -> None:
    found = read(tmp_path, person("1", {"t": [box(1)]}), media={})
    assert kinds(found) == [NO_MEDIA] and not found.clips and len(found.tracks) == 0
    assert kinds(read(tmp_path, media={"c": MEDIUM._replace(num_frames=39)})) == [FRAME_COUNT]
    path = tmp_path / "twice.json"
    path.write_text(json.dumps({"videos": [{"video_uid": "v", "clips": [{"clip_uid": "c"}, {"clip_uid": "c"}]}]}))
    assert kinds(read_ego4d(path, {"c": MEDIUM})) == [DUPLICATE_ID]


def test_numbers_beyond_json_are_numbers_that_are_not_finite(tmp_path: Path) -> None:
    found = read(tmp_path, person("1", {"t": [box(1), box(2, x=float("nan")), box(3, y=float("inf"))]}))
    assert kinds(found) == [NOT_FINITE, NOT_FINITE] and found.tracks.frame.tolist() == [1]


def test_what_is_of_another_type_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"`float \| null`, got `str` - at `.*track.*x` of videos\[0\].clips\[0\]"):
        read(tmp_path, person("1", {"t": [box(1, x="wide")]}))


@pytest.mark.parametrize(
    "content",
    [
        *("{", "[]", "NaN"),
        '{"videos": [{"clips": [{}]}]}',
        '{"videos": [{"clips": [{"clip_uid": "c", "persons": [{}]}]}]}',
    ],
)
def test_a_file_of_something_else_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "av.json"
    path.write_text(content)
    with pytest.raises(DataFileError, match=r"av\.json: (is no JSON|does not hold what it should)"):
        read_ego4d(path, {"c": MEDIUM})
