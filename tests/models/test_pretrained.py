"""Published weights arrive tensor by tensor, or not at all and with a reason."""

import os
import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from safetensors.torch import save_file

from models.checkpoint_formats import CheckpointError, CheckpointNotFoundError
from models.focusmae import FocusMAE
from models.load_report import LoadReport
from models.positions import interpolate_positions
from models.pretrained import load_pretrained
from models.vit_checkpoints import read_weights
from tests.models.published_layouts import (
    State,
    deepspeed_file,
    encoder,
    focusmae,
    hugging_face,
    lightning_file,
    randomised,
    training_file,
    videomae,
)
from tests.module_with import module_with
from tests.prefixes import prefixed


def saved(content: object, folder: Path, name: str = "weights.pth") -> Path:
    torch.save(content, folder / name)
    return folder / name


def fresh(model: torch.nn.Module) -> torch.nn.Module:
    return randomised(model, seed=1)


def assert_equal(found: State, expected: State) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def assert_unchanged(model: torch.nn.Module, load, match: str) -> str:
    """Loading fails with a message that matches and leaves the model as it was; returns the message."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=match) as caught:
        load()
    assert_equal(model.state_dict(), before)
    return str(caught.value)


MODELS = {
    "encoder": encoder,
    "classifier": lambda: encoder(num_classes=5),
    "first token": lambda: encoder(num_classes=5, pooling="first"),
    "layer scale": lambda: encoder(num_classes=5, layer_scale_init=0.1),
    "learned positions": lambda: encoder(positions="learned", cosine_attention=True),
    "videomae": videomae,
    "videomae v2": lambda: videomae(decoder_mask="running_cell"),
    "focusmae root": lambda: focusmae(dim=24),
    "focusmae v1": lambda: focusmae(dim=48),
}
FILES = {
    "training": training_file,
    "flat": dict,
    "compiled": lambda state: {"model": prefixed(state, "_orig_mod.")},
    "distributed": lambda state: {"model": prefixed(state, "module.")},
    "compiled and distributed": lambda state: {"model": prefixed(state, "module._orig_mod.")},
    "openmmlab": lambda state: {"state_dict": prefixed(state, "backbone.")},
    "hugging face wrapper": lambda state: prefixed(state, "model."),
    "nested": lambda state: {"module": prefixed(state, "_orig_mod.module.model.backbone.")},
    "lightning": lightning_file,
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("file", FILES)
def test_every_tensor_arrives(model: str, file: str, tmp_path: Path):
    source, target = MODELS[model](), fresh(MODELS[model]())
    report = load_pretrained(target, saved(FILES[file](source.state_dict()), tmp_path))
    assert_equal(target.state_dict(), source.state_dict())
    assert report.loaded == tuple(source.state_dict())
    assert report.complete and not report.fresh
    assert set(report.dropped) == ({"losses.val_loss.mean_value"} if file == "lightning" else set())


@pytest.mark.parametrize("model", MODELS)
def test_safetensors_arrive_whatever_the_file_is_called(model: str, tmp_path: Path):
    source, target = MODELS[model](), fresh(MODELS[model]())
    save_file(prefixed(source.state_dict(), "model."), tmp_path / "pytorch_model.bin")
    load_pretrained(target, tmp_path / "pytorch_model.bin")
    assert_equal(target.state_dict(), source.state_dict())


def test_file_of_an_old_torch_arrives(tmp_path: Path):
    source, target = videomae(), fresh(videomae())
    torch.save(training_file(source.state_dict()), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    load_pretrained(target, tmp_path / "old.pth")
    assert_equal(target.state_dict(), source.state_dict())


@pytest.mark.parametrize("model", ["classifier", "first token", "videomae"])
def test_hugging_face_weights_give_the_same_model(model: str, tmp_path: Path):
    source, target = MODELS[model](), fresh(MODELS[model]())
    state = hugging_face(source.state_dict())
    assert any(name.endswith("attention.attention.q_bias") for name in state)
    save_file(state, tmp_path / "model.safetensors")
    report = load_pretrained(target, tmp_path / "model.safetensors")
    assert report.source.startswith("Hugging Face VideoMAE")
    assert_equal(target.state_dict(), source.state_dict())


def test_bare_hugging_face_model_fits_an_encoder(tmp_path: Path):
    source, target = encoder(pooling="none"), fresh(encoder(pooling="none"))
    state = {name.removeprefix("videomae."): tensor for name, tensor in hugging_face(source.state_dict()).items()}
    load_pretrained(target, saved(state, tmp_path))
    assert_equal(target.state_dict(), source.state_dict())


def test_half_precision_is_converted_and_reported(tmp_path: Path):
    source, target = videomae(), fresh(videomae())
    report = load_pretrained(target, saved(deepspeed_file(source.state_dict()), tmp_path))
    assert_equal(target.state_dict(), {name: tensor.half().float() for name, tensor in source.state_dict().items()})
    assert report.converted == {"float16 -> float32": len(source.state_dict())}
    assert "float16 -> float32" in str(report)


def test_compiled_model_is_filled(tmp_path: Path):
    source, target = encoder(), fresh(encoder())
    load_pretrained(torch.compile(target), saved(source.state_dict(), tmp_path))
    assert_equal(target.state_dict(), source.state_dict())


# ---------------------------------------------------------------- documented exceptions


@pytest.mark.parametrize("build", [videomae, focusmae])
@pytest.mark.parametrize("convert", [dict, lambda state: prefixed(state, "_orig_mod.")])
def test_pretraining_weights_fit_an_encoder_with_mean_pooling(build, convert, tmp_path: Path):
    source, target = build(), fresh(encoder(num_classes=5))
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    report = load_pretrained(target, saved(training_file(convert(source.state_dict())), tmp_path))
    for name, tensor in target.state_dict().items():
        kept = name.startswith(("fc_norm.", "head."))
        assert torch.equal(tensor, before[name] if kept else source.state_dict()[f"encoder.{name}"]), name
        assert (name in report.fresh) == kept
    assert {"norm.weight", "norm.bias", "mask_token", "encoder_to_decoder.weight"} <= report.dropped.keys()
    assert len(report.loaded) + len(report.dropped) == len(source.state_dict())


def test_pretraining_weights_fit_the_first_token_with_their_norm(tmp_path: Path):
    source, target = videomae(), fresh(encoder(num_classes=5, pooling="first"))
    report = load_pretrained(target, saved(training_file(source.state_dict()), tmp_path))
    assert torch.equal(target.norm.weight, source.encoder.norm.weight)
    assert set(report.fresh) == {"head.weight", "head.bias"}


def test_pretraining_weights_fit_the_encoder_of_an_autoencoder(tmp_path: Path):
    source, target = focusmae(), fresh(focusmae())
    load_pretrained(target.encoder, saved(training_file(source.state_dict()), tmp_path))
    assert_equal(target.encoder.state_dict(), source.encoder.state_dict())


def test_head_is_left_out_of_a_feature_extractor(tmp_path: Path):
    source, target = encoder(num_classes=710), fresh(encoder())
    report = load_pretrained(target, saved(training_file(source.state_dict()), tmp_path))
    assert report.dropped == dict.fromkeys(["head.weight", "head.bias"], "the model has no head")
    assert torch.equal(target.fc_norm.weight, source.fc_norm.weight)


def test_head_for_other_classes_starts_fresh(tmp_path: Path):
    source, target = encoder(num_classes=710), fresh(encoder(num_classes=2))
    before = target.head.weight.clone()
    report = load_pretrained(target, saved(training_file(source.state_dict()), tmp_path))
    assert torch.equal(target.head.weight, before)
    assert (
        report.fresh
        == report.dropped
        == dict.fromkeys(["head.weight", "head.bias"], "710 classes in the file, 2 in the model")
    )


def test_head_starts_fresh_when_the_file_has_none(tmp_path: Path):
    report = load_pretrained(encoder(num_classes=2), saved(encoder().state_dict(), tmp_path))
    assert report.fresh == dict.fromkeys(["head.weight", "head.bias"], "the file has no head")


def test_token_sampler_starts_fresh_from_videomae_and_is_left_out_of_it(tmp_path: Path):
    sampler = {name for name in focusmae().state_dict() if "probs" in name}
    report = load_pretrained(focusmae(), saved(videomae().state_dict(), tmp_path))
    assert report.fresh == dict.fromkeys(sampler, "the file has no token sampler")
    report = load_pretrained(videomae(), saved(focusmae().state_dict(), tmp_path))
    assert report.dropped == dict.fromkeys(sampler, "the model has no token sampler")


def test_deeper_decoder_starts_with_the_blocks_of_the_file(tmp_path: Path):
    source, target = focusmae(), focusmae(decoder_depth=3)
    report = load_pretrained(target, saved(source.state_dict(), tmp_path))
    assert torch.equal(target.decoder.blocks[1].mlp.fc1.weight, source.decoder.blocks[1].mlp.fc1.weight)
    assert set(report.fresh) == {name for name in target.state_dict() if name.startswith("decoder.blocks.2.")}
    assert_unchanged(
        source, lambda: load_pretrained(source, saved(target.state_dict(), tmp_path)), "decoder .* 3 blocks"
    )


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [({"image_size": 24}, {}), ({"num_frames": 12}, {}), ({}, {"image_size": (24, 16)}), ({}, {"image_size": 48})],
)
def test_learned_positions_of_another_grid_are_interpolated(theirs: dict, ours: dict, tmp_path: Path):
    source = encoder(positions="learned", **theirs)
    target = fresh(encoder(positions="learned", **ours))
    report = load_pretrained(target, saved(source.half().state_dict(), tmp_path))
    expected = interpolate_positions(source.pos_embed.float(), source.grid, target.grid)
    assert torch.equal(target.pos_embed, expected)
    assert report.reshaped == {"pos_embed": (tuple(source.pos_embed.shape), tuple(expected.shape))}
    assert "positions of another grid" in str(report)


def test_grid_of_the_file_is_asked_for_where_it_is_open(tmp_path: Path):
    source, target = encoder(positions="learned", num_frames=16), fresh(encoder(positions="learned"))
    path = saved(source.state_dict(), tmp_path)  # 8 x 2 x 2 tokens could be 2 x 4 x 4
    assert_unchanged(target, lambda: load_pretrained(target, path), r"\(2, 4, 4\) or \(8, 2, 2\).*source_grid")
    load_pretrained(target, path, source_grid=(8, 2, 2))
    assert torch.equal(target.pos_embed, interpolate_positions(source.pos_embed, (8, 2, 2), (2, 2, 2)))


# ---------------------------------------------------------------- what does not fit


def removed(state: State, name: str) -> State:
    return {other: tensor for other, tensor in state.items() if other != name}


@pytest.mark.parametrize(
    ("source", "target", "name"),
    [
        (videomae, videomae, "decoder.blocks.1.mlp.fc2.bias"),
        (videomae, videomae, "mask_token"),
        (videomae, lambda: encoder(num_classes=5), "encoder.blocks.1.attn.q_bias"),
        (focusmae, focusmae, "encoder.pos_embed_probs"),
        (focusmae, focusmae, "encoder.get_token_probs.0.attn.qkv.weight"),
        (lambda: encoder(num_classes=5), lambda: encoder(num_classes=5), "fc_norm.bias"),
        (lambda: encoder(num_classes=5), lambda: encoder(num_classes=5), "head.bias"),
    ],
)
def test_one_missing_tensor_is_an_error_that_shows_it(source, target, name: str, tmp_path: Path):
    model = fresh(target())
    path = saved(training_file(removed(source().state_dict(), name)), tmp_path)
    message = assert_unchanged(model, lambda: load_pretrained(model, path), "nothing was copied")
    ours = name if name in model.state_dict() else name.removeprefix("encoder.")
    assert re.search(rf"missing +{re.escape(ours)} +- +[\dx]+\n", message)
    assert str(path) in message


def test_one_tensor_too_many_is_an_error_that_shows_it(tmp_path: Path):
    model = fresh(encoder())
    path = saved({**encoder().state_dict(), "adapter.weight": torch.zeros(3, 4)}, tmp_path)
    message = assert_unchanged(model, lambda: load_pretrained(model, path), "do not fit VisionTransformer")
    assert re.search(r"unused +adapter\.weight +3x4 +-\n", message)


def test_final_norm_is_left_out_only_where_another_takes_its_place(tmp_path: Path):
    state = encoder(pooling="none").state_dict()
    model = module_with({name: tensor.shape for name, tensor in state.items() if not name.startswith("norm.")})
    path = saved(training_file(videomae().state_dict()), tmp_path)
    message = assert_unchanged(model, lambda: load_pretrained(model, path), "do not fit")
    assert re.search(r"unused +norm\.weight +32 +-\n", message)


def test_one_other_shape_is_an_error_that_shows_both(tmp_path: Path):
    model = fresh(videomae())
    state = {**videomae().state_dict(), "encoder_to_decoder.weight": torch.zeros(8, 32)}
    path = saved(state, tmp_path)
    message = assert_unchanged(model, lambda: load_pretrained(model, path), "do not fit")
    assert re.search(r"shape differs +encoder_to_decoder\.weight +8x32 +16x32\n", message)


SHALLOW = {"depth": 1, "decoder_depth": 1}


def focusmae_shallow(dim: int) -> Callable[[], FocusMAE]:
    return lambda: focusmae(dim, **SHALLOW)


@pytest.mark.parametrize(
    ("source", "target", "arguments", "config"),
    [
        (focusmae_shallow(384), focusmae_shallow(768), "dim=384, num_heads=12 (FocusMAE)", "focusmae_vit_b_384"),
        (focusmae_shallow(768), focusmae_shallow(384), "dim=768, num_heads=12 (FocusMAE)", "focusmae_vit_b"),
        (focusmae_shallow(384), lambda: encoder(768, depth=1), "dim=384, num_heads=6 (ViT-S)", "vit_s"),
        (lambda: videomae(768, **SHALLOW), videomae, "dim=768, num_heads=12 (ViT-B)", "videomae_v2_vit_b"),
        (lambda: videomae(1408, **SHALLOW), videomae, "dim=1408, num_heads=16 (ViT-g)", "videomae_v2_vit_g"),
        (lambda: encoder(1024, depth=1), encoder, "dim=1024, num_heads=16 (ViT-L)", "vit_l"),
        (lambda: encoder(64), encoder, "dim=64", None),
    ],
)
def test_weights_of_another_width_name_the_arguments_that_fit(
    source, target, arguments: str, config: str | None, repository: Path, tmp_path: Path
):
    weights, model = source(), target()
    path = saved(weights.state_dict(), tmp_path)
    message = assert_unchanged(model, lambda: load_pretrained(model, path), "nothing was copied")
    assert message.endswith(f"build it with {arguments}.")
    if config is not None:
        with initialize_config_dir(str(repository / "conf"), version_base="1.3"):
            published = compose(f"model/{config}").model
        assert arguments.startswith(f"dim={published.dim}, num_heads={published.num_heads} ")


@pytest.mark.parametrize(
    ("source", "target", "advice"),
    [
        (lambda: encoder(num_classes=5), videomae, r"load_pretrained\(model\.encoder, path\)"),
        (lambda: encoder(depth=3), encoder, "encoder of the weights has 3 blocks, the model's 2"),
        (lambda: encoder(num_classes=5), lambda: encoder(num_classes=5, pooling="first"), "pooling='mean'"),
        (lambda: encoder(positions="learned"), encoder, "positions='learned'"),
        (encoder, lambda: encoder(positions="learned"), "positions='sinusoid'"),
        (encoder, lambda: torch.nn.Linear(2, 2), "no video transformer"),
        (encoder, lambda: encoder(qkv_bias=False), "Expected the tensors of VideoMAE"),
    ],
)
def test_common_misfits_come_with_advice(source, target, advice: str, tmp_path: Path):
    model = target()
    path = saved(source().state_dict(), tmp_path)
    assert_unchanged(model, lambda: load_pretrained(model, path), advice)


def test_tensors_of_many_blocks_share_a_line(tmp_path: Path):
    model = encoder()
    path = saved(encoder(qkv_bias=False).state_dict(), tmp_path)
    message = assert_unchanged(model, lambda: load_pretrained(model, path), "do not fit")
    assert re.search(r"missing +blocks\.\*\.attn\.q_bias \(2x\) +- +32\n", message)


def test_model_without_memory_is_refused(tmp_path: Path):
    path = saved(encoder().state_dict(), tmp_path)
    with torch.device("meta"):
        model = torch.nn.Linear(2, 2)
    with pytest.raises(CheckpointError, match="on the meta device"):
        load_pretrained(model, path)


# ---------------------------------------------------------------- files that are no weights


class Harmful:
    """Runs a command when it is unpickled by an unsafe reader."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_file_that_would_execute_code_is_refused_and_not_executed(zipped: bool, tmp_path: Path):
    path, trace = tmp_path / "harmful.pth", tmp_path / "executed"
    content = {"model": encoder().state_dict(), "args": Harmful(trace)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"harmful\.pth: refused .* refers to \w+\.system"):
        load_pretrained(encoder(), path)
    assert not trace.exists()


def test_allowing_the_arguments_of_training_scripts_ends_with_the_reading(tmp_path: Path):
    path = saved(training_file(encoder().state_dict()), tmp_path)
    allowed = set(torch.serialization.get_safe_globals())  # its order is not fixed
    load_pretrained(encoder(), path)
    assert set(torch.serialization.get_safe_globals()) == allowed
    assert Namespace not in allowed


@pytest.mark.parametrize("kind", ["zip", "stream", "safetensors"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.999])
def test_cut_file_is_called_damaged(kind: str, share: float, tmp_path: Path):
    path = tmp_path / "cut.pth"
    if kind == "safetensors":
        save_file(encoder().state_dict(), path)
    else:
        torch.save(training_file(encoder().state_dict()), path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    model = encoder()
    message = assert_unchanged(model, lambda: load_pretrained(model, path), r"cut\.pth: (damaged|refused)")
    assert "download it again" in message or "If the file is whole" in message


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html>", b"version https://git-lfs.github.com/spec/v1\n"])
def test_file_of_another_kind_is_told_from_weights(content: bytes, tmp_path: Path):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"neither a torch nor a safetensors file(.|\n)*Hugging Face VideoMAE"):
        load_pretrained(encoder(), path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(2)], "found list"),
        ({"weights": {"a": torch.zeros(2)}, "epoch": 3}, "found weights, epoch"),
        ({"model": {}}, "found model"),
        (
            {"conv1.weight": torch.zeros(2), "fc.weight": torch.zeros(2)},
            r"no patch_embed\.proj\.weight among conv1\.weight",
        ),
        ({"model": {"cls_token": torch.zeros(1)}}, "holds no video transformer"),
    ],
)
def test_foreign_contents_are_described(content: object, message: str, tmp_path: Path):
    path = saved(content, tmp_path)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_pretrained(encoder(), path)
    assert str(caught.value).startswith(str(path))
    assert "Expected one of" in str(caught.value)


def test_two_models_in_one_state_dict_are_not_mixed(tmp_path: Path):
    state = encoder().state_dict()
    path = saved({**prefixed(state, "module."), **prefixed(state, "model.")}, tmp_path)
    with pytest.raises(CheckpointError, match="seems to hold two models"):
        read_weights(path)


def test_query_without_key_is_refused(tmp_path: Path):
    state = hugging_face(encoder().state_dict())
    path = saved({name: tensor for name, tensor in state.items() if "0.attention.attention.key" not in name}, tmp_path)
    with pytest.raises(CheckpointError, match=r"blocks\.0\.attn\.query\.weight comes without"):
        read_weights(path)


def test_missing_file_is_named(tmp_path: Path):
    with pytest.raises(CheckpointNotFoundError, match=r"nowhere\.pth: expected a weights file, found nothing"):
        load_pretrained(encoder(), tmp_path / "nowhere.pth")
    with pytest.raises(CheckpointNotFoundError, match="found a folder"):
        load_pretrained(encoder(), tmp_path)


def test_report_of_a_plain_load_is_one_line(tmp_path: Path):
    path = saved(training_file(encoder().state_dict()), tmp_path)
    report = load_pretrained(encoder(), path)
    assert isinstance(report, LoadReport)
    assert str(report) == f"{path}: VideoMAE encoder, container 'model'; {len(report.loaded)} tensors fit"
