"""Pixels and boxes of clips, their frames and their filling up equal those of ACAR-Net."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from datamodules.actor_boxes import Framing, follow
from datamodules.crops import View, short_side
from datamodules.frame_indices import centred_clip
from datamodules.key_frames import collate_key_frames
from datamodules.normalization import normalize, statistics
from datamodules.transforms import channels_first, transform_clip
from tests.conftest import fixtures_root

NORMS = {"acar": "k700", "pyslowfast": "slowfast"}
GREY_LEVEL = 1 / 255 / 0.14  # one grey level, over the smallest standard deviation
SLACK = 1e-9


def content() -> dict:
    """The document of the transforms; there must be one."""
    found = [json.loads(path.read_text()) for path in sorted((fixtures_root() / "fbil").glob("*.json"))]
    found = [one for one in found if isinstance(one, dict) and "temporal_center_crop" in one]
    assert found, "no transforms among the reference numbers"
    return found[0]


def frames() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Frames (T, 3, H, W) uint8, and the clips that the reference makes of them."""
    files = [load_file(path) for path in sorted((fixtures_root() / "fbil").glob("*.safetensors"))]
    found = next(tensors for tensors in files if "in.frames" in tensors)
    return channels_first(found["in.frames"]), found


def views(params: list[dict], height: int, width: int) -> list[View]:
    """The steps of a case as views of ours."""
    steps: list[View] = []
    for step in params:
        size = step.get("size")
        name = step["transform"]
        if name == "Scale":
            whole = short_side(height, width, (size, size)).size if isinstance(size, int) else tuple(size[::-1])
            steps.append(View(0, 0, height, width, whole))
        elif name == "RandomHorizontalFlip":
            steps.append(View(0, 0, height, width, (height, width), mirrored=step["flip"]))
        elif name == "CenterCrop":
            crop = tuple(size[::-1])
            steps.append(View((height - crop[0]) // 2, (width - crop[1]) // 2, *crop, crop))
        elif name == "CornerCrop":
            steps.append(corner(step["crop_position"], size, height, width))
        else:
            assert name == "ScaleJitteringRandomCrop", name
            scaled = short_side(height, width, (step["scale"], step["scale"]))
            top, left = step["pos_y"] * (scaled.size[0] - size), step["pos_x"] * (scaled.size[1] - size)
            steps += [scaled, View(round(top), round(left), size, size, (size, size))]
        height, width = steps[-1].size
    return steps


def corner(place: str, size: int, height: int, width: int) -> View:
    """A square at a corner (tl, bl, br, tr) or in the middle (c)."""
    if place == "c":
        top, left = round((height - size) / 2), round((width - size) / 2)
    else:
        top, left = (height - size) * (place[0] == "b"), (width - size) * (place[1] == "r")
    return View(top, left, size, size, (size, size))


CASES = content()["spatial"]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_pixels_are_those_of_the_reference(case: dict) -> None:
    pixels, found = frames()
    steps = views(case["params"], *pixels.shape[-2:])
    clip = transform_clip(pixels, steps).transpose(0, 1)[None]
    expected = found[f"{case['name']}.clip"]
    assert clip.shape[1:] == expected.shape
    torch.testing.assert_close(
        normalize(clip, *statistics(NORMS[case["norm"]]))[0], expected, atol=GREY_LEVEL + SLACK, rtol=0
    )


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_boxes_are_those_of_the_reference(case: dict) -> None:
    info, boxes = case["aug_info"], np.array(case["boxes_in"])
    named = {"boxes_out": 0.0, **{key: float(key[-3:].replace("p", ".")) for key in case if "_threshold_" in key}}
    for key, least in named.items():
        moved, kept = follow(boxes, Framing(*info["crop_box"], mirrored=info["flip"]), least)
        assert kept.tolist() == [box is not None for box in case[key]]
        np.testing.assert_allclose(moved[kept], [box for box in case[key] if box is not None], atol=SLACK)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_views_show_the_part_that_the_reference_says(case: dict) -> None:
    width, height = case["aug_info"]["init_size"]
    steps = views(case["params"], height, width)
    found = Framing.of(steps, height, width)
    # Where the reference crops at a fraction of a pixel, the pixels and our boxes go to the next whole one.
    slack = SLACK if "Jitter" not in str(case["params"]) else 0.5 / min(steps[-2].size)
    assert found.mirrored == case["aug_info"]["flip"]
    np.testing.assert_allclose((found.x1, found.y1, found.x2, found.y2), case["aug_info"]["crop_box"], atol=slack)


def test_frames_of_a_window_are_those_of_the_reference_where_it_lies_in_the_excerpt() -> None:
    compared = 0
    for case in content()["temporal_center_crop"]:
        middle, half = case["n_frames"] // 2, case["size"] // 2
        if middle < half or middle - half + case["size"] > case["n_frames"]:
            continue  # the reference begins again at the first frame, ours repeats the last one
        num_frames = len(case["frames"])
        clip = centred_clip(middle, np.arange(case["n_frames"]), num_frames, case["step"])
        assert (clip + case["start_frame"]).tolist() == case["frames"]
        assert case["frames"][num_frames // 2] == case["mid"]
        compared += 1
    assert compared


def test_clips_are_filled_up_to_the_size_of_the_batch_as_in_the_reference() -> None:
    for case in content()["batch_pad"]:
        keys = ("second", "frames", "seconds", "index", "view", "views")
        nobody = {"actor": np.zeros(0, dtype=np.int64)}
        batch = collate_key_frames(
            [
                {"video": [torch.ones(shape, dtype=torch.uint8)], "name": [""], "actors": [nobody]}
                | {key: torch.zeros(1) for key in keys}
                for shape in case["shapes"]
            ]
        )
        assert list(batch["video"].shape) == case["out_shape"]
        assert batch["video"].sum((1, 2, 3, 4)).tolist() == case["valid_sum"]
        ratios = torch.tensor(case["out_shape"][-2:]) / batch["size"]
        torch.testing.assert_close(ratios.flip(1), torch.tensor(case["pad_ratios"]))
