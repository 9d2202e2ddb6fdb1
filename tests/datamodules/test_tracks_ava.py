"""Annotations of AVA-ActiveSpeaker and of those who write like it."""

from pathlib import Path

import numpy as np
import pytest

from datamodules.ava_files import MALFORMED, NOT_FINITE
from datamodules.ava_rows import DUPLICATE_ROW, NO_AREA, NO_MEDIA
from datamodules.errors import DataFileError, PathNotFoundError
from datamodules.tracks import Medium
from datamodules.tracks.ava_speech import COLUMNS, read_ava_speech
from datamodules.tracks.judging import BAD_LABEL

MEDIA = {"v": Medium(640, 360, 25.0, 30_000), "w": Medium(1280, 720, 30_000 / 1001, 40_000)}
OFFICIAL = """\
v,900.00,0.1,0.2,0.3,0.4,NOT_SPEAKING,v_0900_0960:1
v,900.04,0.1,0.2,0.3,0.4,SPEAKING_AUDIBLE,v_0900_0960:1
v,900.08,0.1,0.2,0.3,0.4,SPEAKING_NOT_AUDIBLE,v_0900_0960:1
w,901.00,0.5,0.2,0.7,0.4,SPEAKING_AUDIBLE,w_0900_0960:2
"""


def file(tmp_path: Path, text: str, name: str = "ava.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_rows_without_header_get_frames_at_the_rate_of_their_medium(tmp_path: Path) -> None:
    found = read_ava_speech(file(tmp_path, OFFICIAL), MEDIA)
    tracks = found.tracks
    assert not found.defects and tracks.frame.tolist() == [22500, 22501, 22502, 27003]
    assert tracks.label.tolist() == [0, 1, 0, 1] and tracks.milliseconds.tolist() == [900000, 900040, 900080, 901000]
    assert tracks.frame_w.tolist() == [640] * 3 + [1280] and tracks.entity_id[3] == "w_0900_0960:2"
    assert tracks.boxes[3].tolist() == [0.5, 0.2, 0.7, 0.4] and found.clips.keys() == {"v", "w"}


def test_a_header_in_any_order_and_further_columns_say_the_same(tmp_path: Path) -> None:
    expected = read_ava_speech(file(tmp_path, OFFICIAL), MEDIA).tracks
    names = [*COLUMNS, "label_id", "instance_id"]
    rows = [[*line.split(","), "0", "x:0"] for line in OFFICIAL.splitlines()]
    for order in (range(10), reversed(range(10))):
        chosen = list(order)
        lines = [",".join(row[place] for place in chosen) for row in (names, *rows)]
        found = read_ava_speech(file(tmp_path, "\n".join(lines)), MEDIA)
        assert not found.defects and found.tracks.frame.tolist() == expected.frame.tolist()
        assert found.tracks.label.tolist() == expected.label.tolist()
    found = read_ava_speech(file(tmp_path, "\n".join(",".join(row) for row in rows)), MEDIA)
    assert not found.defects and len(found.tracks) == 4, "TalkNet's rows without header"


def test_a_folder_has_a_file_of_each_video(tmp_path: Path) -> None:
    lines = OFFICIAL.splitlines(keepends=True)
    file(tmp_path, "".join(lines[:3]), "v-activespeaker.csv")
    file(tmp_path, lines[3], "w-activespeaker.csv")
    assert read_ava_speech(tmp_path, MEDIA, dataset="talkies").tracks.dataset.tolist() == ["talkies"] * 4


def test_only_visible_speech_is_known_to_be_heard(tmp_path: Path) -> None:
    voices = read_ava_speech(file(tmp_path, OFFICIAL), MEDIA).voices
    assert voices.voice_at("v", np.arange(22499, 22504)).tolist() == [-1, -1, 1, -1, -1]
    assert voices.wearer_at("v", np.array([22501])).tolist() == [-1]


def test_wrong_rows_are_named_by_file_and_line(tmp_path: Path) -> None:
    wrong = """\
v,900.12,0.1,0.2,0.3,0.4,SPEAKING,v:1
v,900.12,0.1,0.2,0.3
v,soon,0.1,0.2,0.3,0.4,NOT_SPEAKING,v:1
v,900.16,0.3,0.2,0.3,0.4,NOT_SPEAKING,v:1
x,900.16,0.1,0.2,0.3,0.4,NOT_SPEAKING,x:1
x,900.20,0.1,0.2,0.3,0.4,NOT_SPEAKING,x:1
v,900.01,0.1,0.2,0.3,0.4,SPEAKING_AUDIBLE,v_0900_0960:1
"""
    path = file(tmp_path, OFFICIAL + wrong)
    found = read_ava_speech(path, MEDIA, "val")
    assert len(found.tracks) == 4 and {one.split for one in found.defects} == {"val"}
    assert {one.detail.split(":")[0]: one.kind for one in found.defects} == {
        "line 5": BAD_LABEL,
        "line 6": MALFORMED,
        "line 7": NOT_FINITE,
        "line 8": NO_AREA,
        "line 9": NO_MEDIA,
        "line 11": DUPLICATE_ROW,
    }
    assert {one.path for one in found.defects} == {str(path)}
    assert any("no media of x (2 rows)" in one.detail for one in found.defects)


def test_rows_without_label_are_unknown(tmp_path: Path) -> None:
    found = read_ava_speech(file(tmp_path, OFFICIAL.replace("NOT_SPEAKING", "").replace("SPEAKING_AUDIBLE", "")), MEDIA)
    assert set(found.tracks.label.tolist()) <= {-1, 0} and (found.tracks.label == -1).sum() == 3


def test_what_is_no_annotation_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match=r"gone\.csv does not exist"):
        read_ava_speech(tmp_path / "gone.csv", MEDIA)
    with pytest.raises(DataFileError, match="holds no csv"):
        read_ava_speech(tmp_path, MEDIA)
    with pytest.raises(DataFileError, match="its header lacks video_id"):
        read_ava_speech(file(tmp_path, "frame_timestamp,label\n1,2\n"), MEDIA)
