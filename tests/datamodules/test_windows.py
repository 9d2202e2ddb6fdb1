"""Sliding windows: where they begin, which frames they hold, and which views are cut out of them."""

import numpy as np
import pytest
import torch
from torchvision.transforms.functional import five_crop, ten_crop

from datamodules.frame_indices import window_starts
from datamodules.transforms import ClipTransform, transform_clip
from datamodules.windows import VIEWS, Windows

SIZE = (28, 42)
FRAMES = {"wide": (56, 140), "square": (60, 60), "narrow": (100, 30), "as wide as a view": (56, 84), "small": (9, 13)}


@pytest.mark.parametrize(
    ("tail", "frames", "stride", "expected"),
    [
        ("drop", 1, 16, []),
        ("drop", 15, 16, []),
        ("drop", 16, 16, [0]),
        ("drop", 47, 16, [0, 16]),
        ("drop", 48, 16, [0, 16, 32]),
        ("drop", 24, 4, [0, 4, 8]),
        ("pad", 1, 16, [0]),
        ("pad", 15, 4, [0]),
        ("pad", 16, 4, [0]),
        ("pad", 17, 16, [0, 16]),
        ("pad", 48, 16, [0, 16, 32]),
        ("pad", 25, 4, [0, 4, 8, 12]),
        ("pad", 40, 30, [0, 30]),
        ("overlap", 1, 16, [0]),
        ("overlap", 15, 16, [0]),
        ("overlap", 17, 16, [0, 1]),
        ("overlap", 47, 16, [0, 16, 31]),
        ("overlap", 48, 16, [0, 16, 32]),
        ("overlap", 25, 4, [0, 4, 8, 9]),
    ],
)
def test_windows_begin_where_the_rule_for_the_tail_says(tail: str, frames: int, stride: int, expected: list) -> None:
    assert window_starts(frames, 16, stride, tail).tolist() == expected


@pytest.mark.parametrize("stride", [1, 3, 4, 16, 20])
@pytest.mark.parametrize("frames", [*range(1, 40), 193, 937])
def test_the_number_of_windows_is_that_of_the_formula(frames: int, stride: int) -> None:
    full, padded = max((frames - 16) // stride + 1, 0), max(-(-(frames - 16) // stride), 0) + 1
    assert len(window_starts(frames, 16, stride, "drop")) == full
    for tail in ("pad", "overlap"):
        starts = window_starts(frames, 16, stride, tail)
        assert len(starts) == padded and starts[-1] + 16 >= frames and (np.diff(starts) > 0).all()
    assert starts[-1] == max(frames - 16, 0)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="tail: expected one of pad, drop, overlap, found 'cut'"):
        window_starts(20, 16, 4, "cut")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "stride: expected at least 1, found 0"),
        ({"tail": "cut"}, "tail: expected one of pad, drop, overlap, found 'cut'"),
        ({"views": "left"}, "views: expected one of center, three_width, ten_crop, squash, found 'left'"),
        ({"resize": "cubic"}, "resize: expected one of bytes, float, found 'cubic'"),
        ({"channels": "grey"}, "channels: expected one of rgb, bgr, found 'grey'"),
        ({"resize": "float"}, "resize: float is for views=squash alone, found views=center"),
    ],
)
def test_a_wrong_option_is_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Windows(**options)


def picture(height: int, width: int) -> torch.Tensor:
    """uint8 (2, 3, H, W) of noise, with a colour of its own in each corner."""
    frames = torch.randint(
        100, 156, (2, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    rows, columns = max(height // 6, 1), max(width // 10, 1)
    colours = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]], dtype=torch.uint8)[..., None, None]
    frames[..., :rows, :columns], frames[..., :rows, -columns:] = colours[0], colours[1]
    frames[..., -rows:, :columns], frames[..., -rows:, -columns:] = colours[2], colours[3]
    return frames


def views_of(windows: Windows, frames: torch.Tensor) -> list[torch.Tensor]:
    sized = windows.bring_to_size(frames, SIZE)
    return [crop.pixels(sized) for crop in windows.crops(*sized.shape[-2:], SIZE)]


@pytest.mark.parametrize("shape", FRAMES.values(), ids=FRAMES.keys())
@pytest.mark.parametrize("views", VIEWS)
def test_every_view_of_every_shape_has_the_size_that_is_asked_for(views: str, shape: tuple[int, int]) -> None:
    windows = Windows(views=views)
    found = views_of(windows, picture(*shape))
    assert len(found) == windows.num_views == len(VIEWS[views])
    assert {(tuple(view.shape), view.dtype) for view in found} == {((2, 3, *SIZE), torch.uint8)}
    sized = windows.scaled(*shape, SIZE).size
    for crop in windows.crops(*sized, SIZE):
        assert 0 <= crop.top <= sized[0] - SIZE[0] and 0 <= crop.left <= sized[1] - SIZE[1]


@pytest.mark.parametrize("shape", FRAMES.values(), ids=FRAMES.keys())
def test_the_centre_is_what_evaluation_clips_show(shape: tuple[int, int]) -> None:
    transform = ClipTransform(SIZE, "none", "center")
    expected = transform_clip(picture(*shape), transform.views(*shape, torch.Generator()))
    assert torch.equal(views_of(Windows(views="center"), picture(*shape))[0], expected)


def test_three_views_show_the_whole_width_of_a_frame_that_just_covers_the_size() -> None:
    windows = Windows(views="three_width")
    left, centre, right = windows.crops(*windows.scaled(56, 140, SIZE).size, SIZE)
    assert windows.scaled(56, 140, SIZE).size == (28, 70)
    assert [(view.top, view.left) for view in (left, centre, right)] == [(0, 0), (0, 14), (0, 28)]
    narrow = windows.scaled(100, 30, SIZE).size
    assert narrow == (140, 42)
    assert {(view.top, view.left) for view in windows.crops(*narrow, SIZE)} == {(56, 0)}


def test_ten_crops_lie_in_the_order_of_torchvision() -> None:
    windows, frames = Windows(views="ten_crop"), picture(56, 140)
    sized = windows.bring_to_size(frames, SIZE)
    assert tuple(sized.shape[-2:]) == (32, 80)  # 28 * 8 / 7, and as wide as that makes it
    expected = ten_crop(sized, list(SIZE))
    found = views_of(windows, frames)
    assert len(expected) == 10 and all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert len({view.numpy().tobytes() for view in found}) == 10
    assert all(torch.equal(one, other) for one, other in zip(found[:5], five_crop(sized, list(SIZE)), strict=True))


def test_the_corners_of_ten_crops_are_where_their_names_say() -> None:
    views = dict(zip(VIEWS["ten_crop"], views_of(Windows(views="ten_crop"), picture(56, 140)), strict=True))
    red, green, blue, yellow = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))
    shown = {
        "top left": (0, 0, red),
        "top right": (0, -1, green),
        "bottom left": (-1, 0, blue),
        "bottom right": (-1, -1, yellow),
        "top left mirrored": (0, 0, green),
        "top right mirrored": (0, -1, red),
        "bottom left mirrored": (-1, 0, yellow),
        "bottom right mirrored": (-1, -1, blue),
    }
    for name, (row, column, colour) in shown.items():
        assert tuple(views[name][0, :, row, column].tolist()) == colour, name
    for name in ("centre", "centre mirrored"):
        assert all(100 <= value < 156 for value in views[name][0, :, [0, 0, -1, -1], [0, -1, 0, -1]].flatten().tolist())


def test_the_usual_ten_crops_come_from_frames_whose_short_side_is_256() -> None:
    assert Windows(views="ten_crop").scaled(480, 856, (224, 224)).size == (256, 456)


def test_floats_are_resized_without_rounding_or_antialiasing() -> None:
    frames = picture(56, 140)
    expected = torch.nn.functional.interpolate(frames.float() / 255, SIZE, mode="bilinear", align_corners=False)
    sized = Windows(views="squash", resize="float").bring_to_size(frames, SIZE)
    torch.testing.assert_close(sized, expected, rtol=0, atol=1e-6)
    assert (sized * 255 - (sized * 255).round()).abs().max() > 0.3
    as_bytes = Windows(views="squash").bring_to_size(frames, SIZE)
    assert as_bytes.dtype == torch.uint8 and (as_bytes / 255 - sized).abs().max() > 0.05


def batch_of(windows: Windows) -> tuple[dict, list[torch.Tensor]]:
    pools = [windows.bring_to_size(picture(56, 140), SIZE), windows.bring_to_size(picture(60, 60), SIZE)]
    last = windows.num_views - 1
    batch = {
        "pools": pools,
        "pool": torch.tensor([0, 1, -1, 1]),
        "places": torch.tensor([[0, 1, 1], [1, 0, 1], [0, 0, 0], [0, 0, 0]]),
        "view": torch.tensor([0, last, 0, 0]),
        "name": ["a", "b", "", "b"],
    }
    return batch, pools


@pytest.mark.parametrize("views", VIEWS)
def test_clips_are_cut_from_the_frames_and_views_they_name(views: str) -> None:
    windows = Windows(views=views)
    batch, pools = batch_of(windows)
    before = set(batch)
    cut = windows.cut(batch, SIZE)
    assert set(cut) == before - {"pools", "pool", "places"} | {"video"} and set(batch) == before
    assert cut["video"].shape == (4, 3, 3, *SIZE) and cut["video"].dtype == torch.uint8
    for clip, (pool, view, places) in enumerate([(0, 0, [0, 1, 1]), (1, -1, [1, 0, 1])]):
        crop = windows.crops(*pools[pool].shape[-2:], SIZE)[view]
        for frame, place in enumerate(places):
            assert torch.equal(cut["video"][clip, :, frame], crop.pixels(pools[pool][place : place + 1])[0])
    assert (cut["video"][2] == 0).all() and (cut["video"][3] != 0).any()


def test_bgr_swaps_red_and_blue_and_nothing_else() -> None:
    rgb, bgr = (Windows(views="three_width", channels=channels) for channels in ("rgb", "bgr"))
    assert torch.equal(bgr.cut(batch_of(bgr)[0], SIZE)["video"], rgb.cut(batch_of(rgb)[0], SIZE)["video"][:, [2, 1, 0]])


def test_a_batch_of_nothing_is_black() -> None:
    for windows in (Windows(), Windows(views="squash", resize="float")):
        batch = {"pools": [], "pool": torch.tensor([-1, -1]), "places": torch.zeros(2, 3, dtype=torch.int64)}
        video = windows.cut(batch | {"view": torch.zeros(2, dtype=torch.int64)}, SIZE)["video"]
        assert video.shape == (2, 3, 3, *SIZE) and video.dtype == windows.dtype and (video == 0).all()
