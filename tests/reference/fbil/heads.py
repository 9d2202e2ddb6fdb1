"""The FBIL head gives the published numbers, step by step, and their gradients."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.action_losses import action_losses
from models.fbil import FBILHead
from models.fbil_keys import our_key
from models.interaction import Seats
from tests.prefixes import stripped
from tests.reference.fbil.numbers import beside, build_head, given_masks, num_pose, numbered, objects

OUTPUTS = {"atol": 2e-5, "rtol": 1e-5}  # README of the numbers
GRADIENTS = {"atol": 1e-6, "rtol": 1e-4}
LOSS = 1e-6


class Case(NamedTuple):
    """A stored call of a head.

    Attributes:
        path: Of its document.
        head: With the stored weights, without dropout.
        tensors: Inputs and what comes of them.
        inputs: Arguments of the head.
    """

    path: Path
    head: FBILHead
    tensors: dict[str, Tensor]
    inputs: dict[str, Any]


def cases() -> list[Case]:
    return [read(path, content) for path, content in objects("constructor", "roi_ids", "sizes_before_padding")]


def read(path: Path, content: dict) -> Case:
    tensors = beside(path, "io")
    features = [tensor for _, tensor in sorted(numbered(tensors, "in.features.").items())]
    assert content["single_feature"] == (len(features) == 1)
    grid = tuple(features[0].shape[-2:])
    # Shares of the filled up clip, (width, height); pixels are chosen so that they are whole numbers.
    shares = [[Fraction(x).limit_denominator(1000) for x in pair] for pair in content["sizes_before_padding"]]
    stride = math.lcm(*(share.denominator for pair in shares for share in pair))
    padded = tuple(side * stride for side in grid)
    size = torch.tensor([[int(padded[0] * high), int(padded[1] * wide)] for wide, high in shares])
    head = build_head(
        content["constructor"],
        content["ffn_dim"],
        beside(path, "weights"),
        [each.shape[1] for each in features],
        stride=stride,
        attention_dropout=content.get("dropout_in_grad_run", 0.0),
    )
    cells = head.cells(size, padded)
    for clip, image in content["images"].items():
        assert cells[int(clip)].tolist() == [image["eff_h"], image["eff_w"]]
    clip = tensors["in.rois"][:, 0].long()
    own = tensors["in.rois"][:, 1:] * torch.tensor(padded)[[1, 0, 1, 0]] / size[clip][:, [1, 0, 1, 0]]
    masks = given_masks(numbered(tensors, "in.global_mask."), numbered(tensors, "in.local_mask."), cells, grid)
    inputs = {"features": features, "rois": own, "clip": clip, "size": size, "padded": padded, "masks": masks}
    return Case(path, head, tensors, inputs)


def of_clips(stored: dict[str, Tensor], name: str) -> Tensor:
    """What was stored clip by clip, for all actors."""
    return torch.cat([tensor for _, tensor in sorted(numbered(stored, name).items())])


@torch.no_grad()
def test_heads_give_the_published_logits() -> None:
    for path, head, tensors, inputs in cases():
        assert torch.allclose(head(**inputs)["logits"], tensors["out.logits"], **OUTPUTS), path.name


@torch.no_grad()
def test_every_step_of_a_head_gives_the_published_numbers() -> None:
    for path, head, tensors, inputs in cases():
        place = head.place(*(inputs[name] for name in ("rois", "clip", "size", "padded")))
        plane = head.reduce(head.over_time(inputs["features"]))
        actors, context = head.pool(plane, place), head.encode(plane, place.cells)
        seats = Seats.of(place.clip, len(plane))
        foreground, background = head.interact(actors, seats, context, inputs["masks"])
        weights = head(**inputs)["weights"]
        found = {
            "mid.reduced": plane,
            "mid.roi_feats": actors,
            "mid.local_atten.": foreground,
            "mid.context_atten.": background,
            "mid.afa_weight.": weights,
            "mid.fused_norm.": head.norm(weights[:, :1] * foreground + weights[:, 1:] * background),
        }
        for name, value in found.items():
            expected = of_clips(tensors, name) if name.endswith(".") else tensors[name]
            assert torch.allclose(value, expected, **OUTPUTS), f"{path.name}: {name}"
        encoded = context.transpose(1, 2).unflatten(2, place.grid)
        for clip, expected in numbered(tensors, "mid.encoded.").items():
            rows, columns = place.cells[clip].tolist()
            assert torch.allclose(encoded[clip, :, :rows, :columns], expected, **OUTPUTS), f"{path.name}: {clip}"


def test_losses_and_gradients_are_the_published_ones() -> None:
    for path, head, tensors, inputs in cases():
        head.train()
        loss = action_losses(head(**inputs)["logits"], tensors["in.targets"], num_pose()).mean()
        assert abs(loss - tensors["out.loss"]) < LOSS, path.name
        loss.backward()
        parameters = dict(head.named_parameters())
        for name, expected in stripped(tensors, "grad.").items():
            assert torch.allclose(parameters[our_key(name)].grad, expected, **GRADIENTS), f"{path.name}: {name}"
