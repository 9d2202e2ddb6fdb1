"""TalkNet computes what the published network does, in all its parts and as a whole, in training too."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.asd_ensemble import duration_scores, ensemble_scores
from models.asd_losses import frame_losses, speaking_scores, track_losses
from models.face_tracks import PIXEL_MEAN, PIXEL_STD, normalised_faces
from models.talknet import TalkNet
from models.talknet_attention import StreamLayer
from models.talknet_audio import SE_REDUCTION, AudioEncoder
from models.talknet_keys import our_key, upstream_key
from models.talknet_visual import TemporalBlock, VisualFrontend, VisualHead
from tests.prefixes import stripped
from tests.reference.asd.networks import (
    close,
    faces_of,
    first_values,
    formula_cepstra,
    formula_faces,
    formula_weights,
    load,
    objects,
    tensor_files,
)

GRADIENT = {"atol": 1e-7, "rtol": 1e-4}
FORMULA = {"atol": 5e-5, "rtol": 0.0}
PROBE = "model.visualFrontend.frontend3D.0.weight"
ENSEMBLE_WEIGHTS = (3, 3, 2, 1, 1, 1)  # of the file's README


def assert_trained(module: nn.Module, numbers: dict[str, Tensor], theirs: str, ours: str) -> None:
    """The statistics of norms are those after a batch of training."""
    expected = stripped(numbers, "after_train.")
    assert expected
    for name, tensor in expected.items():
        close(module.state_dict()[our_key(theirs + name).removeprefix(ours)], tensor)


def test_settings_beside_the_tensors_are_those_that_are_listed() -> None:
    lists = [list(content.values()) for _, content in objects() if all(isinstance(v, dict) for v in content.values())]
    listed = [entries for entries in lists if any({"d_model", "nhead"} <= set(entry) for entry in entries)]
    assert listed, "no list of settings"
    found = [settings for _, _, settings in tensor_files() if settings]
    for entries in listed:
        assert all(entry in found for entry in entries)
    assert all(any(settings in entries for entries in listed) for settings in found)


@torch.no_grad()
def test_attention_gives_the_published_streams() -> None:
    for _, numbers, settings in tensor_files("in.src", "in.tar", "out.cross", "out.self"):
        layer = StreamLayer(settings["d_model"], settings["nhead"], settings["dropout"])
        load(layer, stripped(numbers, "state."), our_key, "selfAV.", "joint_attention.")
        source, target = numbers["in.src"], numbers["in.tar"]
        close(layer(source, target), numbers["out.cross"])
        close(layer(source, source), numbers["out.self"])
        everything = torch.ones(source.shape[:2], dtype=torch.bool)
        close(layer(source, target, everything), numbers["out.cross"])


@torch.no_grad()
def test_sound_is_encoded_as_published_in_evaluation_and_training() -> None:
    for _, numbers, settings in tensor_files("in.mfcc", "out.eval", "out.train"):
        assert settings["se_reduction"] == SE_REDUCTION
        encoder = AudioEncoder(settings["num_filters"], settings["layers"])
        load(encoder, stripped(numbers, "state."), our_key, "audioEncoder.", "audio_encoder.")
        close(encoder(numbers["in.mfcc"]), numbers["out.eval"])
        everything = torch.ones(numbers["in.mfcc"].shape[:2], dtype=torch.bool)
        close(encoder(numbers["in.mfcc"], everything), numbers["out.eval"])
        close(encoder.train()(numbers["in.mfcc"]), numbers["out.train"])
        assert_trained(encoder, numbers, "audioEncoder.", "audio_encoder.")


@torch.no_grad()
def test_temporal_blocks_and_their_head_give_the_published_numbers() -> None:
    for _, numbers, settings in tensor_files("in.x", "out.tcn", "out.conv1d"):
        blocks = nn.ModuleList(TemporalBlock(settings["channels"]) for _ in range(settings["blocks"]))
        head = VisualHead(settings["channels"], settings["mid"], settings["out"])
        state = stripped(numbers, "state.")
        tcn = {name: tensor for name, tensor in state.items() if name.startswith("visualTCN")}
        load(blocks, tcn, our_key, ours="video_encoder.temporal.")
        rest = {name: tensor for name, tensor in state.items() if name not in tcn}
        load(head, rest, our_key, ours="video_encoder.head.")
        x = numbers["in.x"]
        close(blocks[0].global_norm(x), numbers["out.gln_block0_of_x"])
        for mask in (None, torch.ones(len(x), x.shape[2], dtype=torch.bool)):
            found = x
            for block in blocks:
                found = block(found, mask)
            close(found, numbers["out.tcn"])
            close(head(found, mask), numbers["out.conv1d"])


def frontends() -> list[tuple[VisualFrontend, dict[str, Tensor]]]:
    found = []
    for _, numbers, settings in tensor_files("in.frames_u8", "out.eval_each", "out.train_item0"):
        assert tuple(settings["norm"]) == (PIXEL_MEAN, PIXEL_STD)
        frontend = VisualFrontend(settings["widths"])
        load(frontend, stripped(numbers, "state."), our_key, "visualFrontend.", "video_encoder.frontend.")
        found.append((frontend, numbers))
    return found


@torch.no_grad()
def test_faces_are_encoded_as_the_published_network_encodes_a_track_alone() -> None:
    for frontend, numbers in frontends():
        faces = normalised_faces(numbers["in.frames_u8"], None, torch.float32)
        close(frontend(faces), numbers["out.eval_each"])
        close(frontend.stem(faces)[0], numbers["out.stem_item0_t0"])
        everything = torch.ones(len(faces), faces.shape[2], dtype=torch.bool)
        close(frontend(faces, everything), numbers["out.eval_each"])


@torch.no_grad()
def test_tracks_of_a_batch_do_not_leak_into_each_other_where_upstream_lets_them() -> None:
    for frontend, numbers in frontends():
        found = frontend(normalised_faces(numbers["in.frames_u8"], None, torch.float32))
        leaking = numbers["out.eval_b2_upstream_leak"]
        differs = (found - leaking).abs().amax(-1) > 1e-3
        expected = torch.zeros_like(differs)
        expected[0, -2:], expected[1, :2] = True, True
        assert torch.equal(differs, expected)


@torch.no_grad()
def test_faces_are_encoded_as_published_in_training() -> None:
    for frontend, numbers in frontends():
        faces = normalised_faces(numbers["in.frames_u8"][:1], None, torch.float32)
        close(frontend.train()(faces), numbers["out.train_item0"])
        assert_trained(frontend, numbers, "visualFrontend.", "video_encoder.frontend.")


def test_losses_and_scores_are_the_published_ones_with_and_without_class_weights() -> None:
    for _, numbers, settings in tensor_files("in.av", "in.a", "in.v", "in.labels"):
        variants = {name.split(".")[1] for name in numbers if name.startswith("state.")}
        assert variants
        for variant in variants:
            state, expected = stripped(numbers, f"state.{variant}."), stripped(numbers, f"out.{variant}.")
            weights = state.get("lossAV.criterion.weight")
            weights = None if weights is None else weights.tolist()
            output = {
                ours: nn.functional.linear(
                    numbers[f"in.{theirs.lower()}"], state[f"loss{theirs}.FC.weight"], state[f"loss{theirs}.FC.bias"]
                ).unsqueeze(0)
                for ours, theirs in (("logits", "AV"), ("audio_logits", "A"), ("video_logits", "V"))
            }
            labels = numbers["in.labels"].unsqueeze(0)
            for name, loss in (("logits", "lossAV"), ("audio_logits", "lossA"), ("video_logits", "lossV")):
                losses, count = frame_losses(output[name], labels, weights)
                close(losses.sum() / count.sum(), expected[loss])
            share = settings["aux_weight"]
            losses, count = track_losses(output, labels, share, share, weights)
            close(losses.sum() / count.sum(), expected["total"])
            logits = output["logits"][0]
            close(speaking_scores(logits, "class1"), expected["class1_logit"])
            close(speaking_scores(logits, "probability"), expected["softmax"][:, 1])
            decided = speaking_scores(logits) > 0
            assert torch.equal(decided, expected["pred_label"] == 1)
            assert (decided.long() == labels[0]).sum() == expected["correct"]


def small_networks() -> list[tuple[TalkNet, dict[str, Tensor], dict[str, Any]]]:
    found = []
    for _, numbers, settings in tensor_files("in.frames_u8", "in.mfcc", "in.labels", "in.long_mfcc"):
        model = TalkNet(
            widths=settings["visual_widths"],
            audio_widths=settings["audio_filters"],
            audio_layers=settings["audio_layers"],
            dim=settings["d_model"],
            num_heads=settings["nhead"],
            tcn_blocks=settings["tcn_blocks"],
            head_width=settings["conv1d_mid"],
            face_size=numbers["in.frames_u8"].shape[-1],
        )
        load(model, stripped(numbers, "state."), our_key)
        found.append((model, numbers, settings))
    return found


@torch.no_grad()
def test_a_small_network_gives_the_published_tokens_and_logits() -> None:
    for model, numbers, _ in small_networks():
        output = model(numbers["in.frames_u8"], numbers["in.mfcc"])
        assert_tokens(model, output, numbers)
        close(speaking_scores(output["logits"], "class1"), numbers["out.class1_logit"])
        close(output["logits"].softmax(-1), numbers["out.softmax"])


def assert_tokens(model: TalkNet, output: dict[str, Tensor], numbers: dict[str, Tensor], **tolerance: float) -> None:
    audio, video = output["audio"], output["video"]
    close(audio, numbers["out.audio_embed"], **tolerance)
    close(video, numbers["out.visual_embed"], **tolerance)
    close(model.audio_attention(audio, video), numbers["out.cross_audio"], **tolerance)
    close(model.video_attention(video, audio), numbers["out.cross_visual"], **tolerance)
    close(output["fused"], numbers["out.av"].view_as(output["fused"]), **tolerance)


def test_losses_of_a_small_network_and_their_gradients_are_the_published_ones() -> None:
    for model, numbers, settings in small_networks():
        faces = numbers["in.frames_u8"].float().requires_grad_()
        cepstra = numbers["in.mfcc"].clone().requires_grad_()
        output = model(faces, cepstra)
        for name, loss in (("logits", "lossAV"), ("audio_logits", "lossA"), ("video_logits", "lossV")):
            losses, count = frame_losses(output[name], numbers["in.labels"])
            close(losses.sum() / count.sum(), numbers[f"out.{loss}"])
        losses, count = track_losses(output, numbers["in.labels"])
        total = losses.sum() / count.sum()
        close(total, numbers["out.total"])
        total.backward()
        close(cepstra.grad, numbers["grad.mfcc"], **GRADIENT)
        checked = 0
        for name, expected in stripped(numbers, "grad.frames_").items():
            item, frame = map(int, re.fullmatch(r"item(\d+)_t(\d+)", name).groups())
            close(faces.grad[item, frame], expected, **GRADIENT)
            checked += 1
        assert checked
        without = {upstream_key(name) for name, parameter in model.named_parameters() if parameter.grad is None}
        assert without == set(settings["params_without_grad"])


@torch.no_grad()
def test_long_tracks_have_the_published_scores_of_pieces_of_several_durations() -> None:
    for model, numbers, settings in small_networks():
        right = settings["frames_formula"].partition("=")[2].partition(" mod ")[0]
        formula = re.sub(r"(\d)([xyt])", r"\1*\2", right).replace("^", "**")
        frames = settings["T_long"]
        batch = {"faces": faces_of(formula, frames), "audio": numbers["in.long_mfcc"].unsqueeze(0)}
        as_published = {"kind": "class1", "shortest": 0.0, "durations": settings["durations"]}
        found = duration_scores(model, batch, settings["fps"], **as_published)
        close(found[:, 0], numbers["out.ensemble_per_duration"])
        equal = [1] * len(settings["durations"])
        close(
            ensemble_scores(model, batch, settings["fps"], weights=equal, **as_published)[0],
            numbers["out.ensemble_mean"],
        )
        found = ensemble_scores(model, batch, settings["fps"], weights=ENSEMBLE_WEIGHTS, **as_published)
        close(found[0], numbers["out.ensemble_weighted"])


def published_tensors() -> dict[str, Any]:
    [content] = [content for _, content in objects("total_parameters", "tensors") if PROBE in content["tensors"]]
    return content


def test_the_full_network_has_the_published_tensors_and_as_many_parameters() -> None:
    content = published_tensors()
    with torch.device("meta"):
        model = TalkNet()
    found = {upstream_key(name): list(tensor.shape) for name, tensor in model.state_dict().items()}
    assert found == content["tensors"]
    assert sum(parameter.numel() for parameter in model.parameters()) == content["total_parameters"]


@pytest.mark.parametrize("context", ["track", "scene"])
@torch.no_grad()
def test_the_full_network_gives_the_published_numbers_with_the_formula_weights(context: str) -> None:
    shapes = published_tensors()["tensors"]
    for _, numbers, settings in tensor_files("probe.first_weight_values", "out.cross_audio", "out.logits_a"):
        weights = formula_weights(shapes, settings["salt"])
        close(first_values(weights), numbers["probe.first_weight_values"])
        model = load(TalkNet(context=context), weights, our_key)
        frames = settings["T"]
        output = model(formula_faces(frames), formula_cepstra(frames), scene=torch.tensor([7]))
        assert_tokens(model, output, numbers, **FORMULA)
        for ours, theirs in (("logits", "av"), ("audio_logits", "a"), ("video_logits", "v")):
            close(output[ours][0], numbers[f"out.logits_{theirs}"], **FORMULA)
