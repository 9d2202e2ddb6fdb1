"""TalkNet: what a track is scored depends on nothing but that track, or on the faces of its scene."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from models.asd_losses import track_losses
from models.mrope import Rotary
from models.talknet import TalkNet
from tests.models.talknets import Batch, assert_close, rows, shortened, small, tracks

PUBLISHED_PARAMETERS = 15_744_481  # and operations, of the published code
PUBLISHED_GIGA_MULTIPLY_ADDS = 0.511
MODES = [{}, {"rope": "time"}, {"rope": "mrope", "context": "scene"}]
LENGTHS = torch.tensor([8, 5, 3])


def filled_up() -> tuple[Batch, Tensor]:
    """Tracks of different lengths in one batch, and which frames they have."""
    batch = tracks() | {"length": LENGTHS}
    return batch, torch.arange(8) < LENGTHS.unsqueeze(1)


def disturbed(batch: Batch, there: Tensor, sound: bool) -> Batch:
    """Other pixels, boxes and times where there is no frame, and other sound as well."""
    other = tracks(*there.shape, seed=9)
    found = dict(batch)
    for name in ("faces", "seconds", "boxes"):
        keep = there.view(*there.shape, *[1] * (batch[name].ndim - 2))
        found[name] = torch.where(keep, batch[name], other[name])
    if sound:
        found["audio"] = torch.where(there.repeat_interleave(4, 1)[..., None], batch["audio"], other["audio"])
    return found


@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_a_track_in_a_batch_is_scored_as_if_it_were_alone(mode: dict[str, Any]) -> None:
    model, (batch, _) = small(**mode), filled_up()
    together = model(**batch)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model(**shortened(rows(batch, row), length))
        found = {name: value[row : row + 1, :length] for name, value in together.items()}
        assert_close(found, alone)


@pytest.mark.parametrize("mode", MODES)
def test_what_fills_up_changes_nothing_in_training_either(mode: dict[str, Any]) -> None:
    batch, there = filled_up()
    found = []
    for each in (batch, disturbed(batch, there, sound=True)):
        model = small(**mode, dropout=0.0).train()
        output = model(**each)
        output["logits"][there].square().sum().backward()
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        found.append((output, model.state_dict(), gradients))
    (output, state, gradients), (other, other_state, other_gradients) = found
    assert_close(other, output, there)
    torch.testing.assert_close(other_state, state)
    torch.testing.assert_close(other_gradients, gradients)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("training", [False, True])
@torch.no_grad()
def test_frames_without_a_face_change_nothing_for_the_others(mode: dict[str, Any], training: bool) -> None:
    valid = torch.tensor([[1, 1, 0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 1, 1]]).bool()
    batch = tracks() | {"valid": valid}
    model = small(**mode, dropout=0.0).train(training)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected = model(**batch)
    model.load_state_dict(state)
    other = disturbed(batch, valid, sound=False) | {"seconds": batch["seconds"]}  # time goes on
    assert_close(model(**other), expected, valid)
    model.load_state_dict(state)
    everything = model(**other | {"valid": torch.ones_like(valid)})
    assert (everything["logits"] - expected["logits"])[:2].abs().amax() > 1e-3  # they would, were they faces


@torch.no_grad()
def test_attention_sees_all_sound_and_the_faces_that_are_there() -> None:
    model, batch = small(), tracks() | {"length": LENGTHS}
    batch["valid"][0, 2:5] = False
    output = model(**batch)
    audio, video = output["audio"], output["video"]
    heard = torch.arange(8) < LENGTHS.unsqueeze(1)
    seen = heard & batch["valid"]
    sound, face = model.audio_attention(audio, video, heard), model.video_attention(video, audio, seen)
    both = torch.cat([sound, face], -1)
    torch.testing.assert_close(output["audio_logits"], model.audio_head(sound))
    torch.testing.assert_close(output["video_logits"], model.video_head(face))
    torch.testing.assert_close(output["fused"], model.joint_attention(both, both, seen))


def test_who_may_see_nothing_sees_anything() -> None:
    stream, other = torch.randn(2, 5, 32), torch.randn(2, 5, 32)
    attend, present = small().joint_attention, torch.tensor([[True], [False]]).expand(2, 5)
    torch.testing.assert_close(attend(stream, other, present), attend(stream, other))


def test_sound_is_heard_where_there_is_no_face() -> None:
    valid = torch.tensor([[1, 1, 1, 1, 0, 0, 0, 0]]).bool()
    batch = tracks(1) | {"valid": valid}
    other = batch | {"audio": disturbed(batch, valid, sound=True)["audio"]}
    model = small()
    assert not torch.allclose(model(**batch)["logits"][valid], model(**other)["logits"][valid], atol=1e-3)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("training", [False, True])
def test_a_row_without_any_face_or_frame_does_no_harm(mode: dict[str, Any], training: bool) -> None:
    batch = tracks()
    batch["valid"][0], batch["length"][1] = False, 0
    model = small(**mode).train(training)
    output = model(**batch)
    assert all(value.isfinite().all() for value in output.values())
    output["logits"].sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    if not training:
        alone = model(**rows(batch, 2))
        assert_close({name: value[2:] for name, value in output.items()}, alone)


@pytest.mark.parametrize("mode", MODES)
def test_a_single_frame_can_be_trained_on(mode: dict[str, Any]) -> None:
    model = small(**mode).train()
    losses, weights = track_losses(model(**tracks(1, 1)), torch.ones(1, 1, dtype=torch.int64))
    (losses.sum() / weights.sum()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("mode", MODES)
def test_every_parameter_learns_but_the_shortcut_nobody_takes(mode: dict[str, Any]) -> None:
    model = small(**mode).train()
    track_losses(model(**tracks()), torch.randint(0, 2, (3, 8)))[0].sum().backward()
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {"video_encoder.frontend.pairs.0.shortcut.weight"}
    assert {name for name, parameter in model.named_parameters() if parameter.grad is None} == frozen


@torch.no_grad()
def test_faces_may_be_bytes_or_numbers() -> None:
    model, batch = small(), tracks()
    assert_close(model(**batch | {"faces": batch["faces"].float()}), model(**batch), atol=0)


# ---------------------------------------------------------------- scenes


@pytest.mark.parametrize("rope", ["none", "time", "mrope"])
@torch.no_grad()
def test_a_scene_of_one_face_is_a_track(rope: str) -> None:
    track, scene = small(rope=rope), small(rope=rope, context="scene")
    batch, _ = filled_up()
    batch["valid"][0, 3:5] = False
    for each in (batch, tracks(), tracks() | {"scene": torch.tensor([4, 7, 9])}):
        expected = track(**each)
        for name, value in scene(**each).items():
            assert torch.equal(value, expected[name]), name
    assert_close(scene(**tracks() | {"scene": None}), track(**tracks()), atol=0)


@pytest.mark.parametrize("rope", ["none", "mrope"])
@torch.no_grad()
def test_faces_of_a_scene_see_each_other_and_nobody_else(rope: str) -> None:
    model = small(rope=rope, context="scene")
    batch = tracks(4) | {"scene": torch.tensor([1, 1, 5, 5])}
    expected = model(**batch)["fused"]
    for changed, seen_by in ((0, [0, 1]), (2, [2, 3])):
        other = batch | {"faces": batch["faces"].clone()}
        other["faces"][changed] = 255 - other["faces"][changed]
        differs = (model(**other)["fused"] - expected).abs().amax((1, 2)) > 1e-4
        assert differs.nonzero().flatten().tolist() == seen_by


@pytest.mark.parametrize("missing", [False, True])
@torch.no_grad()
def test_scenes_with_different_numbers_of_faces_are_as_if_each_were_alone(missing: bool) -> None:
    model = small(rope="mrope", context="scene")
    batch = tracks(6) | {"scene": torch.tensor([0, 1, 1, 1, 2, 2])}
    if missing:
        batch["valid"][2, 4:], batch["valid"][4, :2] = False, False
        batch["length"][1:4] = 6
    batch["seconds"] = batch["seconds"] + torch.tensor([0.0, 70.0, 70.0, 70.0, 9.0, 9.0])[:, None]
    together = model(**batch)
    for scene in ([0], [1, 2, 3], [4, 5]):
        alone = model(**rows(batch, *scene))
        there = batch["valid"][scene] & (torch.arange(8) < batch["length"][scene, None])
        assert_close({name: value[scene] for name, value in together.items()}, alone, there)


@torch.no_grad()
def test_times_between_the_faces_of_a_scene_count() -> None:
    batch = tracks(2) | {"scene": torch.zeros(2, dtype=torch.int64)}
    later = batch | {"seconds": batch["seconds"] + torch.tensor([[0.0], [0.2]])}
    for context, differs in (("track", False), ("scene", True)):
        model = small(rope="time", context=context)
        found = (model(**later)["fused"] - model(**batch)["fused"]).abs().amax()
        assert (found > 1e-3) == differs


@torch.no_grad()
def test_the_order_of_the_faces_of_a_scene_does_not_matter() -> None:
    model, order = small(rope="mrope", context="scene"), [2, 0, 1]
    batch = tracks() | {"scene": torch.zeros(3, dtype=torch.int64)}
    expected = model(**batch)
    assert_close(model(**rows(batch, *order)), {name: value[order] for name, value in expected.items()})


@torch.no_grad()
def test_a_face_that_is_not_in_view_changes_nothing_for_the_others_of_its_scene() -> None:
    model = small(context="scene")
    batch = tracks() | {"scene": torch.zeros(3, dtype=torch.int64)}
    batch["valid"][2] = False
    alone = model(**rows(batch, 0, 1))
    assert_close({name: value[:2] for name, value in model(**batch).items()}, alone)


# ---------------------------------------------------------------- size, precision and what is refused


def test_it_is_as_large_and_as_costly_as_the_published_network() -> None:
    frames = 25
    with torch.device("meta"):
        model = TalkNet().eval()
        inputs = torch.empty(1, frames, 112, 112), torch.empty(1, 4 * frames, 13)
    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED_PARAMETERS
    with FlopCounterMode(display=False) as counter:
        model(*inputs)
    assert counter.get_total_flops() / 2e9 / frames == pytest.approx(PUBLISHED_GIGA_MULTIPLY_ADDS, abs=5e-4)


@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_half_precision_gives_about_the_same(mode: dict[str, Any]) -> None:
    model, (batch, there) = small(**mode), filled_up()
    expected = model(**batch)["fused"][there]
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = model(**batch)["fused"][there]
    exact = {name: value for name, value in batch.items() if name in ("seconds", "boxes")}
    default = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.bfloat16)  # as the trainer does
        alone = model.to(torch.bfloat16)(**batch | exact)["fused"][there]
    finally:
        torch.set_default_dtype(default)
    assert alone.dtype == torch.bfloat16
    for found in (under_autocast, alone):
        assert (found.float() - expected).square().mean().sqrt() < 0.05 * expected.std()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widths": (4, 4, 8)}, "widths: expected 4 numbers >= 1, found"),
        ({"audio_widths": (4, 8, 8, 16)}, "audio_widths: expected 4 numbers >= 8, found"),
        ({"audio_layers": (1, 1, 0, 1)}, "audio_layers: expected 4 numbers >= 1"),
        ({"dim": 32}, "dim: expected 16, the last of audio_widths, found 32"),
        ({"num_heads": 3}, "num_heads: expected a divisor of dim=16, found 3"),
        ({"tcn_blocks": -1}, "tcn_blocks: expected a number >= 0, found -1"),
        ({"head_width": 0}, "head_width: expected a number >= 1, found 0"),
        ({"face_size": 16}, "face_size: expected a number >= 32, found 16"),
        ({"rope": "space"}, "rope: expected 'none', 'time' or 'mrope', found 'space'"),
        ({"context": "room"}, "context: expected 'track' or 'scene', found 'room'"),
        ({"dropout": 1.0}, "dropout: expected a probability"),
        ({"rope": "time", "num_heads": 16}, "expected heads with an even number of channels"),
        ({"rope": "mrope", "num_heads": 8}, "leave an axis without any; set sections"),
        ({"rope": "mrope", "rotary": Rotary(sections=(2, 1, 1))}, "sections that sum to 8"),
    ],
)
def test_numbers_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"faces": torch.zeros(3, 8, 32, 30)}, r"faces: expected \(B, T, 32, 32\), found \(3, 8, 32, 30\)"),
        ({"audio": torch.zeros(3, 31, 13)}, r"audio: expected \(3, 32, 13\), four rows per frame, found \(3, 31, 13\)"),
        ({"seconds": None}, "rope='mrope' needs seconds of the frames, found None"),
        ({"boxes": None, "seconds": None}, "needs seconds and boxes"),
    ],
)
def test_batches_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(rope="mrope")(**tracks() | changes)
