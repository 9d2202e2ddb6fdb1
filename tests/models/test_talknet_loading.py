"""Published weights of TalkNet load strictly, whoever wrapped them, and say what was left out."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.checkpoint_formats import CheckpointError
from models.pretrained import load_pretrained
from models.talknet import TalkNet
from models.talknet_keys import our_key, upstream_key
from tests.models.talknets import small
from tests.prefixes import prefixed

State = dict[str, Tensor]
CRITERIA = ("lossAV.criterion.weight", "lossA.criterion.weight", "lossV.criterion.weight")


def source() -> TalkNet:
    return small(rope="mrope")


def target() -> TalkNet:
    """One with other weights."""
    model = small()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(3)
    return model


def published() -> State:
    return {upstream_key(name): tensor.clone() for name, tensor in source().state_dict().items()}


def saved(content: object, folder: Path) -> Path:
    path = folder / "pretrain.model"
    torch.save(content, path)
    return path


def assert_loaded(model: TalkNet) -> None:
    torch.testing.assert_close(model.state_dict(), source().state_dict(), atol=0, rtol=0)


def assert_refused(path: Path, match: str) -> None:
    model = target()
    with pytest.raises(CheckpointError, match=match):
        load_pretrained(model, path)
    assert all((tensor == 3).all() for tensor in model.state_dict().values())


def test_names_go_both_ways() -> None:
    names = {name: upstream_key(name) for name in source().state_dict()}
    assert len(set(names.values())) == len(names)
    assert {our_key(theirs): theirs for theirs in names.values()} == names
    assert {our_key(theirs.removeprefix("model.")) for theirs in names.values()} == set(names)
    assert our_key("visualFrontend.other.weight") is upstream_key("backbone.weight") is None


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_files_of_ava_and_talkset_load_with_and_without_wrappers(prefix: str, tmp_path: Path) -> None:
    model = target()
    report = load_pretrained(model, saved(prefixed(published(), prefix), tmp_path))
    assert_loaded(model)
    assert report.source == "TalkNet as published, flat"
    assert len(report.loaded) == len(published())


def test_class_weights_of_ego4d_are_left_out_with_a_notice(tmp_path: Path) -> None:
    model = target()
    criteria = dict.fromkeys(CRITERIA, torch.tensor([1.0, 4.0]))
    report = load_pretrained(model, saved(published() | criteria, tmp_path))
    assert_loaded(model)
    reason = "class weights [1.0, 4.0] of a loss, no part of the model: see task.class_weights"
    assert report.dropped == dict.fromkeys(CRITERIA, reason)
    assert reason in str(report)


def test_a_checkpoint_of_a_run_loads_in_every_mode(tmp_path: Path) -> None:
    state = prefixed(source().state_dict(), "model.") | {"metric.count": torch.ones(1)}
    path = saved({"state_dict": state, "pytorch-lightning_version": "2"}, tmp_path)
    for settings in ({}, {"rope": "time"}, {"rope": "mrope", "context": "scene"}):
        model = small(**settings)
        model.head.weight.data.fill_(3)
        report = load_pretrained(model, path)
        assert_loaded(model)
        assert report.dropped == {"metric.count": "belongs to the task"}


def test_every_tensor_is_needed(tmp_path: Path) -> None:
    state = published()
    del state["model.visualFrontend.resnet.layer1.downsample.weight"]  # that no one uses: still a damaged file
    assert_refused(saved(state, tmp_path), r"missing +video_encoder\.frontend\.pairs\.0\.shortcut\.weight")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: s | {"model.extra.weight": torch.ones(2)}, r"unused +extra\.weight"),
        (
            lambda s: s | {"lossAV.FC.bias": torch.ones(3)},
            r"(?s)shape differs +head\.bias.*head\.bias has \(3,\) in the file, \(2,\) here",
        ),
        (lambda s: {"fc.weight": torch.ones(2)}, "expected TalkNet, found no visualFrontend.frontend3D.0.weight among"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_copied(
    change: Callable[[State], State], match: str, tmp_path: Path
) -> None:
    assert_refused(saved(change(published()), tmp_path), match)
