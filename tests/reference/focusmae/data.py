"""Frame indices and crop choices equal those of VideoMAE V2 and FocusMAE, as stored in the reference numbers."""

import shutil
from pathlib import Path

import numpy as np

from datamodules.crops import multi_scale_offsets, multi_scale_sizes
from datamodules.frame_indices import (
    count_starts,
    dense_clip,
    dense_grid,
    dense_views,
    segment_clip,
    segment_views,
    strided_clip,
    window_starts,
)
from datamodules.regions import read_regions
from tests.reference.focusmae.numbers import documents, some

# Feature extraction of VideoMAE V2 slides a window of 16 consecutive frames, per data set at another stride.
WINDOW = 16
WINDOW_STRIDES = {"thumos14": 4, "fineaction": 16}


def pretraining(entry: dict) -> dict:
    start, frames = entry["start_offset_1based"] - 1, entry["frames"]
    choices = count_starts(frames, entry["num_frames"], entry["step"])
    return {
        # Upstream counts no choice where the video is too short, and then starts at its first frame.
        "offset_choices": choices if frames >= entry["num_frames"] * entry["step"] else choices - 1,
        "indices": strided_clip(start, frames, entry["num_frames"], entry["step"]).tolist(),
    }


def validation(entry: dict) -> dict:
    return {"indices": dense_clip(entry["frames"], entry["clip_len"], entry["rate"]).tolist()}


def dense_test(entry: dict) -> dict:
    clip = (entry["frames"], entry["clip_len"], entry["rate"])
    return {"clip_indices": dense_views(*clip, entry["segments"]).tolist(), "read_indices": dense_grid(*clip).tolist()}


def sparse_test(entry: dict) -> dict:
    views = segment_views(entry["frames"], entry["num_segment"], entry["test_num_segment"], entry.get("start_idx", 0))
    return {"clip_indices": views.tolist(), "read_indices": np.sort(views, axis=None).tolist()}


def sparse_validation(entry: dict) -> dict:
    return {"indices": segment_clip(entry["frames"], entry["num_segment"], first=entry.get("start_idx", 0)).tolist()}


def windows(entry: dict) -> dict:
    return {"starts": window_starts(entry["frames"], WINDOW, WINDOW_STRIDES[entry["data_set"].lower()]).tolist()}


KINDS = {
    "pretrain": pretraining,
    "validation": validation,
    "test_dense": dense_test,
    "test_sparse": sparse_test,
    "rawframe_validation": sparse_validation,
    "rawframe_test": sparse_test,
    "tad_starts": windows,
}


def frame_indices() -> list[tuple[str, dict]]:
    """Every entry of the files that hold frame indices, with its kind."""
    files = [content for _, content in documents() if isinstance(content, dict) and KINDS.keys() & content.keys()]
    return some([(kind, entry) for content in files for kind in content for entry in content[kind]], "frame indices")


def crop_choices() -> list[dict]:
    """Every image size for which crop choices are stored."""
    values = [value for _, content in documents() if isinstance(content, dict) for value in content.values()]
    return some([value for value in values if isinstance(value, dict) and "crop_wh_choices" in value], "crop choices")


def test_frame_indices_equal_upstream() -> None:
    for kind, entry in frame_indices():
        found = KINDS[kind](entry)
        assert {key for key, value in entry.items() if isinstance(value, list)} <= found.keys(), f"{kind}: not compared"
        for key, value in found.items():
            assert value == entry[key], (kind, key, entry)


def test_multi_scale_crops_equal_upstream() -> None:
    for case in crop_choices():
        width, height = case["image_wh"]
        size = case["input_size"]
        target = (size, size) if isinstance(size, int) else (size[1], size[0])
        sizes = multi_scale_sizes(height, width, target)
        assert [[crop_width, crop_height] for crop_height, crop_width in sizes] == case["crop_wh_choices"]
        for crop_height, crop_width in sizes:
            offsets = multi_scale_offsets(height, width, crop_height, crop_width)
            expected = case["offsets_for_each_crop"][f"{crop_width}x{crop_height}"]
            assert [[left, top] for top, left in offsets] == expected


def test_region_files_are_read_frame_by_frame(tmp_path: Path) -> None:
    files = [(path, content) for path, content in documents() if isinstance(content, dict) and "results" in content]
    for path, content in some(files, "region files"):
        shutil.copy(path, tmp_path / "res_frcnn_video.json")
        regions = read_regions(tmp_path, ["video"])["video"]
        for entry in content["results"]:
            boxes, scores = regions.at(int("".join(filter(str.isdigit, Path(entry["image_id"]).stem))))
            np.testing.assert_allclose(boxes, np.reshape(entry["Boxes"], (-1, 4)), rtol=1e-6)
            np.testing.assert_allclose(scores, entry["Scores"], rtol=1e-6)
