"""Rotary positions turn queries and keys as the published models do, and TalkNet's attention with them."""

from typing import Any

import pytest
import torch
from torch import Tensor

from models.mrope import NOT_ROTATED, Rotary, rotate, slots_of
from models.talknet_attention import StreamLayer
from models.talknet_keys import our_key
from tests.prefixes import stripped
from tests.reference.asd.networks import close, load, objects, tensor_files

LAYER = {"atol": 2e-5, "rtol": 1e-4}


def layout_of(kind: str) -> str:
    return next(layout for layout in ("chunked", "interleaved") if kind.startswith(layout))


def rotary_cases() -> list[tuple[dict[str, Any], dict[str, Tensor]]]:
    found = []
    for path, content in objects("cases", "position_id_examples"):
        for beside, tensors, _ in tensor_files(*(f"{case['name']}.q_rot" for case in content["cases"])):
            if beside.parent == path.parent:
                found += [(case, stripped(tensors, f"{case['name']}.")) for case in content["cases"]]
    assert found
    return found


def dealt(case: dict[str, Any]) -> bool:
    """Whether the sections of a case are what its slots got: published code deals fewer slots without a word."""
    owners = case["axis_of_frequency_slot"]
    return case["mrope_section"] == [owners.count(axis) for axis in range(3)]


def test_slots_follow_the_axes_they_do_in_the_published_code_or_are_refused() -> None:
    checked = {True: 0, False: 0}
    for case, _ in rotary_cases():
        arguments = layout_of(case["kind"]), case["mrope_section"], case["heads"], case["head_dim"]
        checked[dealt(case)] += 1
        if dealt(case):
            assert slots_of(*arguments) == [case["axis_of_frequency_slot"]]
        else:
            with pytest.raises(ValueError, match="cannot be dealt by turns"):
                slots_of(*arguments)
    assert checked[True]


def test_queries_keys_and_scores_are_the_published_ones() -> None:
    checked = 0
    for case, numbers in rotary_cases():
        if not dealt(case):
            continue
        rotary = Rotary(layout_of(case["kind"]), sections=case["mrope_section"], theta=case["theta"])
        angles = rotary.angles(numbers["position_ids"].movedim(0, -1), case["heads"], case["head_dim"])
        close(angles.cos()[:, 0].repeat(1, 1, 2), numbers["cos"])
        close(angles.sin()[:, 0].repeat(1, 1, 2), numbers["sin"])
        queries, keys = rotate(numbers["q"], angles), rotate(numbers["k"], angles)
        close(queries, numbers["q_rot"])
        close(keys, numbers["k_rot"])
        close(queries @ keys.transpose(2, 3) / case["head_dim"] ** 0.5, numbers["scores"])
        checked += 1
    assert checked


def test_heads_that_follow_one_axis_each_turn_as_in_the_published_code() -> None:
    checked = 0
    for path, content in objects("cases", "source"):
        for beside, tensors, _ in tensor_files(*(f"{case['name']}.q_rot" for case in content["cases"])):
            if beside.parent != path.parent or "position_ids" not in str(tensors.keys()):
                continue
            for case in content["cases"]:
                numbers = stripped(tensors, f"{case['name']}.")
                rotary = Rotary("heads", sections=case["heads_per_axis"], theta=case["theta"])
                angles = rotary.angles(numbers["position_ids"].movedim(0, -1), case["heads"], case["head_dim"])
                close(rotate(numbers["q"], angles), numbers["q_rot"])
                close(rotate(numbers["k"], angles), numbers["k_rot"])
                owners = [row[0] for row in rotary.slots(case["heads"], case["head_dim"])]
                assert owners.count(NOT_ROTATED) == case["heads"] - sum(case["heads_per_axis"])
                checked += 1
    assert checked


@torch.no_grad()
def test_attention_with_rotary_positions_gives_the_published_numbers() -> None:
    checked = 0
    for path, content in objects("variants", "d_model", "nhead"):
        heads = content["nhead"]
        width = content["d_model"] // heads
        outputs = [f"out.{variant['tag']}" for variant in content["variants"]]
        for beside, numbers, _ in tensor_files("in.pos_src", "in.pos_tar", "out.none", *outputs):
            if beside.parent != path.parent:
                continue
            layer = StreamLayer(content["d_model"], heads)
            load(layer, stripped(numbers, "state."), our_key, "selfAV.", "joint_attention.")
            source, target = numbers["in.src"], numbers["in.tar"]
            of_source, of_target = (numbers[f"in.pos_{name}"].movedim(0, -1) for name in ("src", "tar"))
            close(layer(source, target), numbers["out.none"], **LAYER)
            for variant, output in zip(content["variants"], outputs, strict=True):
                layout = layout_of(variant["kind"])
                rotary = Rotary(layout, sections=variant["mrope_section"], theta=variant["theta"])
                at_source, at_target = (rotary.angles(place, heads, width) for place in (of_source, of_target))
                close(layer(source, target, angles=(at_source, at_target)), numbers[output], **LAYER)
                close(layer(source, source, angles=(at_source, at_source)), numbers[f"{output}.self"], **LAYER)
                times = [place[..., :1].expand_as(place) for place in (of_source, of_target)]
                angles = tuple(rotary.angles(time, heads, width) for time in times)
                close(layer(source, target, angles=angles), numbers[f"{output}.all_axes_time"], **LAYER)
                checked += 1
    assert checked
