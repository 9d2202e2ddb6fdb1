"""Heads of detectors: an actor's logits do not depend on the batch, nor does anything on how many actors there are."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.actor_head import ActorHead
from models.fbil import FBILHead
from models.interaction import Seats
from models.linear_roi_head import LinearRoIHead

WIDTHS = (6, 4)
CLASSES = 5
STRIDE = 16
SIZES = torch.tensor([[96, 144], [80, 120], [96, 100]])
PADDED = (96, 144)
GRID = (6, 9)
CLIP = torch.tensor([0, 0, 0, 1, 2, 2])
ROIS = torch.tensor(
    [
        [0.1, 0.1, 0.4, 0.9],
        [0.5, 0.2, 0.9, 0.7],
        [0.0, 0.0, 0.2, 0.3],
        [0.93, 0.1, 0.99, 0.8],
        [0.5, 0.5, 0.5, 0.5],
        [0.2, 0.1, 0.6, 0.9],
    ]
)
SMALL = {"dim": 16, "num_heads": 2, "ffn_dim": 24, "encoder_depth": 2, "foreground_depth": 2, "background_depth": 1}


def make_fbil(**options: Any) -> FBILHead:
    torch.manual_seed(0)
    return FBILHead(**{"widths": WIDTHS, "num_classes": CLASSES} | SMALL | options)


def make_linear(**options: Any) -> LinearRoIHead:
    torch.manual_seed(0)
    return LinearRoIHead(**{"widths": WIDTHS, "num_classes": CLASSES} | options)


HEADS = {
    "fbil": make_fbil,
    "fbil with interaction": lambda: make_fbil(actor_interaction=True),
    "fbil that knows places": lambda: make_fbil(located=True),
    "linear": make_linear,
    "linear, pixels, aligned, maximum": lambda: make_linear(scale="pixels", aligned=True, time_pooling="max"),
}


def batch() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    features = [torch.randn(3, width, 2 * frames, *GRID, generator=generator) for frames, width in enumerate(WIDTHS, 1)]
    noise = torch.rand(3, 2, *GRID, generator=generator)
    return {"features": features, "rois": ROIS, "clip": CLIP, "size": SIZES, "padded": PADDED, "noise": noise}


def alone(given: dict[str, Any], i: int) -> dict[str, Any]:
    """The clip ``i`` of a batch, as it comes when it is the only one."""
    height, width = SIZES[i].tolist()
    rows, columns = -(-height // STRIDE), -(-width // STRIDE)
    return {
        "features": [each[i : i + 1, ..., :rows, :columns] for each in given["features"]],
        "rois": given["rois"][given["clip"] == i],
        "clip": torch.zeros(int((given["clip"] == i).sum()), dtype=torch.int64),
        "size": SIZES[i : i + 1],
        "padded": (height, width),
        "noise": given["noise"][i : i + 1, ..., :rows, :columns],
    }


@pytest.mark.parametrize("kind", HEADS)
@torch.no_grad()
def test_an_actor_gets_the_same_logits_in_any_batch(kind: str) -> None:
    head, given = HEADS[kind]().eval(), batch()
    together = head(**given)["logits"]
    for i in range(3):
        assert torch.allclose(together[i == CLIP], head(**alone(given, i))["logits"], atol=1e-5), i
    for each in given["features"]:  # what clips were filled up with
        each[1, ..., 5:, :] = each[1, ..., 8:] = each[2, ..., 7:] = 100
    assert torch.allclose(head(**given)["logits"], together, atol=1e-5)


@torch.no_grad()
def test_as_published_the_batch_does_matter() -> None:
    head, given = make_fbil(as_published=True).eval(), batch()
    together = head(**given)["logits"]
    assert not torch.allclose(together[CLIP == 1], head(**alone(given, 1))["logits"], atol=1e-3)


@pytest.mark.parametrize("kind", HEADS)
@torch.no_grad()
def test_the_order_of_actors_is_that_of_their_logits(kind: str) -> None:
    head, given, order = HEADS[kind]().eval(), batch(), torch.tensor([4, 3, 0, 5, 2, 1])
    shuffled = given | {"rois": ROIS[order], "clip": CLIP[order]}
    assert torch.allclose(head(**shuffled)["logits"], head(**given)["logits"][order], atol=1e-5)


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("kept", [[0, 1, 2], []], ids=["of two clips", "at all"])
def test_a_batch_without_actors_has_logits_and_gradients(kind: str, kept: list[int]) -> None:
    head, given = HEADS[kind]().train(), batch()
    for each in given["features"]:
        each.requires_grad_()
    logits = head(**given | {"rois": ROIS[kept], "clip": CLIP[kept]})["logits"]
    assert logits.shape == (len(kept), CLASSES) and logits.isfinite().all()
    logits.sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert kept or not parameter.grad.any(), name
    assert all(each.grad.isfinite().all() for each in given["features"])


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("box", [[1.0] * 4, [0.0] * 4, [0.9, 0.9, 0.1, 0.1], [0.0, 0.0, 1.0, 1.0]])
def test_a_degenerate_box_and_one_of_everything_keep_gradients_finite(kind: str, box: list[float]) -> None:
    head, given = HEADS[kind]().train(), batch()
    rois, clip = torch.tensor([box]), torch.tensor([1])
    for kept in ((rois, clip), (torch.cat([ROIS, rois]), torch.cat([CLIP, clip]))):
        logits = head(**given | dict(zip(("rois", "clip"), kept, strict=True)))["logits"]
        logits.square().sum().backward()
        assert logits.isfinite().all()
        assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


@torch.no_grad()
def test_actors_see_each_other_only_when_they_are_meant_to() -> None:
    given = batch()
    moved = given | {"features": [each.clone() for each in given["features"]]}
    for each in moved["features"]:
        each[0, ..., 3:, 5:] += 1  # cells of the second actor only: masks let nobody look at them
    masks = torch.ones(3, 2, *GRID, dtype=torch.bool)
    masks[:, :, 0, 0] = False
    for together in (False, True):
        head = make_fbil(actor_interaction=together, encoder_depth=0).eval()
        before, after = (head(**one | {"masks": masks})["logits"] for one in (given, moved))
        assert not torch.allclose(before[1], after[1], atol=1e-4)
        assert torch.allclose(before[0], after[0], atol=1e-5) != together
        assert torch.allclose(before[3:], after[3:], atol=1e-5)  # other clips


@pytest.mark.parametrize("together", [False, True])
def test_nobody_is_ever_given_nothing_to_look_at(together: bool) -> None:
    head, given, seen = make_fbil(actor_interaction=together), batch(), []

    def look(_: nn.Module, __: tuple, options: dict[str, Any]) -> None:
        if (blocked := options["key_padding_mask"]) is not None:
            seen.append(not blocked.all(1).any())

    for part in head.modules():
        if isinstance(part, nn.MultiheadAttention):
            part.register_forward_pre_hook(look, with_kwargs=True)
    everything = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    for rois, clip in ((ROIS[:3], CLIP[:3]), (ROIS[:0], CLIP[:0]), (everything, CLIP[3:4])):
        head(**given | {"rois": rois, "clip": clip, "masks": None})
    assert seen and all(seen)


@torch.no_grad()
def test_the_foreground_branch_sees_the_foreground_and_the_background_branch_the_rest() -> None:
    head, given = make_fbil(encoder_depth=0).eval(), batch()
    clip = torch.arange(3)
    place = head.place(ROIS[2:5], clip, SIZES, PADDED)
    foreground, own = head.regions(place)
    masks = head.region_masks(place)
    assert torch.equal(masks[:, 0], ~foreground) and torch.equal(masks[:, 1], ~own | foreground)
    plane = head.reduce(head.over_time(given["features"]))
    changed = torch.where(foreground.unsqueeze(1), plane + 1, plane)
    actors, seats = head.pool(plane, place), Seats.of(clip, 3)
    before, after = (head.interact(actors, seats, head.encode(each, place.cells), masks) for each in (plane, changed))
    assert not torch.allclose(before[0], after[0], atol=1e-4)
    assert torch.allclose(before[1], after[1], atol=1e-6)


@torch.no_grad()
def test_draws_are_averaged() -> None:
    head, given = make_fbil().eval(), batch()
    noise = torch.rand(3, 3, 2, *GRID)
    found = head(**given | {"noise": noise})["logits"]
    each = [head(**given | {"noise": one})["logits"] for one in noise]
    assert torch.allclose(found, torch.stack(each).mean(0), atol=1e-6)
    assert not torch.allclose(each[0], each[1], atol=1e-4)
    assert not torch.equal(head(**given | {"noise": None})["logits"], head(**given | {"noise": None})["logits"])


def test_noise_of_a_clip_depends_on_its_generator_alone() -> None:
    head = make_fbil()
    generators = [torch.Generator().manual_seed(seed) for seed in (3, 4, 5)]
    together = head.draw_noise(SIZES, PADDED, generators, draws=2)
    assert together.shape == (2, 3, 2, *GRID)
    for i, seed in enumerate((3, 4, 5)):
        padded = tuple(SIZES[i].tolist())
        one = head.draw_noise(SIZES[i : i + 1], padded, [torch.Generator().manual_seed(seed)], draws=2)
        assert torch.equal(together[:, i : i + 1, :, : one.shape[-2], : one.shape[-1]], one)


def test_the_context_is_encoded_once_whatever_the_number_of_actors() -> None:
    head, given, seen = make_fbil().eval(), batch(), []
    head.encoder.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape)))
    for repeated in (1, 4):
        head(**given | {"rois": ROIS.repeat(repeated, 1), "clip": CLIP.repeat(repeated)})
    assert seen == [(3, GRID[0] * GRID[1], SMALL["dim"])] * 2


@torch.no_grad()
def test_without_layers_a_branch_adds_nothing_of_the_context() -> None:
    head, given = make_fbil(encoder_depth=0, foreground_depth=0, background_depth=0).eval(), batch()
    noise = given | {"noise": torch.rand(3, 2, *GRID)}
    assert torch.equal(head(**given)["logits"], head(**noise)["logits"])
    assert not list(head.encoder.parameters())


@pytest.mark.parametrize("make", [make_fbil, make_linear])
def test_features_and_noise_of_another_shape_are_refused(make: Any) -> None:
    head, given = make(), batch()
    with pytest.raises(ValueError, match=r"widths: expected those of the features, \[6\], found \[6, 4\]"):
        head(**given | {"features": given["features"][:1]})
    with pytest.raises(ValueError, match=r"stride: .*expected"):
        head(**given | {"padded": (200, 144), "noise": None})
    if head.masked:
        with pytest.raises(ValueError, match=r"noise: expected shape .*found"):
            head(**given | {"noise": torch.rand(3, 2, 6, 8)})
        with pytest.raises(ValueError, match=r"masks: expected shape .*found"):
            head(**given | {"masks": torch.zeros(2, 2, *GRID, dtype=torch.bool)})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("dim", 18), ("num_heads", 3), ("ffn_dim", 0), ("encoder_depth", -1), ("foreground_depth", -1)),
        *(("aggregation", "sum"), ("dropout", 1.0), ("attention_dropout", -0.1), ("roi_size", 0), ("stride", 0)),
        *(("foreground_blocked", (0.1, 1.1)), ("background_blocked", (0.1,)), ("widths", (0, 1)), ("num_classes", 0)),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{option}: expected .*found"):
        make_fbil(**{option: value})


def test_an_encoder_that_nobody_looks_at_is_refused() -> None:
    with pytest.raises(ValueError, match="encoder_depth: expected 0"):
        make_fbil(foreground_depth=0, background_depth=0)


@pytest.mark.parametrize(("option", "value"), [("dropout", 1.0), ("time_pooling", "sum"), ("scale", "batch")])
def test_a_linear_head_refuses_values_by_name(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{option}: expected .*found"):
        make_linear(**{option: value})


@pytest.mark.parametrize("make", [make_fbil, make_linear])
@torch.no_grad()
def test_a_head_in_bfloat16_and_under_autocast_stays_near(make: Any) -> None:
    head, given = make().eval(), batch()
    exact = head(**given)["logits"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(head(**given)["logits"].float(), exact, atol=0.1)
    halved = given | {"features": [each.bfloat16() for each in given["features"]]}
    found = head.bfloat16()(**halved)["logits"]
    assert found.dtype == torch.bfloat16 and torch.allclose(found.float(), exact, atol=0.1)


def test_heads_are_modules_of_one_kind() -> None:
    assert all(isinstance(make(), ActorHead) and isinstance(make(), nn.Module) for make in HEADS.values())
    assert make_fbil().masked and not make_linear().masked
    assert isinstance(make_linear()(**batch())["logits"], Tensor)


def test_a_head_that_knows_places_sees_where_things_are_and_the_published_one_does_not() -> None:
    given = batch() | {"masks": torch.zeros(3, 2, *GRID, dtype=torch.bool)}
    given["features"] = [torch.ones_like(each) for each in given["features"]]  # the same everywhere
    clip = CLIP == 0
    for located in (False, True):
        head = make_fbil(located=located, encoder_depth=0).eval()
        first, second, third = head(**given)["logits"][clip]
        assert torch.allclose(first, second, atol=1e-5) != located
        assert torch.allclose(second, third, atol=1e-5) != located
