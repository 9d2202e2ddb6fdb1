"""Segments, windows of foreign files, and what is refused as a file of features, against the stored numbers."""

from pathlib import Path

import numpy as np
import pytest

from datamodules.feature_files import FeatureFile, FeatureFileError, describe
from datamodules.feature_windows import FeatureLengthError, Windowing, window_spans
from datamodules.segments import pooled
from tests.reference.shanghaitech.numbers import array_files, documents, folder, some


def cases(*keys: str) -> list[tuple[dict, dict]]:
    """Every case that holds ``keys``, with the document it is in."""
    found = [
        (content, case) for _, content in documents("cases") for case in content["cases"] if set(keys) <= set(case)
    ]
    return some(found, f"cases of {keys}")


def test_videos_of_any_length_are_pooled_as_published() -> None:
    twins = [
        (arrays[name], arrays[name.replace("features_", "segments_")])
        for _, arrays in array_files()
        for name in arrays
        if name.startswith("features_") and name.replace("features_", "segments_") in arrays
    ]
    for features, expected in some(twins, "segments"):
        found = pooled(features.transpose(1, 0, 2), expected.shape[1])
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)


def test_a_video_has_as_many_windows_as_the_published_extractor_makes() -> None:
    for content, case in cases("num_full", "num_pad_last"):
        if case["num_frames"]:
            counts = Windowing(case["stride"], content["clip_len"]).counts(case["num_frames"])
            assert counts == (case["num_full"], case["num_pad_last"]), case


def test_rows_that_do_not_fit_the_frames_of_a_video_are_refused() -> None:
    stati = set()
    for content, case in cases("num_snippets", "project"):
        status, num_rows = case["project"]["status"], case["num_snippets"]
        stati.add(status)
        file = FeatureFile("01_0014", (Path("01_0014.npy"),), ("row", "channel"), (1, num_rows, 1))
        windowing = Windowing(content["snippet"], content["snippet"], tolerance=0)
        if status == "ok":
            assert len(window_spans(file, case["num_frames"], windowing)) == num_rows
        elif status == "mismatch":
            with pytest.raises(FeatureLengthError, match=f"{num_rows} rows do not fit {case['num_frames']} frames"):
                window_spans(file, case["num_frames"], windowing)
    assert {"ok", "mismatch"} <= stati


def test_an_array_of_python_objects_is_no_file_of_features() -> None:
    files = [path for path in sorted(folder().glob("*.npy")) if holds_objects(path)]
    for path in some(files, "arrays of objects"):
        with pytest.raises(FeatureFileError, match="holds Python objects, which are not loaded"):
            describe([path], "01_0014", "rows_first")


def holds_objects(path: Path) -> bool:
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return read(file)[2].hasobject
