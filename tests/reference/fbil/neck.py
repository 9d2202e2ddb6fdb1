"""Boxes of actors are jittered, cropped, mirrored and handed on as ACAR-Net and FBI-Learning do."""

import json

import numpy as np
import torch

from datamodules.actor_boxes import Framing, follow, jittered
from datamodules.key_frames import collate_key_frames
from tests.conftest import fixtures_root

PIXELS = 120  # a side of a clip, which all ratios of padding divide well


def content() -> dict:
    """The document of the neck; there must be one."""
    found = [json.loads(path.read_text()) for path in sorted((fixtures_root() / "fbil").glob("*.json"))]
    found = [one for one in found if isinstance(one, dict) and "bbox_jitter" in one]
    assert found, "no neck among the reference numbers"
    return found[0]


def noise(seed: int, copies: int) -> np.ndarray:
    """The draws of the reference, in its order: four of a box, one box after the other."""
    return np.random.RandomState(seed).uniform(-1, 1, (copies, 1, 4))


def moved(box: list[float], num: int, scale: float, draws: np.ndarray) -> np.ndarray:
    boxes = np.array([box])
    return np.concatenate(([boxes[0]] if num > 1 else np.empty((0, 4)), jittered(boxes, draws, scale)[:, 0]))


def test_jitter_is_that_of_the_reference_within_the_frame() -> None:
    for case in content()["bbox_jitter"]:
        copies = case["num"] - (case["num"] > 1)
        found = moved(case["box"], case["num"], case["scale"], noise(case["numpy_seed"], copies))
        # The reference lets two of the four sides leave the frame, and cuts them off after the crop.
        np.testing.assert_allclose(found, np.clip(case["out"], 0, 1), atol=1e-12)


def framing(info: dict) -> Framing:
    return Framing(*info["crop_box"], mirrored=info["flip"])


def batch_of(case: dict, given: dict) -> dict:
    """A batch as our data set would make it of the inputs of the reference."""
    widest = max(info["pad_ratio"][0] for info in given["aug_info"])
    highest = max(info["pad_ratio"][1] for info in given["aug_info"])
    samples = []
    for info, labels in zip(given["aug_info"], given["labels"], strict=True):
        boxes = np.array([label["bounding_box"] for label in labels]).reshape(-1, 4)
        targets = np.zeros((len(labels), len(case["targets"][0])), dtype=np.float32)
        for row, label in zip(targets, labels, strict=True):
            row[label["label"]] = 1
        rois, kept = follow(boxes, framing(info))
        actors = {
            "rois": rois[kept].astype(np.float32),
            "actor": np.flatnonzero(kept),
            "boxes": boxes[kept],
            "targets": targets[kept],
        }
        height, width = round(PIXELS * highest / info["pad_ratio"][1]), round(PIXELS * widest / info["pad_ratio"][0])
        video = torch.ones(3, 2, height, width, dtype=torch.uint8)
        clip = {"video": [video], "name": [""], "actors": [actors]}
        keys = ("second", "frames", "seconds", "index", "view", "views")
        samples.append(clip | {key: torch.zeros(1) for key in keys})
    return collate_key_frames(samples)


def test_actors_of_a_batch_are_those_of_the_reference() -> None:
    reference = content()
    case, batch = reference["eval"], batch_of(reference["eval"], reference["input"])
    expected = torch.tensor(case["rois"])
    assert batch["clip"].tolist() == expected[:, 0].tolist()
    assert torch.bincount(batch["clip"], minlength=len(case["roi_ids"]) - 1).cumsum(0).tolist() == case["roi_ids"][1:]
    shares = batch["size"] / torch.tensor(batch["video"].shape[-2:])
    before = torch.tensor(case["sizes_before_padding"])
    torch.testing.assert_close(shares.flip(1).float(), before.float(), atol=5e-3, rtol=0)  # whole pixels
    padded = batch["rois"] * before[batch["clip"]].repeat(1, 2).float()
    torch.testing.assert_close(padded, expected[:, 1:], atol=1e-7, rtol=0)
    assert torch.equal(batch["targets"], torch.tensor(case["targets"]))
    assert batch["boxes"].tolist() == case["bboxes"]


def test_a_box_that_the_crop_leaves_nothing_of_is_dropped() -> None:
    reference = content()
    case = reference["crop_drops_box"]
    assert case["num_rois"] == 1 and case["bbox_ids"] == [1]
    assert not reference["zero_rois"]["num_rois"] and not reference["zero_rois"]["bboxes"]
    for info, labels in zip(reference["input"]["aug_info"], reference["input"]["labels"], strict=True):
        boxes = np.array([label["bounding_box"] for label in labels]).reshape(-1, 4)
        _, kept = follow(boxes, framing(info))
        outside = (boxes[:, 2] <= info["crop_box"][0]) | (boxes[:, 0] >= info["crop_box"][2])
        assert (kept == ~outside).all()


def test_training_boxes_are_those_of_the_reference() -> None:
    """Jitter, crop, mirror and pad together; the draws go on from box to box, dropped ones included."""
    reference = content()
    given = reference["input"]
    for case, num in ((reference["train"], 1), (reference["train_num3"], None)):
        num = num or len(case["rois"]) // len(reference["eval"]["rois"])
        stream = np.random.RandomState(case.get("numpy_seed", reference["train"]["numpy_seed"]))
        scale = reference["bbox_jitter"][0]["scale"]
        found = []
        for place, (info, labels) in enumerate(zip(given["aug_info"], given["labels"], strict=True)):
            for label in labels:
                draws = stream.uniform(-1, 1, (num - (num > 1), 1, 4))
                rois, kept = follow(moved(label["bounding_box"], num, scale, draws), framing(info))
                found += [[place, *(box / np.tile(info["pad_ratio"], 2))] for box in rois[kept]]
        np.testing.assert_allclose(found, case["rois"], atol=1e-6)
