"""Face crops and their augmentation give the rectangles and pixels of the published loader."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.faces import augment
from datamodules.faces.crops import crop, rectangles, smoothed
from datamodules.tracks import ANNOTATED, TrackTable, VoiceTable
from datamodules.tracks.gaps import segments
from tests.conftest import fixtures_root

EXACT = 1e-9
GREY_LEVELS = 2


def cases(*keys: str) -> list[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """Every JSON object of faces that has all of ``keys``, with the arrays beside it; there must be one."""
    folder = fixtures_root() / "asd" / "faces"
    documents = [(path, json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]
    found = [(content, arrays_of(path)) for path, content in documents if set(keys) <= set(content)]
    assert found, f"no document with {keys} in {folder}"
    return found


def arrays_of(document: Path) -> dict[str, np.ndarray]:
    with np.load(document.with_suffix(".npz")) as arrays:
        return dict(arrays)


def picture(case: dict[str, Any], number: int) -> np.ndarray:
    """The image of the formula, uint8 (H, W, 3), RGB."""
    y, x, channel = np.mgrid[: case["image_hw"][0], : case["image_hw"][1], :3]
    blue_green_red = (3 * x + 5 * y + 40 * channel + 7 * number + x * y // 32) % 256
    return blue_green_red[..., ::-1].astype(np.uint8)


def largest_difference(one: np.ndarray, other: np.ndarray) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def test_crops_of_the_published_loader_are_met() -> None:
    for case, arrays in cases("interpolated_boxes_xyxy", "crop_rows_cols_and_pad", "used_frames"):
        boxes, expected = np.array(case["interpolated_boxes_xyxy"]), np.array(case["crop_rows_cols_and_pad"])
        x, y, half = smoothed(boxes, "ego4d_upstream")
        for name, values in {"smooth_x": x, "smooth_y": y, "smooth_size": half}.items():
            assert np.abs(values - arrays[name]).max() <= EXACT, name
        found = rectangles(boxes, "ego4d_upstream", *case["image_hw"])
        assert np.array_equal(found + expected[:, 4:], expected[:, :4])
        for frame, rectangle, face in zip(case["used_frames"], found, arrays["faces"], strict=True):
            ours = crop(picture(case, frame), rectangle, "ego4d_upstream", face.shape[-1])
            assert largest_difference(ours, face) <= GREY_LEVELS


def test_gaps_of_tracks_are_filled_as_the_published_loader_fills_them() -> None:
    for case, _ in cases("annotated", "interpolated_boxes_xyxy", "used_frames"):
        (height, width), boxes = case["image_hw"], case["annotated"]
        numbers = {key: np.array([box[key] for box in boxes]) for key in ("frame", "x", "y", "width", "height")}
        plain = {"dataset": "", "video_id": "clip", "entity_id": "face", "person_id": "", "track_id": "", "label": -1}
        sides = {"x1": numbers["x"] / width, "x2": (numbers["x"] + numbers["width"]) / width}
        sides |= {"y1": numbers["y"] / height, "y2": (numbers["y"] + numbers["height"]) / height}
        columns = plain | sides | {"frame": numbers["frame"], "timestamp": numbers["frame"] / 30, "source": ANNOTATED}
        tracks = TrackTable.from_columns(columns | {"frame_w": width, "frame_h": height})
        voices = {"video_id": (), "person_id": (), "first_frame": (), "last_frame": (), "wearer": ()}
        gap = int(np.diff(numbers["frame"]).max()) - 1
        filled = segments(tracks, VoiceTable.from_columns(voices), max_gap=gap)[0]
        found = filled.boxes[np.isin(filled.frame, case["used_frames"])] * [width, height, width, height]
        assert np.abs(found - case["interpolated_boxes_xyxy"]).max() <= EXACT


def test_augmentation_of_the_published_loader_is_met() -> None:
    for case, arrays in cases("crop_size", "crop_x", "crop_y", "angle_degrees"):
        face = arrays["face"][None]
        assert case["centre"] == [face.shape[-1] // 2] * 2
        ours = {
            "flip": augment.flip(face),
            "crop": augment.crop(face, case["crop_x"], case["crop_y"], case["crop_size"]),
            "rotate": augment.rotate(face, case["angle_degrees"]),
        }
        for name, found in ours.items():
            assert largest_difference(found[0], arrays[name]) <= GREY_LEVELS, name
