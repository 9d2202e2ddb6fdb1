"""Regions of a folder of videos: boxes lie where they were found, whatever happens to the pixels."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.datamodules.library import as_bytes, equal


def painted(root: Path, count: int = 12) -> dict[int, list[int]]:
    """Write frames with a moving white box, and the regions that say where it is."""
    folder = root / "walk"
    folder.mkdir(parents=True)
    boxes = {number: [20 + 5 * number, 30 + 2 * number, 60 + 5 * number, 70 + 2 * number] for number in range(count)}
    for number, (left, top, right, bottom) in boxes.items():
        frame = np.zeros((120, 160, 3), dtype=np.uint8)
        frame[top:bottom, left:right] = 255
        Image.fromarray(frame).save(folder / f"{number:03}.png")
    results = [
        {"image_id": f"{number:03}.jpg", "Boxes": [box, [0, 0, 4, 4]], "Scores": [0.9, 0.3], "Labels": [1, 1, 3]}
        for number, box in boxes.items()
        if number % 3
    ]
    (root / "regions").mkdir()
    (root / "regions" / "res_frcnn_walk.json").write_text(json.dumps({"results": results}))
    return boxes


@pytest.mark.parametrize("crop", ["multi_scale", "random_resized", "center", "none"])
@pytest.mark.parametrize("resize", ["none", "short_side", "squash"])
def test_boxes_of_a_batch_lie_on_what_they_were_found_on(make_videos, tmp_path: Path, crop: str, resize: str) -> None:
    painted(tmp_path / "set")
    options = {"crop": crop, "resize": resize, "flip": 0.5, "image_size": (64, 80), "clips_per_video": 12}
    with_regions = make_videos(root=str(tmp_path / "set"), frame_step=1, val_fraction=0.0, batch_size=1, **options)
    batch = next(iter(with_regions.train_dataloader()))
    found = 0
    for clip, frames, boxes, scores, counts in zip(
        as_bytes(batch), batch["frames"], batch["boxes"], batch["box_scores"], batch["box_count"], strict=True
    ):
        for pixels, frame, box, score, count in zip(clip, frames, boxes, scores, counts, strict=True):
            if frame % 3 == 0:
                assert count == 0
                continue
            assert (score[count:] == 0).all() and (box[count:] == 0).all()
            rows, columns = np.nonzero(pixels[..., 0] > 127)
            if score[0] != pytest.approx(0.9) or (box[0, 2:] - box[0, :2]).min() < 4:
                continue  # the white box is outside, or so thin at the edge that it is all blur
            found += 1
            expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(box[0], expected, atol=1.5)
    assert found > 20


def test_boxes_stay_in_the_stored_frame_on_request(make_videos, tmp_path: Path) -> None:
    boxes = painted(tmp_path / "set")
    options = {"crop": "multi_scale", "resize": "squash", "flip": 0.5, "image_size": (64, 80), "boxes_follow": False}
    datamodule = make_videos("predict", root=str(tmp_path / "set"), frame_step=1, batch_size=1, **options)
    batch = next(iter(datamodule.predict_dataloader()))
    for frame, found, count in zip(batch["frames"][0].tolist(), batch["boxes"][0], batch["box_count"][0], strict=True):
        assert found[:count].tolist() == ([] if frame % 3 == 0 else [boxes[frame], [0, 0, 4, 4]])


def test_regions_are_read_from_where_they_are_said_to_be(make_videos, tmp_path: Path) -> None:
    painted(tmp_path / "set")
    options = {"root": str(tmp_path / "set"), "batch_size": 1, "frame_step": 1}
    auto = next(iter(make_videos("predict", **options).predict_dataloader()))
    named = next(iter(make_videos("predict", regions="regions", **options).predict_dataloader()))
    absolute = next(iter(make_videos("predict", regions=str(tmp_path / "set/regions"), **options).predict_dataloader()))
    without = next(iter(make_videos("predict", regions=None, **options).predict_dataloader()))
    assert auto["box_count"].sum() > 0 and without["box_count"].sum() == 0
    assert equal([auto, auto], [named, absolute])
    with pytest.raises(FileNotFoundError, match=r"datamodule.regions: .*elsewhere does not exist"):
        make_videos("predict", regions="elsewhere", **options)
