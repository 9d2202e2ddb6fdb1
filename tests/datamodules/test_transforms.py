"""Crops, resizing, flips and normalisation of clips, and boxes that follow them."""

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.crops import View, center, multi_scale_sizes, random_resized, short_side
from datamodules.normalization import STATISTICS, normalize, statistics
from datamodules.transforms import (
    CROPS,
    RESIZES,
    ClipTransform,
    channels_first,
    transform_boxes,
    transform_clip,
)

HEIGHT, WIDTH = 120, 200


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(frames: int = 2, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("size", [(64, 64), (48, 96), (150, 150)])
@pytest.mark.parametrize("frame", [(HEIGHT, WIDTH), (WIDTH, HEIGHT), (64, 64), (63, 200)])
def test_every_transform_gives_the_asked_size_and_stays_inside_the_frame(crop, resize, size, frame) -> None:
    transform = ClipTransform(size, resize, crop, flip=0.5)
    for seed in range(10):
        views = transform.views(*frame, seeded(seed))
        height, width = frame
        for view in views:
            assert 0 <= view.top <= height - view.height and 0 <= view.left <= width - view.width
            assert view.height > 0 and view.width > 0
            height, width = view.size
        assert (height, width) == size
    assert transform_clip(channels_first(noise(2, *frame)), views).shape == (2, 3, *size)


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("resize", RESIZES)
def test_a_painted_box_stays_on_its_pixels(crop: str, resize: str) -> None:
    left, top, right, bottom = 70, 30, 130, 90
    frames = np.zeros((2, HEIGHT, WIDTH, 3), dtype=np.uint8)
    frames[:, top:bottom, left:right] = 255
    box = torch.tensor([[left, top, right, bottom]], dtype=torch.float32)
    transform = ClipTransform((96, 112), resize, crop, flip=0.5)
    seen = 0
    for seed in range(40):
        views = transform.views(HEIGHT, WIDTH, seeded(seed))
        painted = transform_clip(channels_first(frames), views)[0, 0] > 127
        moved, kept = transform_boxes(box, views)
        rows, columns = painted.any(1).nonzero(), painted.any(0).nonzero()
        if not kept:
            assert not painted.any()
            continue
        if not painted.any():  # less than half a pixel is left of it
            assert (moved[0, 2:] - moved[0, :2]).min() < 1
            continue
        found = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        torch.testing.assert_close(moved[0], found.float(), atol=1.0, rtol=0)
        seen += 1
    assert seen >= 20


def test_a_box_outside_the_crop_is_dropped_and_one_across_its_edge_is_clipped() -> None:
    view = View(top=10, left=20, height=50, width=40, size=(100, 120))
    boxes = torch.tensor([[0.0, 0, 20, 60], [0, 0, 30, 20], [60, 10, 70, 20], [30, 20, 40, 30]])
    moved, kept = view.boxes(boxes)
    assert kept.tolist() == [False, True, False, True]
    assert moved[1].tolist() == [0, 0, 30, 20]
    assert moved[3].tolist() == [30, 20, 60, 40]


def test_mirroring_twice_changes_nothing() -> None:
    mirror = View(0, 0, HEIGHT, WIDTH, (HEIGHT, WIDTH), mirrored=True)
    frames, boxes = channels_first(noise()), torch.tensor([[3.0, 5, 60, 90]])
    assert not torch.equal(transform_clip(frames, [mirror]), frames)
    assert torch.equal(transform_clip(frames, [mirror, mirror]), frames)
    assert torch.equal(transform_boxes(boxes, [mirror, mirror])[0], boxes)
    assert transform_boxes(boxes, [mirror])[0].tolist() == [[WIDTH - 60, 5, WIDTH - 3, 90]]


@pytest.mark.parametrize("size", [(224, 224), (50, 70), (48, 33)])
def test_resizing_equals_pillow_to_one_grey_level(size: tuple[int, int]) -> None:
    frames = noise()
    view = View(11, 23, 90, 140, size)
    expected = Image.fromarray(frames[0][11:101, 23:163]).resize(size[::-1], Image.Resampling.BILINEAR)
    found = view.pixels(channels_first(frames))[0].permute(1, 2, 0)
    assert found.dtype == torch.uint8
    assert np.abs(found.numpy().astype(int) - np.asarray(expected).astype(int)).max() <= 1


def test_all_frames_of_a_clip_are_transformed_alike() -> None:
    frames = np.repeat(noise(1), 5, axis=0)
    clip = transform_clip(
        channels_first(frames), ClipTransform((64, 64), crop="random_resized").views(HEIGHT, WIDTH, seeded())
    )
    assert (clip == clip[:1]).all()


def test_the_generator_alone_decides() -> None:
    transform = ClipTransform((64, 64), crop="multi_scale", flip=0.5)
    drawn = [transform.views(HEIGHT, WIDTH, seeded(seed)) for seed in range(20)]
    torch.manual_seed(1)
    assert drawn == [transform.views(HEIGHT, WIDTH, seeded(seed)) for seed in range(20)]
    assert len({tuple(views) for views in drawn}) > 10


@pytest.mark.parametrize("crop", ["center", "none"])
def test_evaluation_draws_nothing(crop: str) -> None:
    generator = seeded()
    before = generator.get_state()
    ClipTransform((64, 64), "short_side", crop).views(HEIGHT, WIDTH, generator)
    assert torch.equal(generator.get_state(), before)


def test_center_crop_of_the_short_side_keeps_the_aspect_ratio() -> None:
    assert short_side(240, 320, (120, 120)) == View(0, 0, 240, 320, (120, 160))
    assert short_side(320, 240, (120, 120)) == View(0, 0, 320, 240, (160, 120))
    assert center(120, 160, (120, 120)) == View(0, 20, 120, 120, (120, 120))
    assert center(100, 400, (50, 100)) == View(0, 100, 100, 200, (50, 100))


def test_multi_scale_sides_near_the_wanted_size_snap_to_it() -> None:
    assert (222, 224) not in multi_scale_sizes(222, 300, (224, 224))
    assert (224, 224) in multi_scale_sizes(222, 300, (224, 224))
    assert (221, 221) in multi_scale_sizes(221, 300, (224, 224))


def test_random_resized_crops_keep_their_ranges_and_cover_them() -> None:
    generator = seeded()
    views = [random_resized(480, 640, (64, 64), generator) for _ in range(500)]
    shares = torch.tensor([view.height * view.width / (480 * 640) for view in views])
    ratios = torch.tensor([view.width / view.height for view in views])
    assert 0.075 < shares.min() < 0.15 and 0.85 < shares.max() <= 1
    assert 0.74 < ratios.min() < 0.8 and 1.25 < ratios.max() < 1.35
    assert abs(ratios.log().mean()) < 0.03


def test_a_frame_too_narrow_for_any_random_crop_shows_its_middle() -> None:
    view = random_resized(1000, 10, (64, 64), seeded(), area=(0.9, 1.0))
    assert (view.height, view.width, view.top) == (13, 10, 493)


def test_flip_happens_as_often_as_asked() -> None:
    transform = ClipTransform((64, 64), flip=0.25)
    generator = seeded()
    flips = sum(transform.views(64, 64, generator)[-1].mirrored for _ in range(1000))
    assert 200 < flips < 300


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_bytes_on_a_gpu_are_resized_as_on_the_cpu() -> None:
    frames = channels_first(noise())
    view = View(11, 23, 90, 140, (64, 48))
    on_cpu, on_gpu = view.pixels(frames), view.pixels(frames.cuda()).cpu()
    assert on_gpu.dtype == torch.uint8
    assert (on_cpu.int() - on_gpu.int()).abs().max() <= 1


@pytest.mark.parametrize("name", STATISTICS)
def test_normalisation_is_undone_by_mean_and_std(name: str) -> None:
    video = torch.from_numpy(noise(4)).permute(3, 0, 1, 2)[None]
    mean, std = statistics(name)
    pixels = normalize(video, mean, std)
    assert pixels.dtype == torch.float32
    restored = pixels * std.view(3, 1, 1, 1) + mean.view(3, 1, 1, 1)
    torch.testing.assert_close(restored, video / 255)


def test_normalisation_modes_have_their_named_ranges() -> None:
    video = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 2, 1, 1).expand(1, 3, 2, 1, 1)
    for name, expected in (("zero_one", [0.0, 1.0]), ("minus_one_one", [-1.0, 1.0])):
        assert normalize(video, *statistics(name))[0, 0].flatten().tolist() == expected
    red = normalize(video, *statistics("imagenet"))[0, 0].flatten()
    torch.testing.assert_close(red, torch.tensor([-0.485 / 0.229, 0.515 / 0.229]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"crop": "centre"},
            "datamodule.crop: expected one of multi_scale, random_resized, center, none, found 'centre'",
        ),
        ({"resize": "crop"}, "datamodule.resize: expected one of none, short_side, squash, found 'crop'"),
        ({"flip": 2.0}, r"datamodule.flip: expected a probability in \[0, 1\], found 2.0"),
        ({"size": (0, 224)}, r"datamodule.image_size: expected at least 1 pixel, found \(0, 224\)"),
    ],
)
def test_wrong_options_name_the_key_and_the_choices(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipTransform(**{"size": (64, 64)} | arguments)


def test_unknown_statistics_name_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"expected one of imagenet, .*, slowfast, k700, mfnet, found 'clip'"):
        statistics("clip")
