"""Tracks and detections of one's own: pixels or shares, frames or times, with and without tracks and labels."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from datamodules.ava_files import NOT_FINITE
from datamodules.ava_rows import BEYOND, OUTSIDE
from datamodules.errors import DataFileError, PathNotFoundError
from datamodules.tracks import Annotations, Medium
from datamodules.tracks.csv_tables import write_table
from datamodules.tracks.judging import BAD_LABEL
from datamodules.tracks.own_tracks import read_own_tracks

MEDIA = {"v": Medium(200, 100, 25.0, 50)}


@dataclass
class Found:
    number: int
    frames: list[int] = field(default_factory=list)
    boxes: list[np.ndarray] = field(default_factory=list)


class LeftAndRight:
    """Follows the face in the left half as track 1, the one in the right half as track 2, and loses small ones."""

    def __init__(self) -> None:
        self.found = [Found(1), Found(2)]

    def follow(self, frame: int, boxes: np.ndarray) -> None:
        for box in boxes:
            if box[2] - box[0] > 5:
                track = self.found[int(box[0] >= 100)]
                track.frames.append(frame)
                track.boxes.append(box[:4])

    def tracks(self) -> list[Found]:
        return self.found


def read(tmp_path: Path, text: str, **options: object) -> Annotations:
    path = tmp_path / "own.csv"
    path.write_text(text)
    return read_own_tracks(path, MEDIA, **{"video_id": "v"} | options)


def test_pixels_and_shares_say_the_same(tmp_path: Path) -> None:
    pixels = read(tmp_path, "frame,x1,y1,x2,y2,entity_id,label\n3,20,10,60,50,a,1\n4,20,10,60,50,a,\n")
    shares = read(
        tmp_path, "label,entity_id,x2,x1,y1,y2,timestamp\n1,a,0.3,0.1,0.1,0.5,0.12\n-1,a,0.3,0.1,0.1,0.5,0.17\n"
    )
    for found in (pixels, shares):
        tracks = found.tracks
        assert not found.defects and tracks.boxes.tolist() == [[0.1, 0.1, 0.3, 0.5]] * 2
        assert tracks.frame.tolist() == [3, 4] and tracks.label.tolist() == [1, -1] and set(tracks.dataset) == {"own"}
        assert found.clips["v"].labelled and set(tracks.person_id) == {"a"}
    assert pixels.tracks.timestamp.tolist() == [0.12, 0.16] and shares.tracks.timestamp.tolist() == [0.12, 0.17]


def test_a_file_in_pixels_and_in_shares_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="line 3 is in pixels, line 2 in shares"):
        read(tmp_path, "frame,x1,y1,x2,y2,entity_id\n3,0.1,0.1,0.3,0.5,a\n4,20,10,60,50,a\n")


def test_boxes_of_a_detector_are_linked(tmp_path: Path) -> None:
    text = "frame,x1,y1,x2,y2,score\n1,120,10,160,50,0.9\n0,20,10,60,50,0.9\n1,21,10,61,50,0.8\n"
    text += "1,0,0,4,4,0.3\n2,x,1,2,3,1\n"
    found = read(tmp_path, text, tracker=LeftAndRight)
    assert {key: found.tracks.frame[rows].tolist() for key, rows in found.tracks.entities.items()} == {
        ("v", "face_1"): [0, 1],
        ("v", "face_2"): [1],
    }
    assert [(one.kind, one.detail.split(":")[0]) for one in found.defects] == [(NOT_FINITE, "line 6")]
    assert found.tracks.label.tolist() == [-1] * 3 and not found.clips["v"].labelled
    assert found.voices.voice_at("v", np.arange(2)).tolist() == [-1, -1]
    with pytest.raises(DataFileError, match="lacks entity_id"):
        read(tmp_path, text)


def test_labels_may_be_words_and_wrong_ones_are_named(tmp_path: Path) -> None:
    rows = "0,1,1,9,9,a,SPEAKING_AUDIBLE\n1,1,1,9,9,a,NOT_SPEAKING\n2,1,1,9,9,a,yes\n99,1,1,9,9,a,0\n3,,1,9,9,a,0\n"
    found = read(tmp_path, "frame,x1,y1,x2,y2,entity_id,label\n" + rows + "4,300,1,309,9,a,0\n", split="val")
    assert found.tracks.label.tolist() == [1, 0, 0]
    lines = {defect.detail.split(":")[0]: defect.kind for defect in found.defects}
    assert lines.pop("v, entity a, from frame 4") == OUTSIDE
    assert lines == {"line 4": BAD_LABEL, "line 5": BEYOND, "line 6": NOT_FINITE}


def test_a_table_that_was_written_is_such_a_file(tmp_path: Path) -> None:
    tracks = read(tmp_path, "frame,x1,y1,x2,y2,entity_id,person_id,label\n3,20,10,60,50,a,p,1\n").tracks
    write_table(tmp_path / "again.csv", tracks)
    again = read_own_tracks(tmp_path / "again.csv", MEDIA)
    assert not again.defects and again.tracks.boxes.tolist() == tracks.boxes.tolist()
    assert again.tracks.person_id.tolist() == ["p"] and again.tracks.label.tolist() == [1]


def test_lacking_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"lacks y2, frame or timestamp, entity_id; expected a header with x1"):
        read(tmp_path, "x1,y1,x2\n1,2,3\n")
    with pytest.raises(DataFileError, match="lacks video_id"):
        read(tmp_path, "frame,x1,y1,x2,y2,entity_id\n", video_id=None)
    with pytest.raises(PathNotFoundError, match="does not exist"):
        read_own_tracks(tmp_path / "gone.csv", MEDIA)
