"""What both small models of active speakers share: nothing reaches a track from beside it or from behind its end."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.checkpoint_formats import CheckpointError
from models.light_asd import LightASD
from models.light_encoders import TrackEncoders, reversed_in_time
from models.light_keys import LIGHT_PAIRS, LR_PAIRS
from models.lr_asd import LRASD
from models.pretrained import load_pretrained
from models.weights_family import rename

KINDS = [LightASD, LRASD]
PAIRS = {LightASD: LIGHT_PAIRS, LRASD: LR_PAIRS}
FRAMES, SIDE = 9, 32
LENGTHS = torch.tensor([9, 4, 1])
THERE = torch.arange(FRAMES) < LENGTHS.unsqueeze(1)

Build = type[LightASD] | type[LRASD]


def make_model(kind: Build, **options: object) -> TrackEncoders:
    """A small model whose norms do something, without chance."""
    torch.manual_seed(0)
    model = kind(**{"widths": (4, 6, 8), "face_size": SIDE} | options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.copy_(torch.rand_like(tensor) + 0.5)
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model.eval()


def tracks(seed: int = 0) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    faces = torch.randint(0, 256, (len(LENGTHS), FRAMES, SIDE, SIDE), generator=draws, dtype=torch.uint8)
    return faces, 10 * torch.randn(len(LENGTHS), 4 * FRAMES, 13, generator=draws)


def refilled(faces: Tensor, audio: Tensor, faces_there: Tensor = THERE) -> tuple[Tensor, Tensor]:
    """The same tracks with something else where nothing is there."""
    other_faces, other_audio = tracks(1)
    sound = THERE.repeat_interleave(4, 1)
    return (
        torch.where(faces_there[..., None, None], faces, other_faces),
        torch.where(sound[..., None], audio, other_audio),
    )


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_track_in_a_batch_is_scored_as_if_it_were_alone(kind: Build) -> None:
    model, (faces, audio) = make_model(kind), tracks()
    together = model(faces, audio, length=LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model(faces[row : row + 1, :length], audio[row : row + 1, : 4 * length])
        assert set(alone) == {"logits", "video_logits", "audio", "video", "fused"}
        for name, value in alone.items():
            torch.testing.assert_close(together[name][row, :length], value[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_what_fills_up_changes_nothing_in_training_either(kind: Build) -> None:
    found = []
    for faces, audio in (tracks(), refilled(*tracks())):
        model = make_model(kind).train()
        output = model(faces, audio, length=LENGTHS)
        output["logits"][THERE].square().sum().backward()
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        found.append((output["logits"][THERE], *model.buffers(), *gradients))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_how_much_is_filled_up_changes_nothing_in_training(kind: Build) -> None:
    found = []
    for more in (0, 5):
        model, (faces, audio) = make_model(kind).train(), tracks()
        output = model(F.pad(faces, (0, 0, 0, 0, 0, more)), F.pad(audio, (0, 0, 0, 4 * more)), length=LENGTHS)
        found.append((output["logits"][:, :FRAMES][THERE], *model.buffers()))
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_what_stands_where_there_is_no_face_is_not_seen(kind: Build) -> None:
    valid = THERE.clone()
    valid[0, 3:5] = False
    model, (faces, audio) = make_model(kind), tracks()
    first = model(faces, audio, valid, LENGTHS)
    second = model(*refilled(faces, audio, valid), valid, LENGTHS)
    assert torch.equal(first["logits"][THERE], second["logits"][THERE])
    assert not torch.allclose(first["logits"][0], model(faces, audio, length=LENGTHS)["logits"][0])


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_learns_from_both_logits(kind: Build) -> None:
    model, (faces, audio) = make_model(kind).train(), tracks()
    output = model(faces, audio, length=LENGTHS)
    (output["logits"].square().sum() + output["video_logits"].square().sum()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_frame_and_no_face_at_all_are_tracks_too(kind: Build) -> None:
    model, (faces, audio) = make_model(kind).train(), tracks()
    single = model(faces[:1, :1], audio[:1, :4])
    unseen = model(faces[:1], audio[:1], valid=torch.zeros(1, FRAMES, dtype=torch.bool))
    assert single["logits"].shape == (1, 1, 2) and unseen["logits"].shape == (1, FRAMES, 2)
    assert single["logits"].isfinite().all() and unseen["logits"].isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_scores_know_what_comes_before_and_after(kind: Build) -> None:
    model, (faces, audio) = make_model(kind), tracks()
    scores = model(faces, audio)["logits"][0]
    for changed, asked in ((0, -1), (-1, 0)):
        other = faces.clone()
        other[0, changed] = 255 - other[0, changed]
        assert not torch.equal(model(other, audio)["logits"][0][asked], scores[asked])


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_that_do_not_fit_are_refused(kind: Build) -> None:
    model, (faces, audio) = make_model(kind), tracks()
    with pytest.raises(ValueError, match=r"faces: expected \(B, T, 32, 32\), found \(3, 9, 16, 16\); set face_size"):
        model(faces[..., :16, :16], audio)
    with pytest.raises(ValueError, match=r"audio: expected \(3, 36, 13\), four rows per frame, found \(3, 35, 13\)"):
        model(faces, audio[:, 1:])
    for widths in ((4, 6), (4, 6, 7), (0, 2, 4)):
        with pytest.raises(ValueError, match="widths: expected three even numbers >= 2, found"):
            kind(widths=widths)
    with pytest.raises(ValueError, match="face_size: expected a number >= 16, found 8"):
        kind(face_size=8)


def test_time_is_turned_round_up_to_the_end_of_each_row() -> None:
    x = torch.arange(2 * 5).view(2, 5, 1)
    mask = torch.arange(5) < torch.tensor([[5], [3]])
    found = reversed_in_time(x, mask)[..., 0].tolist()
    assert found == [[4, 3, 2, 1, 0], [7, 6, 5, 8, 9]]
    assert torch.equal(reversed_in_time(reversed_in_time(x, mask), mask), x)
    assert torch.equal(reversed_in_time(x, None), x.flip(1))


def published(model: TrackEncoders, prefix: str = "") -> dict[str, Tensor]:
    """The state of a model under the names that upstream stores it under."""
    pairs = [(ours, theirs) for theirs, ours in PAIRS[type(model)]]
    names = {name: rename(name, pairs) for name in model.state_dict()}
    wrapped = {name: theirs if theirs.startswith("loss") else f"model.{theirs}" for name, theirs in names.items()}
    return {prefix + wrapped[name]: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("kind", KINDS)
def test_a_published_file_is_loaded_whole(tmp_path: Path, kind: Build, prefix: str) -> None:
    source, model, path = make_model(kind), kind(widths=(4, 6, 8), face_size=SIDE), tmp_path / "a.model"
    torch.save(published(source, prefix), path)
    report = load_pretrained(model, path)
    assert report.complete and "as published" in report.source
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_network_or_with_a_gap_is_refused(tmp_path: Path, kind: Build) -> None:
    [other] = (each for each in KINDS if each is not kind)
    path = tmp_path / "a.model"
    torch.save(published(make_model(other)), path)
    with pytest.raises(CheckpointError, match=r"a\.model: expected L\w+-ASD, found no"):
        load_pretrained(make_model(kind), path)
    tensors = published(make_model(kind))
    del tensors["lossV.FC.bias"]
    torch.save(tensors, path)
    with pytest.raises(CheckpointError, match=r"missing\s+video_head\.bias"):
        load_pretrained(make_model(kind), path)
