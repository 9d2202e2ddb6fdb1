"""Files of features: dumps of this project, files of others by a named layout, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datamodules.feature_files import FOREIGN, FeatureFileError, describe
from datamodules.feature_folder import FeatureFolderError, files_by_video, find_features, mixed, orphans, require_usable
from datamodules.feature_windows import FeatureLengthError, Windowing, window_spans
from tests.datamodules.dumps import RECIPE, write_dump

NAME = "01_0014"


def features(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def saved(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return path


def change(path: Path, **changes: Any) -> None:
    """Change entries of a sidecar, ``array__shape`` for one below another."""
    sidecar = path.with_suffix(".json")
    content = json.loads(sidecar.read_text())
    for key, value in changes.items():
        *above, last = key.split("__")
        node = content
        for name in above:
            node = node[name]
        node[last] = value
    sidecar.write_text(json.dumps(content))


# Dumps of this project.


@pytest.mark.parametrize(
    ("axes", "shape", "arranged"),
    [
        (("row", "channel"), (5, 4), lambda a: a[None]),
        (("row", "view", "channel"), (5, 3, 4), lambda a: a.transpose(1, 0, 2)),
        (("row", "statistic", "channel"), (5, 3, 4), lambda a: np.concatenate([a[:, 0], a[:, 1], a[:, 2]], 1)[None]),
        (
            ("row", "view", "statistic", "channel"),
            (5, 2, 3, 4),
            lambda a: a.transpose(1, 0, 2, 3).reshape(2, 5, 12),
        ),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_dump_is_read_as_views_rows_channels(tmp_path: Path, axes, shape, arranged, dtype) -> None:
    array = features(*shape).astype(dtype)
    path = write_dump(tmp_path, NAME, array, 75, axes=axes)
    file = describe([path], NAME)
    found = file.read()
    assert found.dtype == np.float32 and found.shape == file.shape
    assert np.array_equal(found, arranged(array).astype(np.float32))
    assert (file.frames, file.recipe, file.num_rows) == (75, RECIPE, 5)
    file.verify()


@pytest.mark.parametrize("first", [0, 1])
def test_the_frames_of_a_row_are_counted_from_the_first_frame_of_the_video(tmp_path: Path, first: int) -> None:
    path = write_dump(tmp_path, NAME, features(3, 4), 45, first=first)
    assert describe([path], NAME).spans.tolist() == [[0, 15], [16, 31], [32, 44]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "others"}, r"01_0014.json: found others version 1, expected vidzoo-features version 1"),
        ({"version": 2}, "found vidzoo-features version 2"),
        ({"video": "01_0015"}, "is of the video 01_0015, expected 01_0014"),
        ({"array__shape": [4, 4]}, r"01_0014.npy: found float32 \(3, 4\), its sidecar says float32 \(4, 4\)"),
        ({"array__dtype": "float16"}, r"found float32 \(3, 4\), its sidecar says float16"),
        ({"array__axes": ["row", "token"]}, r"has the axes row, token, expected row\[, view\]\[, statistic\], channel"),
        ({"array__axes": ["row", "row"]}, "has the axes row, row"),
        ({"rows__frames": [[0, 15], [16, 31]]}, "the frames of its 2 rows are no parts of a video of 45 frames"),
        ({"rows__frames": [[0, 15], [16, 31], [32, 45]]}, "no parts of a video of 45 frames"),
        ({"rows__frames": [[0, 15], [31, 16], [32, 44]]}, "no parts of a video of 45 frames"),
        ({"rows__frames": [[0, 15], [16, 31], [32]]}, "is no sidecar of features, or cut short"),
        ({"source": {}}, "is no sidecar of features, or cut short"),
        ({"recipe": None}, "is no sidecar of features, or cut short"),
    ],
)
def test_a_sidecar_that_does_not_describe_its_file_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    path = write_dump(tmp_path, NAME, features(3, 4), 45)
    change(path, **changes)
    with pytest.raises(FeatureFileError, match=message):
        describe([path], NAME)


def test_a_sidecar_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = write_dump(tmp_path, NAME, features(3, 4), 45)
    sidecar = path.with_suffix(".json")
    sidecar.write_bytes(sidecar.read_bytes()[:100])
    with pytest.raises(FeatureFileError, match=r"01_0014.json: is no sidecar of features, or cut short"):
        describe([path], NAME)


def test_a_file_without_a_sidecar_is_no_dump_and_its_layout_is_not_guessed(tmp_path: Path) -> None:
    path = saved(tmp_path / f"{NAME}.npy", features(3, 4))
    with pytest.raises(
        FeatureFileError, match=f"has no 01_0014.json .*datamodule.layout to one of {', '.join(FOREIGN)}"
    ):
        describe([path], NAME)


def test_a_dump_is_not_read_by_the_layout_of_others(tmp_path: Path) -> None:
    path = write_dump(tmp_path, NAME, features(3, 4), 45)
    with pytest.raises(FeatureFileError, match=r"describes itself in 01_0014.json; leave out datamodule.layout=rows"):
        describe([path], NAME, "rows_first")


def test_a_changed_byte_is_found_by_the_sum(tmp_path: Path) -> None:
    path = write_dump(tmp_path, NAME, features(3, 4), 45)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    file = describe([path], NAME)
    with pytest.raises(FeatureFileError, match=r"01_0014.npy: is not what its sidecar was written for \(sha256\)"):
        file.verify()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_refused_when_they_are_read(tmp_path: Path, value: float) -> None:
    array = features(3, 4)
    array[1, 2] = value
    file = describe([write_dump(tmp_path, NAME, array, 45)], NAME)
    with pytest.raises(FeatureFileError, match="holds NaN or infinite values"):
        file.read()


def test_a_file_that_changes_while_it_is_used_is_refused(tmp_path: Path) -> None:
    path = write_dump(tmp_path, NAME, features(3, 4), 45)
    file = describe([path], NAME)
    np.save(path, features(2, 4))
    with pytest.raises(FeatureFileError, match=r"found \(V, T, C\) = \(1, 2, 4\), where there was \(1, 3, 4\) before"):
        file.read()


# Files of other programs.


@pytest.mark.parametrize(
    ("layout", "shape", "arranged"),
    [
        ("rows_first", (10, 4), lambda a: a[None]),
        ("rows_first", (10, 10, 4), lambda a: a.transpose(1, 0, 2)),
        ("crops_first", (10, 10, 4), lambda a: a),
        ("statistics", (10, 3, 4), lambda a: a.reshape(1, 10, 12)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, ">f4"])
def test_the_named_layout_decides_also_where_the_shape_leaves_it_open(
    tmp_path: Path, layout: str, shape: tuple[int, ...], arranged, dtype
) -> None:
    array = features(*shape).astype(dtype)
    file = describe([saved(tmp_path / f"{NAME}_i3d.npy", array)], NAME, layout)
    assert np.array_equal(file.read(), arranged(array).astype(np.float32))
    assert (file.spans, file.frames, file.recipe) == (None, None, None)
    file.verify()


def test_a_file_per_crop_is_one_view_each_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    crops = features(12, 5, 4)
    for number, crop in enumerate(crops):
        saved(tmp_path / f"{NAME}_{number}.npy", crop)
    file = describe(sorted(tmp_path.glob("*.npy")), NAME, "crop_files")
    assert np.array_equal(file.read(), crops)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [((0, 2), r"found the crops \[0, 2\], expected 0 to 1"), ((1, 2), r"found the crops \[1, 2\]")],
)
def test_a_missing_crop_is_refused(tmp_path: Path, numbers: tuple[int, ...], message: str) -> None:
    paths = [saved(tmp_path / f"{NAME}_{number}.npy", features(5, 4)) for number in numbers]
    with pytest.raises(FeatureFileError, match=message):
        describe(paths, NAME, "crop_files")


def test_crops_of_different_lengths_are_refused(tmp_path: Path) -> None:
    paths = [saved(tmp_path / f"{NAME}_{number}.npy", features(5 + number, 4)) for number in range(2)]
    with pytest.raises(
        FeatureFileError, match=r"01_0014_1.npy: found shape \(6, 4\), the crops before it have \(5, 4\)"
    ):
        describe(paths, NAME, "crop_files")


@pytest.mark.parametrize(
    ("layout", "shape", "expected"),
    [
        ("rows_first", (4,), r"\(row, channel\) or \(row, view, channel\)"),
        ("crops_first", (5, 4), r"\(view, row, channel\)"),
        ("statistics", (5, 4), r"\(row, statistic, channel\)"),
        ("crop_files", (5, 2, 4), r"\(row, channel\)"),
    ],
)
def test_another_number_of_axes_is_refused(tmp_path: Path, layout: str, shape: tuple[int, ...], expected: str) -> None:
    path = saved(tmp_path / f"{NAME}_0.npy", features(*shape))
    with pytest.raises(FeatureFileError, match=f"expected {expected} with datamodule.layout={layout}"):
        describe([path], NAME, layout)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty, left by a program that did not finish"),
        (b"no array at all, but some text", "holds Python objects|is broken"),
    ],
)
def test_what_is_no_array_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / f"{NAME}.npy"
    path.write_bytes(content)
    with pytest.raises(FeatureFileError, match=message):
        describe([path], NAME, "rows_first")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[None, {}]]), "holds Python objects, which are not loaded because that runs code"),
        (np.zeros((3, 4), np.int64), "found numbers of type int64, expected an array of floating point numbers"),
        (np.zeros((0, 4), np.float32), r"holds no features: \(V, T, C\) = \(1, 0, 4\)"),
    ],
)
def test_an_array_without_features_is_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    with pytest.raises(FeatureFileError, match=message):
        describe([saved(tmp_path / f"{NAME}.npy", array)], NAME, "rows_first")


def test_a_file_that_is_cut_short_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = saved(tmp_path / f"{NAME}.npy", features(30, 40))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(FeatureFileError, match="is broken"):
        describe([path], NAME, "rows_first")


# Rows of foreign files and frames.


def foreign(tmp_path: Path, num_rows: int):
    return describe([saved(tmp_path / f"{NAME}.npy", features(num_rows, 4))], NAME, "rows_first")


@pytest.mark.parametrize(
    ("num_rows", "frames", "stride", "fits"),
    [
        (27, 433, 16, True),
        (28, 433, 16, True),
        (26, 433, 16, False),
        (29, 433, 16, False),
        (28, 432, 16, True),  # one frame more may have been decoded
        (28, 431, 16, False),
        (1, 5, 16, True),
        (105, 433, 4, True),
        (106, 433, 4, True),
        (107, 433, 4, False),
    ],
)
def test_rows_fit_frames_with_or_without_the_incomplete_last_window(
    tmp_path: Path, num_rows: int, frames: int, stride: int, fits: bool
) -> None:
    file, windowing = foreign(tmp_path, num_rows), Windowing(stride, tolerance=1)
    if fits:
        spans = window_spans(file, frames, windowing)
        assert spans.tolist() == [[row * stride, row * stride + 15] for row in range(num_rows)]
    else:
        with pytest.raises(FeatureLengthError, match=f"{NAME}: {num_rows} rows do not fit {frames} frames"):
            window_spans(file, frames, windowing)


# Folders.


def test_files_are_found_by_their_names_or_those_of_their_folders(tmp_path: Path) -> None:
    for place in ("train/01_0014_i3d.npy", "test/01_002.npy", "02_0128/feature.npy", "03_001_0.npy", "03_001_1.npy"):
        saved(tmp_path / place, features(3, 4))
    saved(tmp_path / "mean.npy", features(4))
    found = {name: len(paths) for name, paths in files_by_video(tmp_path).items()}
    assert found == {"01_0014": 1, "01_002": 1, "02_0128": 1, "03_001": 2}


def test_every_video_that_cannot_be_used_is_named_in_one_error(tmp_path: Path) -> None:
    for name in ("01_001", "01_002", "01_003", "01_004"):
        write_dump(tmp_path, name, features(3, 4), 45)
    write_dump(tmp_path, "01_005", features(3, 5), 45)
    write_dump(tmp_path, "01_006", features(3, 4), 45, recipe=RECIPE | {"dtype": "float16"})
    (tmp_path / "01_004.npy").write_bytes(b"")
    names = [f"01_{number:03}" for number in range(1, 9)]
    found, wrong = find_features(tmp_path, names)
    assert list(found) == ["01_001", "01_002", "01_003"]
    with pytest.raises(FeatureFolderError) as caught:
        require_usable(wrong, len(names), tmp_path)
    text = str(caught.value)
    assert f"datamodule.features={tmp_path}: 5 of 8 videos cannot be used:" in text
    assert "there is no file of 01_007, 01_008\n" in text
    assert "01_004.npy: is empty" in text
    assert "01_005.npy: found channels=5, expected 4 as 3 of 5 files have it" in text
    assert "01_006.npy: found recipe.dtype='float16', expected 'float32' as 3 of 5 files have it" in text


def test_a_folder_without_any_of_the_videos_is_explained(tmp_path: Path) -> None:
    _, wrong = find_features(tmp_path, ["01_001", "01_002"])
    with pytest.raises(FeatureFolderError, match=r"None is there: datamodule.root and datamodule.split say which"):
        require_usable(wrong, 2, tmp_path)


@pytest.mark.parametrize(
    "other",
    [
        {"recipe": {**RECIPE, "model": {"class": "V", "pool": "tokens"}}},
        {"recipe": {**RECIPE, "data": {"windows": {"stride": 4, "tail": "pad"}}}},
        {"recipe": {**RECIPE, "precision": "bf16"}},
        {"recipe": {name: value for name, value in RECIPE.items() if name != "dtype"}},
    ],
)
def test_dumps_of_different_recipes_are_not_mixed(tmp_path: Path, other: dict) -> None:
    for name in ("01_001", "01_002"):
        write_dump(tmp_path, name, features(3, 4), 45)
    write_dump(tmp_path, "01_003", features(3, 4), 45, **other)
    found, wrong = find_features(tmp_path, ["01_003", "01_001", "01_002"])
    assert (list(found), list(wrong)) == (["01_001", "01_002"], ["01_003"])
    assert mixed(found) == []


def test_two_files_of_one_video_are_refused(tmp_path: Path) -> None:
    saved(tmp_path / "01_0014.npy", features(3, 4))
    saved(tmp_path / "01_0014_i3d.npy", features(3, 4))
    saved(tmp_path / "01_0015_0.npy", features(3, 4))
    saved(tmp_path / "01_0015_1.npy", features(3, 4))
    _, wrong = find_features(tmp_path, ["01_0014", "01_0015"], "rows_first")
    assert "is not the only file of 01_0014, there is also" in wrong["01_0014"].detail
    assert "layout" not in wrong["01_0014"].detail
    assert wrong["01_0015"].detail.endswith("for a file per crop: datamodule.layout=crop_files")


def test_features_of_other_videos_are_named(tmp_path: Path) -> None:
    for name in ("01_001", "01_002"):
        saved(tmp_path / f"{name}.npy", features(3, 4))
    assert [defect.path for defect in orphans(tmp_path, ["01_001"])] == [str(tmp_path / "01_002.npy")]
