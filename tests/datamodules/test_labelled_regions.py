"""Where a class is to be seen: labelled regions follow the pixels of clips, and evidence in them is counted as such."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from callbacks.saliency_faithfulness import inside, measure_random
from callbacks.saliency_sample import region_mask
from datamodules.errors import LabelFileError
from datamodules.labelled_regions import MaskRegions, rectangles
from datamodules.labelled_videos import LabelledVideos
from datamodules.regions import RegionFileError
from models.saliency import evidence_of
from tasks.explaining import Explainable, explainable_clips
from tests.callbacks.saliency_reds import Redness

FRAMES, HEIGHT, WIDTH, SIDE = 40, 64, 96, 16
FIRST, STOP = 8, 24  # of the frames with an anomaly: a red square that moves
NAME = "01_0001"


def corner(frame: int) -> tuple[int, int]:
    """Where the square is, from the left and the top; it moves by whole blocks of JPEG."""
    return 8 + 8 * (frame // 4 % 4), 24


def draw(frame: int, anomalous: bool) -> np.ndarray:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    left, top = corner(frame)
    pixels[top : top + SIDE, left : left + SIDE, 0] = 255 * anomalous
    return pixels


@pytest.fixture
def campus(tmp_path: Path) -> Path:
    """Two testing videos in the sample's layout."""
    testing = tmp_path / "campus" / "testing"
    for folder in ("test_frame_mask", "anomaly_boxes"):
        (testing / folder).mkdir(parents=True)
    for name in (NAME, "02_0001"):
        (testing / "frames" / name).mkdir(parents=True)
        anomalous = [FIRST <= frame < STOP for frame in range(FRAMES)]
        for frame in range(FRAMES):
            image = Image.fromarray(draw(frame, anomalous[frame]))
            image.save(testing / "frames" / name / f"{frame:03}.png")
        np.save(testing / "test_frame_mask" / f"{name}.npy", np.array(anomalous, np.uint8))
        boxes = {f"{frame:03}": [square(frame)] for frame in range(FIRST, STOP)}
        content = {"video": name, "kind": "car", "frames": boxes}
        (testing / "anomaly_boxes" / f"{name}.json").write_text(json.dumps(content))
    return testing.parent


def square(frame: int) -> list[int]:
    left, top = corner(frame)
    return [left, top, left + SIDE, top + SIDE]


@pytest.fixture
def make(campus: Path, tmp_path: Path) -> Callable[..., LabelledVideos]:
    def build(**options: object) -> LabelledVideos:
        plain = {"root": str(campus), "cache": str(tmp_path / "cache"), "image_size": [HEIGHT, WIDTH], "crop": "none"}
        small = {"num_workers": 0, "num_frames": 4, "batch_size": 4, "val_fraction": 0.0, "regions": "labelled"}
        made = LabelledVideos(**{"normalization": "zero_one"} | plain | small | options)
        made.prepare_data()
        made.setup("fit")
        return made

    return build


def answers(datamodule: LabelledVideos, training: bool = False) -> list[Explainable]:
    """What a model that sees red says of clips; red is the class ``anomalous``."""
    model = Redness().eval()
    model.head.weight.data = model.head.weight.data.flip(0)
    loader = datamodule.train_dataloader() if training else datamodule.val_dataloader()
    batches = [datamodule.on_after_batch_transfer(batch, 0) for batch in loader]
    return [answer for batch in batches for answer in explainable_clips(model, batch, datamodule.classes)]


def share_inside(answer: Explainable, target: int = 1) -> float | None:
    model = Redness().eval()
    model.head.weight.data = model.head.weight.data.flip(0)
    return inside(answer, target, evidence_of(model, answer.video, target, "tube", run=model))["inside"]


def anomalous(found: list[Explainable]) -> list[Explainable]:
    return [answer for answer in found if answer.truth == (1,)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"image_size": [32, 48]},
        {"resize": "squash", "crop": "none", "image_size": [64, 64]},
        {"crop": "center", "image_size": [64, 64]},
        {"flip": 1.0},
        {"flip": 1.0, "crop": "random_resized", "image_size": [64, 96], "repeat": 8},
        {"flip": 1.0, "crop": "multi_scale", "resize": "short_side", "image_size": [48, 48], "repeat": 4},
    ],
    ids=["whole", "smaller", "squashed", "cropped", "flipped", "flipped and cropped", "all of it"],
)
def test_evidence_that_is_in_the_region_by_construction_is_found_there(make, options: dict) -> None:
    found = anomalous(answers(make(**options), training="flip" in options))
    seen = [answer for answer in found if answer.regions is not None]  # a crop may leave nothing of it
    assert len(seen) > len(found) / 2
    for answer in seen:
        red = answer.video[0, 0].sum()
        mask = region_mask(answer.regions, tuple(answer.video.shape[-3:]))
        assert red > 0 and answer.video[0, 0][mask].sum() > 0.85 * red  # resizing blurs edges of the square
        assert share_inside(answer) > 0.85


def test_evidence_at_the_place_but_at_another_time_is_not_in_the_region(make) -> None:
    [answer, *_] = anomalous(answers(make(frame_step=4)))
    assert answer.frames.diff().tolist() == [4, 4, 4]  # the square is elsewhere in each
    assert share_inside(answer) == pytest.approx(1, abs=1e-3)
    assert share_inside(replace(answer, video=answer.video.roll(1, 2))) < 0.7
    gone = answer.regions.clone()
    gone[1:] = torch.nan
    assert share_inside(replace(answer, regions=gone)) == pytest.approx(1 / 4, abs=1e-3)


def test_a_region_is_that_of_the_class_alone_and_normal_clips_have_none(make) -> None:
    found = answers(make())
    [answer, *_] = anomalous(found)
    assert share_inside(answer, target=0) is None and share_inside(answer, target=1) is not None
    model = Redness().eval()
    chance = measure_random(answer, 1, evidence_of(model, answer.video, 1, "tube", run=model), model)
    assert chance["inside"] == chance["region"] == pytest.approx(SIDE**2 / (HEIGHT * WIDTH))
    assert all(answer.regions is None for answer in found if answer.truth == (0,))


@pytest.mark.parametrize("options", [{"classes_by": "place"}, {"regions": None}], ids=str)
def test_where_a_place_is_seen_nobody_knows(make, options: dict) -> None:
    assert all(answer.regions is None for answer in answers(make(**options)))


def test_folders_of_classes_have_no_regions(make, campus: Path, tmp_path: Path) -> None:
    for label, name in (("a", NAME), ("b", "02_0001")):
        (tmp_path / "folders" / label).mkdir(parents=True)
        (tmp_path / "folders" / label / name).symlink_to(campus / "testing" / "frames" / name)
    assert all(answer.regions is None for answer in answers(make(root=str(tmp_path / "folders"))))


def test_pixel_masks_go_before_boxes_and_are_counted_pixel_by_pixel(make, campus: Path) -> None:
    (campus / "testing" / "test_pixel_mask").mkdir()
    masks = np.stack([draw(frame, True)[..., 0] > 0 for frame in range(FRAMES)])
    masks[:, :, ::2] = False  # every other column: no box is this
    np.save(campus / "testing" / "test_pixel_mask" / f"{NAME}.npy", masks.astype(np.uint8))
    [answer] = [each for each in anomalous(answers(make())) if each.name.startswith(NAME)]
    mask = region_mask(answer.regions, (4, HEIGHT, WIDTH))
    assert np.array_equal(mask.numpy(), masks[answer.frames.numpy()])
    assert share_inside(answer) == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(3))
def test_rectangles_are_the_mask_and_do_not_overlap(seed: int) -> None:
    mask = np.random.default_rng(seed).random((11, 13)) < 0.6
    mask[2:9, 3:7] = True
    count = np.zeros(mask.shape, int)
    for left, top, right, bottom in rectangles(mask).astype(int):
        count[top:bottom, left:right] += 1
    assert np.array_equal(count, mask)
    assert rectangles(np.zeros((4, 5), bool)).shape == (0, 4)
    assert rectangles(np.ones((4, 5), bool)).tolist() == [[0, 0, 5, 4]]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("{", LabelFileError, "is no JSON of boxes"),
        ("[]", LabelFileError, "is no JSON of boxes"),
        ('{"kind": "car"}', LabelFileError, "holds no frames; expected"),
        ('{"frames": {"008": [[1, 2, 0, 4]]}}', RegionFileError, r"\(008\): Boxes\[0\] = .* ends before it begins"),
        ('{"frames": {"eight": [[1, 2, 3, 4]]}}', RegionFileError, "image_id ends in 'eight'"),
    ],
)
def test_a_wrong_file_of_boxes_is_named(make, campus: Path, content: str, error: type, message: str) -> None:
    (campus / "testing" / "anomaly_boxes" / f"{NAME}.json").write_text(content)
    with pytest.raises(error, match=rf"{NAME}\.json.*{message}"):
        make()


def test_a_wrong_file_of_masks_is_named(make, campus: Path, tmp_path: Path) -> None:
    (campus / "testing" / "test_pixel_mask").mkdir()
    file = campus / "testing" / "test_pixel_mask" / f"{NAME}.npy"
    file.write_bytes(b"no array")
    with pytest.raises(LabelFileError, match=rf"{NAME}\.npy.*is no array of masks"):
        make()
    np.save(file, np.zeros((3, 4), np.uint8))
    with pytest.raises(LabelFileError, match=r"holds uint8 \(3, 4\), expected numbers \(frames, height, width\)"):
        make()
    np.save(file, np.zeros((3, 4, 5), np.uint8))
    with pytest.raises(LabelFileError, match="has masks of frames 1 to 3, expected one of frame 4"):
        MaskRegions(file, 1).at(4)
