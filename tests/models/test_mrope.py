"""Rotary positions: the fourteen things that must hold, and where tokens are."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from models.mrope import AXES, NOT_ROTATED, Rotary, rotate, slots_of
from models.talknet import TalkNet
from models.talknet_attention import StreamLayer
from tests.models.talknets import assert_close, small, tracks

HEADS, WIDTH = 4, 16  # a head of eight slots
LAYOUTS = ("interleaved", "chunked", "heads")
MODES = ("none", "time", "mrope")


def places(*shape: int, seed: int = 0, scale: float = 20.0) -> Tensor:
    return scale * torch.rand(*shape, len(AXES), generator=torch.Generator().manual_seed(seed))


def tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, HEADS * WIDTH, generator=torch.Generator().manual_seed(seed))


def layer() -> StreamLayer:
    torch.manual_seed(0)
    return StreamLayer(HEADS * WIDTH, HEADS).eval()


def turned(rotary: Rotary, *positions: Tensor) -> tuple[Tensor, ...]:
    return tuple(rotary.angles(place, HEADS, WIDTH) for place in positions)


def scores(rotary: Rotary, queries: Tensor, keys: Tensor, at_queries: Tensor, at_keys: Tensor) -> Tensor:
    """(B, H, N, M) of queries and keys (B, H, N or M, d)."""
    of_queries, of_keys = turned(rotary, at_queries, at_keys)
    return rotate(queries, of_queries) @ rotate(keys, of_keys).transpose(2, 3)


# ---------------------------------------------------------------- the fourteen


@torch.no_grad()
def test_1_without_rope_times_and_boxes_are_not_even_looked_at() -> None:
    model, batch = small(), tracks()  # that it is the published network is in tests/reference/asd/talknet.py
    nowhere = batch | {"seconds": torch.full_like(batch["seconds"], torch.nan), "boxes": None}
    assert_close(model(**nowhere), model(**batch), atol=0)


@pytest.mark.parametrize("layout", LAYOUTS)
@torch.no_grad()
def test_2_tokens_that_are_all_at_one_place_are_as_without_rope(layout: str) -> None:
    stream, other, attend = tokens(2, 7), tokens(2, 7, seed=1), layer()
    somewhere = torch.tensor([3.0, 11.0, 7.5]).expand(2, 7, 3)
    angles = turned(Rotary(layout), somewhere, somewhere)
    torch.testing.assert_close(attend(stream, other, angles=angles), attend(stream, other), atol=2e-6, rtol=0)


@pytest.mark.parametrize("layout", LAYOUTS)
@torch.no_grad()
def test_3_moving_all_tokens_of_both_streams_changes_nothing(layout: str) -> None:
    stream, other, attend, rotary = tokens(2, 7), tokens(2, 7, seed=1), layer(), Rotary(layout)
    at_stream, at_other = places(2, 7), places(2, 7, seed=1)
    expected = attend(stream, other, angles=turned(rotary, at_stream, at_other))
    for shift in (torch.tensor([100.0, 0.0, 0.0]), torch.tensor([-40.0, 100.0, -100.0])):
        angles = turned(rotary, at_stream + shift, at_other + shift)
        torch.testing.assert_close(attend(stream, other, angles=angles), expected, atol=5e-5, rtol=0)
    moved = attend(stream, other, angles=turned(rotary, at_stream + 100.0, at_other))
    assert (moved - expected).abs().amax() > 1e-3


@pytest.mark.parametrize("layout", LAYOUTS)
def test_4_one_position_on_all_axes_is_the_rope_of_one_axis_in_every_layout(layout: str) -> None:
    time, rotary = places(2, 7)[..., :1], Rotary(layout)
    frequency = rotary.theta ** (-torch.arange(0, WIDTH, 2) / WIDTH)
    expected = (time * frequency).unsqueeze(1)
    found = rotary.angles(time.expand(2, 7, 3), HEADS, WIDTH)
    torch.testing.assert_close(found, expected.expand_as(found))
    faces, sound = rotary.positions(time[..., 0] / rotary.time_rate)
    torch.testing.assert_close(faces, time.expand(2, 7, 3))
    assert torch.equal(sound, faces)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_5_turning_keeps_lengths(layout: str) -> None:
    queries = torch.randn(2, HEADS, 7, WIDTH)
    [angles] = turned(Rotary(layout), places(2, 7))
    assert (rotate(queries, angles) - queries).abs().amax() > 0.5
    torch.testing.assert_close(rotate(queries, angles).norm(dim=-1), queries.norm(dim=-1))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_6_scores_are_those_of_keys_turned_by_the_difference_of_places(layout: str) -> None:
    rotary = Rotary(layout)
    queries, keys = torch.randn(1, HEADS, 5, WIDTH), torch.randn(1, HEADS, 6, WIDTH)
    at_queries, at_keys = places(1, 5), places(1, 6, seed=1)
    found = scores(rotary, queries, keys, at_queries, at_keys)
    axes = torch.tensor(rotary.slots(HEADS, WIDTH)).expand(HEADS, -1)
    for head, n, m in product(range(HEADS), range(5), range(6)):
        expected = 0.0
        for slot, axis in enumerate(axes[head].tolist()):
            angle = (at_keys[0, m, axis] - at_queries[0, n, axis]) * rotary.theta ** (-2 * slot / WIDTH)
            turn = torch.tensor([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]])
            pair = [slot, slot + WIDTH // 2]
            expected = expected + queries[0, head, n, pair] @ turn @ keys[0, head, m, pair]
        torch.testing.assert_close(found[0, head, n, m], expected, atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
@torch.no_grad()
def test_7_tokens_in_another_order_come_out_in_that_order(layout: str) -> None:
    x, where, attend, rotary = tokens(1, 7), places(1, 7), layer(), Rotary(layout)
    order = torch.randperm(7)
    expected = attend(x, x, angles=turned(rotary, where, where))[:, order]
    where = where[:, order]
    found = attend(x[:, order], x[:, order], angles=turned(rotary, where, where))
    torch.testing.assert_close(found, expected)


def test_8_the_same_times_turn_alike_at_any_frame_rate() -> None:
    rotary = Rotary()
    at_25, at_30 = (torch.arange(fps, dtype=torch.float64).unsqueeze(0) / fps for fps in (25, 30))
    slow, fast = (rotary.angles(rotary.positions(seconds)[0], HEADS, WIDTH) for seconds in (at_25, at_30))
    torch.testing.assert_close(slow[:, :, ::5], fast[:, :, ::6])  # every fifth of a second
    step = fast[0, 0, 1, 0] / slow[0, 0, 1, 0]
    assert step.item() == pytest.approx(25 / 30)  # positions of frames are not rounded


@pytest.mark.parametrize("layout", LAYOUTS)
def test_9_a_gap_leaves_the_scores_among_the_others_as_they_are(layout: str) -> None:
    queries, keys = torch.randn(1, HEADS, 9, WIDTH), torch.randn(1, HEADS, 9, WIDTH)
    where, left = places(1, 9), [0, 1, 2, 6, 7, 8]
    expected = scores(Rotary(layout), queries, keys, where, where)[:, :, left][..., left]
    found = scores(Rotary(layout), queries[:, :, left], keys[:, :, left], where[:, left], where[:, left])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_10_masked_keys_have_no_influence() -> None:
    stream, other, attend, rotary = tokens(2, 7), tokens(2, 7, seed=1), layer(), Rotary()
    at_stream, at_other = places(2, 7), places(2, 7, seed=1)
    present = torch.tensor([[1, 1, 0, 1, 0, 1, 1], [0, 1, 1, 1, 1, 1, 0]]).bool()
    expected = attend(stream, other, present, turned(rotary, at_stream, at_other))
    changed = torch.where(present[..., None], stream, tokens(2, 7, seed=2))
    moved = torch.where(present[..., None], at_stream, places(2, 7, seed=2))
    found = attend(changed, other, present, turned(rotary, moved, at_other))
    assert torch.equal(found[present], expected[present])
    without = attend(stream, other, None, turned(rotary, at_stream, at_other))
    assert (without - expected).abs().amax() > 1e-3


def test_11_all_modes_have_the_same_tensors_and_use_them() -> None:
    states, learned = [], []
    for rope, context in product(MODES, ("track", "scene")):
        model = small(rope=rope, context=context).train()
        output = model(**tracks())
        sum(output[name].square().sum() for name in ("logits", "audio_logits", "video_logits")).backward()
        states.append({name: tensor.shape for name, tensor in model.state_dict().items()})
        learned.append({name for name, parameter in model.named_parameters() if parameter.grad is not None})
    assert all(state == states[0] for state in states)
    assert all(names == learned[0] for names in learned)
    assert len(learned[0]) == len(list(model.parameters())) - 1  # see test_talknet.py


@pytest.mark.parametrize("layout", LAYOUTS)
def test_12_bfloat16_turns_by_exact_angles(layout: str) -> None:
    rotary, queries, where = Rotary(layout), torch.randn(2, HEADS, 7, WIDTH), 1000 + places(2, 7)
    [angles] = turned(rotary, where)
    default = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.bfloat16)  # as the trainer does for precision=bf16-true
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(rotary.angles(where, HEADS, WIDTH), angles)
            faces, sound = rotary.positions(where[..., 0], places(2, 7, scale=1.0)[..., [0, 1, 0, 1]])
            found = rotate(queries.bfloat16(), angles)
    finally:
        torch.set_default_dtype(default)
    assert faces.dtype == sound.dtype == angles.dtype == torch.float32
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), rotate(queries.bfloat16().float(), angles), atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize(
    ("layout", "sections", "message"),
    [
        ("chunked", (4, 2, 3), "expected sections that sum to 8, the slots of a head of 16 channels, found"),
        ("interleaved", (4, 2, 1), "sections that sum to 8"),
        ("interleaved", (2, 3, 3), "column: 3 of 8 slots cannot be dealt by turns"),
        ("interleaved", (0, 4, 4), "row: 4 of 8 slots cannot be dealt by turns"),
        ("heads", (2, 2, 1), "sections of at most 4 heads"),
    ],
)
def test_13_sections_that_do_not_fit_are_refused(layout: str, sections: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rotary(layout, sections=sections).slots(HEADS, WIDTH)


@pytest.mark.parametrize("rope", MODES)
@torch.no_grad()
def test_14_a_scene_of_one_face_is_a_track(rope: str) -> None:
    batch = tracks()
    for name, value in small(rope=rope)(**batch).items():
        assert torch.equal(small(rope=rope, context="scene")(**batch)[name], value)


# ---------------------------------------------------------------- slots, places and the network


@pytest.mark.parametrize(
    ("layout", "head_dim", "expected"),
    [
        ("interleaved", 16, [[0, 1, 2, 0, 1, 2, 0, 0]]),
        ("interleaved", 8, [[0, 1, 2, 0]]),
        ("chunked", 16, [[0, 0, 0, 0, 1, 1, 2, 2]]),
        ("chunked", 12, [[0, 0, 0, 0, 1, 2]]),  # shares of space are rounded down
        ("heads", 4, [[0, 0], [0, 0], [1, 1], [2, 2]]),
    ],
)
def test_a_ratio_is_dealt_to_heads_of_any_size(layout: str, head_dim: int, expected: list[list[int]]) -> None:
    assert Rotary(layout).slots(HEADS, head_dim) == expected


def test_heads_that_are_left_do_not_turn() -> None:
    rotary, queries = Rotary("heads", sections=(1, 1, 1)), torch.randn(2, HEADS, 7, WIDTH)
    assert rotary.slots(HEADS, WIDTH)[3] == [NOT_ROTATED] * (WIDTH // 2)
    [angles] = turned(rotary, places(2, 7))
    assert torch.equal(rotate(queries, angles)[:, 3], queries[:, 3])


def test_faces_are_at_the_centres_of_their_boxes_and_sound_where_it_is_said_to_be() -> None:
    seconds = torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    boxes = torch.tensor([[[0.1, 0.2, 0.3, 0.8], [0.0, 0.0, 0.0, 0.0]]])
    seen = torch.tensor([[True, False]])
    for audio_pos, first in (("centre", (8.0, 8.0)), ("face", (8.0, 3.2)), ("zero", (0.0, 0.0))):
        faces, sound = Rotary(audio_pos=audio_pos).positions(seconds, boxes, seen)
        torch.testing.assert_close(faces, torch.tensor([[[0.0, 8.0, 3.2], [50.0, 8.0, 8.0]]]))  # nowhere is the centre
        torch.testing.assert_close(sound[0, 0], torch.tensor([0.0, *first]))
        assert sound[0, 1, 0] == 50.0


@pytest.mark.parametrize("rope", ["time", "mrope"])
@torch.no_grad()
def test_a_scale_of_nothing_is_the_network_without_rope(rope: str) -> None:
    batch, model, plain = tracks(), small(rope=rope), small()
    expected, with_rope = plain(**batch), model(**batch)
    model.rope_scale = 0.0
    assert_close(model(**batch), expected)
    assert (with_rope["fused"] - expected["fused"]).abs().amax() > 1e-3


@pytest.mark.parametrize("apply_to", [("cross",), ("self",)])
@torch.no_grad()
def test_only_the_layers_that_are_named_turn(apply_to: tuple[str, ...]) -> None:
    batch = tracks()
    found, plain = small(rope="time", rotary=Rotary(apply_to=apply_to))(**batch), small()(**batch)
    differs = {name: bool((found[name] - plain[name]).abs().amax() > 1e-4) for name in ("audio_logits", "logits")}
    assert differs == {"audio_logits": "cross" in apply_to, "logits": True}


@torch.no_grad()
def test_it_does_not_matter_when_a_track_begins_or_how_late_in_a_long_video() -> None:
    batch, model = tracks(), small(rope="mrope")
    expected = model(**batch)
    late = batch | {"seconds": batch["seconds"] + torch.tensor([0.0, 5.0, 36_000.0])[:, None]}
    assert_close(model(**late), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layout": "spiral"}, "layout: expected 'interleaved', 'chunked' or 'heads', found 'spiral'"),
        ({"ratio": (2, 1)}, "ratio: expected shares of time, row, column"),
        ({"ratio": (0, 0, 0)}, "ratio: expected shares"),
        ({"sections": (9, -1, 0)}, "sections: expected shares"),
        ({"theta": 1.0}, "expected theta > 1"),
        ({"time_rate": 0.0}, "time_rate > 0"),
        ({"space_scale": -1.0}, "space_scale >= 0"),
        ({"audio_pos": "left"}, "audio_pos: expected"),
        ({"apply_to": ("none",)}, "apply_to: expected some of 'cross' and 'self'"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rotary(**settings)


def test_slots_are_dealt_without_a_network_too() -> None:
    assert slots_of("interleaved", (4, 2, 2), HEADS, WIDTH) == Rotary().slots(HEADS, WIDTH)
    with pytest.raises(ValueError, match="ratio=\\[2, 1, 1\\]: 2 slots of a head leave an axis without any"):
        Rotary().slots(HEADS, 4)
    with pytest.raises(ValueError, match="even number of channels"):
        TalkNet(rope="time", dim=8, audio_widths=(8, 8, 8, 8), num_heads=8)
