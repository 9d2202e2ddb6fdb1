"""Labels of frames are the same from every kind of file, and whatever is no label of a frame is named."""

import json
import pickle
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from datamodules import frame_labels, safe_pickle
from datamodules.errors import LabelFileError, LabelLengthError, PathNotFoundError
from datamodules.frame_labels import (
    read_concatenated,
    read_frame_labels,
    read_mask,
    read_video_labels,
    write_frame_labels,
)
from datamodules.intervals import intervals_of, labels_of
from datamodules.safe_pickle import UnsafePickleError

LABELS = {
    "01_0014": np.array([0, 1, 1, 0, 1], np.uint8),
    "02_003": np.zeros(4, np.uint8),
    "12_0174": np.ones(1, np.uint8),
}


def as_folder(path: Path, labels: dict) -> Path:
    path.mkdir()
    for name, values in labels.items():
        np.save(path / f"{name}.npy", values)
    return path


def as_pickle(path: Path, labels: dict) -> Path:
    path = path.with_suffix(".pickle")
    path.write_bytes(pickle.dumps(labels))
    return path


def as_npz(path: Path, labels: dict) -> Path:
    np.savez(path.with_suffix(".npz"), **labels)
    return path.with_suffix(".npz")


KINDS = (as_folder, as_pickle, as_npz)
FORMS = {
    "as they are": lambda values: values,
    "as a row": lambda values: values[None],
    "float64": lambda values: values.astype(np.float64),
    "bool": lambda values: values.astype(bool),
    "big-endian int64": lambda values: values.astype(">i8"),
    "every second of a row": lambda values: values.repeat(2)[None, ::2],
}


def require_equal(found: dict, expected: dict) -> None:
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].dtype == np.uint8 and found[name].shape == values.shape, name
        assert found[name].tolist() == values.tolist(), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_labels_are_the_same_from_every_kind_of_file(tmp_path: Path, kind, form: str) -> None:
    path = kind(tmp_path / "labels", {name: FORMS[form](values) for name, values in LABELS.items()})
    require_equal(read_frame_labels(path), LABELS)


def test_lists_of_numbers_are_labels_as_well(tmp_path: Path) -> None:
    path = as_pickle(tmp_path / "labels", {name: values.tolist() for name, values in LABELS.items()})
    require_equal(read_frame_labels(path), LABELS)


@pytest.mark.parametrize("ending", [".npz", ".json"])
def test_written_labels_are_read_as_they_were(tmp_path: Path, ending: str) -> None:
    labels = LABELS | {"03_001": np.zeros(0, np.uint8)}
    path = tmp_path / f"labels{ending}"
    write_frame_labels(path, {name: values.astype(float)[None] for name, values in labels.items()})
    require_equal(read_frame_labels(path), labels)
    first = path.read_bytes()
    write_frame_labels(path, labels)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_a_json_file_holds_intervals_that_end_before_their_second_number(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    write_frame_labels(path, LABELS)
    assert json.loads(path.read_text()) == {
        "lengths": {"01_0014": 5, "02_003": 4, "12_0174": 1},
        "intervals": {"01_0014": [[1, 3], [4, 5]], "02_003": [], "12_0174": [[0, 1]]},
    }


def test_a_video_without_intervals_is_normal(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"lengths": {"02_003": 4}, "intervals": {}, "anomalous_frames": {"02_003": 0}}))
    require_equal(read_frame_labels(path), {"02_003": np.zeros(4, np.uint8)})


@pytest.mark.parametrize(
    ("lengths", "intervals", "message"),
    [
        ({"a": 4}, {"b": [[0, 1]]}, r"has intervals, but no lengths of \['b'\]"),
        ({"a": 4}, {"a": [[3, 5]]}, r"expected intervals within 4 frames, found \[3, 5\]"),
        ({"a": 4}, {"a": [[-1, 2]]}, "expected intervals within 4 frames"),
        ({"a": 4}, {"a": [[2, 2]]}, "expected intervals within 4 frames"),
        ({"a": 4}, {"a": [[2]]}, r"expected intervals \[first, behind the last\], found \[2\]"),
        ({"a": 4}, {"a": [[0, 1.5]]}, r"expected intervals \[first, behind the last\]"),
        ({"a": 4}, {"a": [3]}, r"expected intervals \[first, behind the last\], found 3"),
        ({"a": 4}, {"a": 3}, "labels.json: "),
        ({"a": -4}, {}, "expected numbers of frames"),
        ({"a": 4.0}, {}, "expected numbers of frames"),
        ({"a": 10**13}, {}, "expected numbers of frames, at most 10000000 in all"),
        (None, {}, "expected 'lengths' and 'intervals' by video"),
        ({"a": 4}, None, "expected 'lengths' and 'intervals' by video"),
    ],
)
def test_intervals_that_make_no_labels_are_named(tmp_path: Path, lengths, intervals, message: str) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"lengths": lengths, "intervals": intervals}))
    with pytest.raises(LabelFileError, match=message):
        read_frame_labels(path)


def test_intervals_are_the_runs_of_ones() -> None:
    draw = np.random.default_rng(0)
    for length in (0, 1, 2, 50):
        labels = draw.integers(0, 2, length).astype(np.uint8)
        intervals = intervals_of(labels)
        assert np.array_equal(labels_of(intervals, length), labels)
        assert all(behind < first for (_, behind), (first, _) in pairwise(intervals))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([0, 2]), r"holds other values \(int64\) than 0 \(normal\) and 1 \(anomalous\)"),
        (np.array([0, np.nan]), r"holds other values \(float64\)"),
        (np.array([0.5, 1]), r"holds other values \(float64\)"),
        (np.zeros((4, 4)), r"has shape \(4, 4\), expected \(frames,\) or \(1, frames\)"),
        (np.zeros((4, 1)), r"has shape \(4, 1\)"),
        (np.zeros((1, 1, 4)), r"has shape \(1, 1, 4\)"),
    ],
)
def test_what_is_no_label_is_named_with_file_and_video(tmp_path: Path, kind, values, message: str) -> None:
    path = kind(tmp_path / "labels", {"01_0014": LABELS["01_0014"], "02_003": values})
    with pytest.raises(LabelFileError, match=rf"{path}.*02_003.*: {message}"):
        read_frame_labels(path)


@pytest.mark.parametrize("content", [[1, 2], {3: [0]}, {"a": "01"}, {"a": {"b": 0}}, {"a": [[0, 1], [0]]}, {"a": None}])
def test_a_pickle_of_something_else_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(LabelFileError, match=r"labels.pickle: .*(expected an array|expected labels by name)"):
        read_frame_labels(as_pickle(tmp_path / "labels", content))


def test_an_unsafe_pickle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafePickleError, match="holds an array of 'O8'"):
        read_frame_labels(as_pickle(tmp_path / "labels", {"a": np.array([0, 1], object)}))


@pytest.mark.parametrize("kind", [as_folder, as_npz])
def test_object_arrays_are_refused(tmp_path: Path, kind) -> None:
    path = kind(tmp_path / "labels", {"a": np.array([0, 1], object)})
    with pytest.raises(LabelFileError, match=r"arrays? of labels \(.*allow_pickle=False"):
        read_frame_labels(path)


@pytest.mark.parametrize("ending", [".npz", ".json", ".npy"])
def test_a_damaged_file_is_named(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"labels{ending}"
    if ending == ".npy":
        np.save(path, LABELS["01_0014"])
    else:
        write_frame_labels(path, LABELS)
    content = path.read_bytes()
    for length in (0, 1, 20, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(LabelFileError, match=f"labels{ending}: "):
            read_mask(path) if ending == ".npy" else read_frame_labels(path)


def test_a_file_that_is_not_there_or_of_no_known_kind_is_named(tmp_path: Path) -> None:
    path = as_pickle(tmp_path / "labels", LABELS)
    with pytest.raises(PathNotFoundError, match=f"frame labels: .*label.pickle does not exist; did you mean {path}"):
        read_frame_labels(tmp_path / "label.pickle")
    (tmp_path / "labels.mat").touch()
    with pytest.raises(LabelFileError, match=r"labels.mat: expected a .pickle, .pkl, .npz or .json .*, found .*'.mat'"):
        read_frame_labels(tmp_path / "labels.mat")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LabelFileError, match=r"empty: holds no <video>.npy"):
        read_frame_labels(tmp_path / "empty")
    with pytest.raises(
        ValueError, match=r"labels.pickle: expected a file .npz or .json .*, found the ending '.pickle'"
    ):
        write_frame_labels(path, LABELS)


def test_more_labels_than_any_data_set_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_labels, "MAX_LABELS", 9)
    shared = np.zeros(5, np.uint8)
    with pytest.raises(LabelFileError, match="holds more than 9 labels"):
        read_frame_labels(as_pickle(tmp_path / "labels", {"a": shared, "b": shared}))


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "labels.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", bytes(10**6))
    monkeypatch.setattr(safe_pickle, "MAX_BYTES", 10**5)
    assert path.stat().st_size < 10**4
    with pytest.raises(LabelFileError, match="unpacks to 1000000 bytes, expected at most 100000"):
        read_frame_labels(path)


@pytest.mark.parametrize("value", [1, 1.0, True, [1.0], (1,), np.ones(1), np.ones((1, 1), np.uint8), np.float32(1)])
def test_labels_of_videos_are_read_in_every_form(tmp_path: Path, value: object) -> None:
    content = {"01_0014": value, "02_003": value * 0 if isinstance(value, np.ndarray | np.generic) else 0}
    assert read_video_labels(as_pickle(tmp_path / "labels", content)) == {"01_0014": 1, "02_003": 0}


def test_labels_of_videos_may_be_json_and_are_one_per_video(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text('{"01_0014": 1, "02_003": [0]}')
    assert read_video_labels(path) == {"01_0014": 1, "02_003": 0}
    with pytest.raises(LabelFileError, match="01_0014: has 5 labels, expected the one of the video"):
        read_video_labels(as_pickle(tmp_path / "frames", LABELS))


@pytest.mark.parametrize("row", [False, True])
def test_a_vector_of_all_videos_is_parted_in_the_order_of_the_lengths(tmp_path: Path, row: bool) -> None:
    vector = np.concatenate(list(LABELS.values())).astype(np.float64)
    np.save(tmp_path / "gt.npy", vector[None] if row else vector)
    lengths = {name: len(values) for name, values in LABELS.items()}
    require_equal(read_concatenated(tmp_path / "gt.npy", lengths), LABELS)
    with pytest.raises(LabelLengthError, match="has 10 labels, expected 26 for 3 videos"):
        read_concatenated(tmp_path / "gt.npy", lengths | {"02_003": 20})
    with pytest.raises(LabelFileError, match=r"gt.npy: expected a .pickle"):
        read_frame_labels(tmp_path / "gt.npy")


def test_a_mask_of_another_length_than_its_video_is_told_from_a_broken_one(tmp_path: Path) -> None:
    np.save(tmp_path / "01_0014.npy", LABELS["01_0014"])
    assert read_mask(tmp_path / "01_0014.npy", 5).tolist() == [0, 1, 1, 0, 1]
    with pytest.raises(LabelLengthError, match=r"has shape \(5,\), expected \(6,\) as the video's frames"):
        read_mask(tmp_path / "01_0014.npy", 6)
