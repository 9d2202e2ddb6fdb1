"""Candidate regions from the two layouts of detector result files."""

import json
import logging
from copy import copy
from pathlib import Path

import numpy as np
import pytest

from datamodules.regions import RegionFileError, read_regions

ENTRIES = {
    "000.jpg": ([[1, 2, 30, 40], [5, 6, 7, 8]], [0.9, 0.5]),
    "001.jpg": ([], []),
    "010.jpg": ([[0, 0, 10, 10]], [0.25]),
}


def write(path: Path, results: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"results": results}))
    return path


def entry(image_id: str, boxes: list, scores: list | None = None, **more: object) -> dict:
    return {"image_id": image_id, "Boxes": boxes} | ({} if scores is None else {"Scores": scores}) | more


def check_entries(regions) -> None:
    for frame, (boxes, scores) in ((0, ENTRIES["000.jpg"]), (1, ([], [])), (5, ([], [])), (10, ENTRIES["010.jpg"])):
        found_boxes, found_scores = regions.at(frame)
        assert found_boxes.shape == (len(boxes), 4) and found_boxes.dtype == np.float32
        assert found_boxes.tolist() == boxes
        np.testing.assert_allclose(found_scores, scores)


def test_one_file_per_video(tmp_path: Path) -> None:
    results = [entry(image, *values, Labels=[3]) for image, values in ENTRIES.items()]
    write(tmp_path / "res_frcnn_01_001.json", results)
    found = read_regions(tmp_path, ["01_001", "scene/01_002"])
    check_entries(found["01_001"])
    assert len(found["scene/01_002"].at(0)[0]) == 0


def test_names_of_nested_videos_count_with_their_last_part(tmp_path: Path) -> None:
    write(tmp_path / "res_frcnn_clip.json", [entry(image, *values) for image, values in ENTRIES.items()])
    check_entries(read_regions(tmp_path, ["scene/clip"])["scene/clip"])


@pytest.mark.parametrize("prefix", ["", "img_"])
def test_one_file_for_the_set(tmp_path: Path, prefix: str) -> None:
    results = [entry(f"01_001_{prefix}{image}", *values) for image, values in ENTRIES.items()]
    results.append(entry("01_0014_000.jpg", [[9, 9, 10, 10]]))
    results.append(entry("99_999_000.jpg", [[9, 9, 10, 10]]))
    found = read_regions(write(tmp_path / "all.json", results), ["01", "01_001", "01_0014", "02"])
    check_entries(found["01_001"])
    assert found["01_0014"].at(0)[0].tolist() == [[9, 9, 10, 10]]
    assert len(found["01"].frames) == len(found["02"].frames) == 0


def test_the_order_of_entries_does_not_matter(tmp_path: Path) -> None:
    results = [entry(image, *values) for image, values in reversed(ENTRIES.items())]
    write(tmp_path / "res_frcnn_a.json", results)
    check_entries(read_regions(tmp_path, ["a"])["a"])


def test_without_scores_every_box_has_one(tmp_path: Path) -> None:
    write(tmp_path / "res_frcnn_a.json", [entry("img_00012.jpg", [[0, 0, 1, 1], [0, 0, 2, 2]])])
    assert read_regions(tmp_path, ["a"])["a"].at(12)[1].tolist() == [1, 1]


def test_more_labels_than_boxes_are_no_error(tmp_path: Path) -> None:
    write(tmp_path / "res_frcnn_a.json", [entry("0.jpg", [[0, 0, 1, 1]], [0.5], Labels=[1, 1, 3], Gold=[0, 0, 1, 1])])
    assert len(read_regions(tmp_path, ["a"])["a"].at(0)[0]) == 1


def test_regions_of_other_videos_alone_are_worth_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "res_frcnn_a.json", [entry("0.jpg", [[0, 0, 1, 1]])])
    with caplog.at_level(logging.WARNING):
        read_regions(tmp_path, ["a", "b"])
        assert not caplog.records
        read_regions(tmp_path, ["b", "c"])
    assert "holds regions of none of the 2 videos, such as b" in caplog.text


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([entry("0.jpg", [[1, 2, 3]])], r"results\[0\] \(0.jpg\): Boxes has shape \(1, 3\), expected \(R, 4\)"),
        ([entry("0.jpg", [[1, 2, 3, 4], [1]])], r"\(0.jpg\): Boxes is \[\[1, 2, 3, 4\], \[1\]\], expected a list of"),
        ([entry("0.jpg", [["1", 2, 3, 4]])], r"\(0.jpg\): Boxes is .* expected a list of finite numbers"),
        ([entry("0.jpg", [[1, 2, float("nan"), 4]])], r"expected a list of finite numbers"),
        ([{"image_id": "0.jpg"}], r"\(0.jpg\): Boxes is None, expected a list of finite numbers"),
        ([entry("0.jpg", [[0, 0, 9, 9], [5, 0, 4, 9]])], r"Boxes\[1\] = \[5.0, 0.0, 4.0, 9.0\] ends before it begins"),
        ([entry("0.jpg", [[0, 0, 1, 1]], [0.5, 0.5])], r"Scores has shape \(2,\), expected one for each of 1 boxes"),
        ([entry("0.jpg", [[0, 0, 1, 1]], [1.5])], r"Scores range from 1.5 to 1.5, expected \[0, 1\]"),
        ([entry("0.jpg", []), {"Boxes": []}], r"results\[1\] has no image_id"),
        ([entry("first.jpg", [])], r"image_id ends in 'first.jpg', expected the file name of a frame"),
        ([entry("0.jpg", []), entry("img_00.jpg", [])], r"image_id '0.jpg' and 'img_00.jpg' are both frame 0"),
        ({"0.jpg": []}, r"holds the keys \['results'\]; expected"),
    ],
)
def test_a_wrong_file_is_named_with_its_entry(tmp_path: Path, results: object, message: str) -> None:
    path = write(tmp_path / "res_frcnn_a.json", results)
    with pytest.raises(RegionFileError, match=message) as caught:
        read_regions(tmp_path, ["a"])
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("results: []", "is not JSON"),
        ("\xff", "is not JSON"),
        ("[]", "holds a list; expected"),
        ('{"boxes": []}', r"holds the keys \['boxes'\]; expected"),
        ('{"results": [{"image_id": "000.jpg", "Boxes": []}]}', "image_id '000.jpg' names no video"),
    ],
)
def test_a_file_that_is_something_else_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "set.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RegionFileError, match=message) as caught:
        read_regions(path, ["a"])
    assert str(path) in str(caught.value)


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"datamodule.regions: .*nowhere does not exist"):
        read_regions(tmp_path / "nowhere", ["a"])


def test_the_error_survives_the_way_out_of_a_worker(tmp_path: Path) -> None:
    error = copy(RegionFileError(tmp_path, "is broken"))  # rebuilt as on the way between processes
    assert str(error) == f"{tmp_path}: is broken"
