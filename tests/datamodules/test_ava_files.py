"""Files of boxes: rows of every format, pickles that run nothing, frame lists, label maps."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from datamodules.ava_files import MALFORMED, PROPOSED, read_excluded, read_frame_list, read_rows
from datamodules.errors import DataFileError, PathNotFoundError
from datamodules.label_map import of_names, read_label_map
from datamodules.safe_pickle import UnsafePickleError


def test_the_columns_of_ava_have_no_header(tmp_path: Path) -> None:
    file = tmp_path / "ava_train_v2.2.csv"
    file.write_text("-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,80,1\n\n-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,9,1\n")
    rows, defects = read_rows(file)
    assert not defects and rows.lines.tolist() == [1, 3] and rows.videos.tolist() == ["-5KQ66BBWC4"] * 2
    assert rows.seconds.tolist() == [902, 902] and rows.boxes.tolist() == [[0.077, 0.151, 0.283, 0.811]] * 2
    assert rows.classes.tolist() == ["80", "9"] and rows.scores.tolist() == [1, 1]


def test_proposals_have_a_score_with_and_without_an_action(tmp_path: Path) -> None:
    file = tmp_path / "boxes.csv"
    file.write_text("v,902,0.1,0.2,0.3,0.4,,0.9\nv,902,0.1,0.2,0.3,0.4,12,0.8\nv,902,0.1,0.2,0.3,0.4,0.7\n")
    rows, defects = read_rows(file, PROPOSED)
    assert not defects and rows.scores.tolist() == [0.9, 0.8, 0.7] and rows.classes.tolist() == ["", "12", ""]


def test_a_header_gives_the_order_of_the_columns(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text("class,video,time_s,x1,y1,x2,y2\njump,a.mp4,1.25,10,20,30,40\n")
    rows, defects = read_rows(file)
    assert not defects and rows.lines.tolist() == [2] and rows.seconds.tolist() == [1.25]
    assert rows.classes.tolist() == ["jump"] and rows.boxes.tolist() == [[10, 20, 30, 40]]
    file.write_text("class,video,x1,y1,x2,y2\n")
    with pytest.raises(DataFileError, match="its header lacks time_s"):
        read_rows(file)
    with pytest.raises(PathNotFoundError, match=r"absent\.csv does not exist"):
        read_rows(tmp_path / "absent.csv")


def test_dense_proposals_of_mmaction2_are_read_without_running_anything(tmp_path: Path) -> None:
    boxes = np.array([[0.1, 0.2, 0.3, 0.4, 0.9], [0.5, 0.5, 0.6, 0.6, 0.2]])
    file = tmp_path / "dense.pkl"
    file.write_bytes(pickle.dumps({"a,b,0902": boxes, "c,0903": boxes[:1]}))
    rows, defects = read_rows(file, PROPOSED)
    assert not defects and rows.videos.tolist() == ["a,b", "a,b", "c"] and rows.seconds.tolist() == [902, 902, 903]
    assert rows.scores.tolist() == [0.9, 0.2, 0.9] and rows.boxes[1].tolist() == [0.5, 0.5, 0.6, 0.6]


def test_samples_of_acar_name_classes_by_their_place_in_its_list(tmp_path: Path) -> None:
    labels = [{"bounding_box": [0.1, 0.2, 0.3, 0.4], "label": [1, 0], "person_id": 3}]
    labels += [{"bounding_box": [0.5, 0.5, 0.6, 0.6], "label": [], "person_id": -1}]
    sample = {
        "video": "v",
        "time": 902,
        "start_frame": 16,
        "n_frames": 91,
        "format_str": "image_%06d.jpg",
        "labels": labels,
    }
    file = tmp_path / "ava_train.pkl"
    file.write_bytes(pickle.dumps(([sample], [{"name": "bend", "id": 1}, {"name": "watch", "id": 80}])))
    rows, defects = read_rows(file)
    assert not defects and rows.classes.tolist() == ["80", "1", ""] and set(rows.videos.tolist()) == {"v"}
    assert rows.boxes.tolist() == [[0.1, 0.2, 0.3, 0.4]] * 2 + [[0.5, 0.5, 0.6, 0.6]]


class Caller:
    def __reduce__(self) -> tuple:
        return print, ("called",)


def test_a_pickle_that_calls_something_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "bad.pkl"
    file.write_bytes(pickle.dumps({"v,0902": Caller()}))
    with pytest.raises(UnsafePickleError):
        read_rows(file)
    assert "called" not in capsys.readouterr().out
    file.write_bytes(pickle.dumps([1, 2, 3]))
    with pytest.raises(DataFileError, match="holds something else"):
        read_rows(file)


def test_excluded_timestamps_are_read_by_line(tmp_path: Path) -> None:
    file = tmp_path / "excluded.csv"
    file.write_text("a,0905\nb\n")
    found, defects = read_excluded(file)
    assert found == {("a", 905.0)} and [one.kind for one in defects] == [MALFORMED] and "line 2" in defects[0].detail


def test_a_frame_list_tells_where_the_frames_are(tmp_path: Path) -> None:
    file = tmp_path / "train.csv"
    head = "original_vido_id video_id frame_id path labels\n"
    lines = [f'v 0 {n} sub/v/v_{n + 1:06}.jpg ""\n' for n in range(3)]
    file.write_text(head + "".join(lines))
    found = read_frame_list(file)["v"]
    assert (found.folder, found.first, found.count) == ("sub/v", "v_000001.jpg", 3)
    file.write_text(head + lines[0] + lines[2])
    with pytest.raises(DataFileError, match="line 3: frame 2 of v, expected 1"):
        read_frame_list(file)


def test_groups_of_classes_come_from_their_type_or_their_id(tmp_path: Path) -> None:
    file = tmp_path / "map.pbtxt"
    file.write_text(
        'label { name: "carry" label_id: 17 label_type: OBJECT_MANIPULATION }\n'
        'item { name: "stand" id: 12 }\n# nothing\nitem { name: "juggle" id: 300 }\n'
        'label {\n  name: "hold hands"\n  label_id: 200\n  label_type: PERSON_INTERACTION\n}\n'
    )
    found = read_label_map(file)
    assert [tuple(one) for one in found.actions] == [
        (12, "stand", "pose"),
        (17, "carry", "object"),
        (200, "hold hands", "person"),
        (300, "juggle", "other"),
    ]
    assert found.channels[200] == 2


def test_a_list_of_names_is_a_label_map_and_so_are_names_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("walk\n\nrun\n")
    assert [(one.id, one.name) for one in read_label_map(file).actions] == [(1, "walk"), (2, "run")]
    assert [(one.id, one.name) for one in of_names(["walk", "run", "walk"]).actions] == [(1, "run"), (2, "walk")]
    file.write_text("")
    with pytest.raises(DataFileError, match="there is no class in it"):
        read_label_map(file)
