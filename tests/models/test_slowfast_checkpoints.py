"""Published weights of SlowFast arrive under whatever names, or not at all and with a reason."""

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.action_detector import ActionDetector
from models.checkpoint_formats import CheckpointError
from models.fbil import FBILHead
from models.fbil_keys import upstream_key
from models.linear_roi_head import LinearRoIHead
from models.pretrained import load_pretrained
from models.slowfast import SlowFast
from models.slowfast_checkpoints import OWN, SPELLINGS, in_layout
from tests.prefixes import prefixed

State = dict[str, Tensor]
LAYERS = (1, 2, 2, 1)
SAMPLING = {OWN: "strided", "mmaction2": "strided"}  # others are linspace
CLASSIFIERS = {"PySlowFast": "head.projection.", "PyTorchVideo": "detection_head.proj."}


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """``model`` with parameters and statistics that differ from each other and from any initial value."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + tensor.is_floating_point() * 0.5)
            if not tensor.is_floating_point():
                tensor.fill_(7)
    return model.eval()


def backbone(layout: str = OWN, seed: int = 0, **settings: Any) -> SlowFast:
    arguments = {"slow_sampling": SAMPLING.get(layout, "linspace"), "fusion": "conv_norm", "layers": LAYERS}
    return randomised(SlowFast(**{"base_width": 8, "beta_inv": 4, **arguments, **settings}), seed)


def fbil(classes: int = 3, seed: int = 0, **settings: Any) -> ActionDetector:
    head = FBILHead((256, 64), classes, dim=16, num_heads=2, ffn_dim=24)
    return randomised(ActionDetector(backbone(**settings), head, num_frames=8), seed)


def linear(classes: int = 3, seed: int = 0, layout: str = OWN, **settings: Any) -> ActionDetector:
    head = LinearRoIHead((256, 64), classes, bias=True)
    return randomised(ActionDetector(backbone(layout, **settings), head, num_frames=8), seed)


def saved(state: State, layout: str, folder: Path) -> Path:
    """A file as the projects write it; ``state`` has their names."""
    path = folder / "weights"
    if layout == "Caffe2":
        blobs = {name: tensor.numpy() for name, tensor in state.items()}
        blobs |= {f"{name}_momentum": array for name, array in blobs.items()} | {"lr": 0.1, "model_iter": 3}
        path.write_bytes(pickle.dumps({"blobs": blobs, "cfg": "text"}, protocol=2))
    elif layout == OWN:
        torch.save({"epoch": 3, "state_dict": state, "scheduler": {}}, path)
    else:
        torch.save({"state_dict" if layout == "mmaction2" else "model_state": state, "cfg": "text"}, path)
    return path


def as_published(model: SlowFast, layout: str) -> State:
    """The weights of a backbone as they stand in the files of a project."""
    names = {OWN: "module.backbone.module.", "mmaction2": "backbone."}
    return prefixed(in_layout(model.state_dict(), layout), names.get(layout, ""))


def assert_equal(found: State, expected: State, but: str = r"(?!)") -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor) != bool(re.search(but, name)), name


def assert_refused(model: nn.Module, path: Path, match: str) -> str:
    """Loading fails with a message that matches and leaves the model as it was; returns the message."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=match) as caught:
        load_pretrained(model, path)
    assert_equal(model.state_dict(), before)
    return str(caught.value)


# ---------------------------------------------------------------- whose weights


@pytest.mark.parametrize("fusion", ["conv", "conv_norm"])
@pytest.mark.parametrize("layout", [OWN, *SPELLINGS])
def test_weights_come_back_from_the_names_of_others(layout: str, fusion: str, tmp_path: Path) -> None:
    source, target = backbone(layout, fusion=fusion), backbone(layout, seed=1, fusion=fusion)
    report = load_pretrained(target, saved(as_published(source, layout), layout, tmp_path))
    assert report.source.startswith(f"SlowFast as in {layout}, container")
    counts = {name for name in source.state_dict() if name.endswith("num_batches_tracked")}
    assert set(report.fresh) == (counts if layout == "Caffe2" else set())
    assert_equal(target.state_dict(), source.state_dict())


@pytest.mark.parametrize("layout", [OWN, *SPELLINGS])
def test_weights_of_a_backbone_fit_into_a_detector(layout: str, tmp_path: Path) -> None:
    source, target = backbone(layout), linear(seed=1, layout=layout)
    report = load_pretrained(target, saved(as_published(source, layout), layout, tmp_path))
    assert_equal(target.backbone.state_dict(), source.state_dict())
    assert {name for name, reason in report.fresh.items() if reason == "the file has no head"} == {
        "head.classifier.weight",
        "head.classifier.bias",
    }


@pytest.mark.parametrize("wrap", [dict, lambda s: prefixed(s, "module."), lambda s: prefixed(s, "_orig_mod.")])
def test_flat_files_of_a_backbone_load_with_and_without_wrappers(wrap: Callable, tmp_path: Path) -> None:
    source, target = backbone(), backbone(seed=1)
    torch.save(wrap(source.state_dict()), tmp_path / "weights.pth.tar")
    report = load_pretrained(target, tmp_path / "weights.pth.tar")
    assert_equal(target.state_dict(), source.state_dict())
    assert len(report.loaded) == len(source.state_dict())
    assert len(str(report).splitlines()) == 1


def test_a_checkpoint_of_a_run_fits_the_detector_its_backbone_and_one_with_other_classes(tmp_path: Path) -> None:
    source, path = fbil(), tmp_path / "best.ckpt"
    state = prefixed(source.state_dict(), "model.") | {"loss.weight": torch.ones(2)}
    torch.save({"state_dict": state, "pytorch-lightning_version": "2"}, path)
    target, part, other = fbil(seed=1), backbone(seed=1), fbil(classes=5, seed=1)
    load_pretrained(target, path)
    assert_equal(target.state_dict(), source.state_dict())
    report = load_pretrained(part, path)
    assert_equal(part.state_dict(), source.backbone.state_dict())
    assert report.dropped["head.reduce.weight"] == "the model has no head"
    report = load_pretrained(other, path)
    assert report.fresh == {"head.classifier.weight": "3 classes in the file, 5 in the model"}
    assert_equal(other.head.encoder.state_dict(), source.head.encoder.state_dict())


@pytest.mark.parametrize("make", [fbil, linear])
def test_detectors_of_the_published_code_bring_their_head(make: Callable[..., ActionDetector], tmp_path: Path) -> None:
    source, target = make(), make(seed=1)
    head = {upstream_key(name): tensor for name, tensor in source.head.state_dict().items()}
    state = prefixed(source.backbone.state_dict(), "module.backbone.module.") | prefixed(head, "module.head.module.")
    path = saved(state, OWN, tmp_path)
    load_pretrained(target, path)
    assert_equal(target.state_dict(), source.state_dict())
    lost = next(name for name in state if name.endswith("fc.weight"))
    path = saved({name: tensor for name, tensor in state.items() if name != lost}, OWN, tmp_path)
    if make is fbil:
        assert "head.classifier.weight" in assert_refused(make(seed=2), path, "do not fit ActionDetector")


@pytest.mark.parametrize(("layout", "prefix"), CLASSIFIERS.items())
def test_linear_heads_of_others_fit_ours(layout: str, prefix: str, tmp_path: Path) -> None:
    source, target = linear(layout=layout), linear(layout=layout, seed=1)
    state = as_published(source.backbone, layout) | prefixed(source.head.classifier.state_dict(), prefix)
    state = prefixed(state, "model.") if layout == "PyTorchVideo" else state
    load_pretrained(target, saved(state, layout, tmp_path))
    assert_equal(target.state_dict(), source.state_dict())


def test_the_background_of_a_detector_of_mmaction2_is_left_out(tmp_path: Path) -> None:
    source, target = (linear(layout="mmaction2", last_dilation=1, seed=seed) for seed in (0, 1))
    classifier = {name: torch.cat([t[:1], t]) for name, t in source.head.classifier.state_dict().items()}
    state = as_published(source.backbone, "mmaction2") | prefixed(classifier, "roi_head.bbox_head.fc_cls.")
    path = saved(state, "mmaction2", tmp_path)
    load_pretrained(target, path)
    assert_equal(target.state_dict(), source.state_dict())
    assert_refused(linear(layout="mmaction2"), path, "made for last_dilation=1, found 2 in the model")


def test_blobs_may_lack_dimensions_or_have_too_many(tmp_path: Path) -> None:
    source, target = linear(layout="Caffe2"), linear(layout="Caffe2", seed=1)
    state = as_published(source.backbone, "Caffe2")
    state = {name: tensor.squeeze() if name.endswith("branch1_w") else tensor for name, tensor in state.items()}
    weight = source.head.classifier.weight.detach()
    state |= {"pred_w": weight[..., None, None, None], "pred_b": source.head.classifier.bias.detach()}
    report = load_pretrained(target, saved(state, "Caffe2", tmp_path))
    assert_equal(target.state_dict(), source.state_dict())
    assert report.dropped == {f"{name}_momentum": "belongs to the optimizer" for name in state}
    assert re.search(r"not used +\*_momentum \(\d+x\) +- +belongs to the optimizer", str(report))
    assert re.search(r"fresh +\*\.num_batches_tracked \(\d+x\) +- +the file does not count batches", str(report))


def test_a_classifier_of_clips_is_no_head_of_fbil(tmp_path: Path) -> None:
    source, target = backbone("PyTorchVideo"), fbil(seed=1, layout="PyTorchVideo")
    before = {name: tensor.clone() for name, tensor in target.head.state_dict().items()}
    classifier = {"blocks.6.proj.weight": torch.ones(3, 320), "blocks.6.proj.bias": torch.ones(3)}
    path = saved(as_published(source, "PyTorchVideo") | classifier, "PyTorchVideo", tmp_path)
    report = load_pretrained(target, path)
    assert_equal(target.backbone.state_dict(), source.state_dict())
    assert_equal(target.head.state_dict(), before)
    assert report.dropped == dict.fromkeys(["head.classifier.weight", "head.classifier.bias"], "a head of another kind")
    with_classes = linear(classes=4, layout="PyTorchVideo")
    assert "3 classes in the file, 4 in the model" in str(load_pretrained(with_classes, path))


# ---------------------------------------------------------------- what does not fit


@pytest.mark.parametrize("layout", [OWN, *SPELLINGS])
def test_one_missing_tensor_is_an_error_that_shows_it(layout: str, tmp_path: Path) -> None:
    state = as_published(backbone(layout), layout)
    names = in_layout({"slow_res3.1.bn2.bias": torch.ones(1)}, layout)
    lost = next(name for name in state if name.endswith(tuple(names)))
    del state[lost]
    path = saved(state, layout, tmp_path)
    for model, prefix in ((backbone(layout, seed=1), ""), (linear(layout=layout, seed=1), "backbone.")):
        message = assert_refused(model, path, "nothing was copied")
        assert re.search(rf"missing +{prefix}slow_res3\.1\.bn2\.bias +- +32\n", message)


@pytest.mark.parametrize(
    ("layout", "settings", "advice"),
    [
        ("PyTorchVideo", {"slow_sampling": "strided"}, "made for slow_sampling='linspace', found 'strided'"),
        ("Caffe2", {"slow_sampling": "strided"}, "made for slow_sampling='linspace'"),
        ("mmaction2", {"slow_sampling": "linspace"}, "made for slow_sampling='strided'"),
        (OWN, {"fusion": "conv"}, "fusion=conv_norm"),
        ("PySlowFast", {"fusion": "conv"}, "fusion=conv_norm"),
        ("Caffe2", {"fusion": "conv"}, "fusion=conv_norm"),
        ("mmaction2", {"fusion": "conv"}, "fusion=conv_norm"),
        ("PyTorchVideo", {"fusion_kernel": 7}, "fusion_kernel=5"),
        ("PySlowFast", {"layers": (1, 1, 2, 1)}, r"\(1, 2, 2, 1\) blocks, those of the model \(1, 1, 2, 1\)"),
        ("mmaction2", {"layers": (1, 2, 3, 1)}, r"\(1, 2, 2, 1\) blocks, those of the model \(1, 2, 3, 1\)"),
        ("Caffe2", {"layers": (1, 3, 2, 1)}, r"\(1, 2, 2, 1\) blocks"),
        (OWN, {"temporal_blocks": (1, 1, 1, 1)}, "set temporal_blocks"),
        (OWN, {"base_width": 16}, "base_width 8, the model 16"),
    ],
)
def test_common_misfits_come_with_advice(layout: str, settings: dict, advice: str, tmp_path: Path) -> None:
    path = saved(as_published(backbone(layout), layout), layout, tmp_path)
    message = assert_refused(backbone(layout, **settings), path, advice)
    assert str(path) in message
    assert len(message.splitlines()) < 70


def test_weights_without_lateral_norms_are_told_from_those_with(tmp_path: Path) -> None:
    path = saved(as_published(backbone("mmaction2", fusion="conv"), "mmaction2"), "mmaction2", tmp_path)
    assert_refused(backbone("mmaction2"), path, r"build the model with fusion=conv\.")


def test_non_local_blocks_are_named(tmp_path: Path) -> None:
    state = as_published(backbone("PySlowFast"), "PySlowFast")
    path = saved(state | {"s4.pathway0_nonlocal1.conv_g.weight": torch.ones(2)}, "PySlowFast", tmp_path)
    assert_refused(backbone("PySlowFast"), path, "non-local blocks")


def test_weights_of_something_else_are_no_slowfast(tmp_path: Path) -> None:
    torch.save({"model": {"patch_embed.proj.weight": torch.ones(2)}}, tmp_path / "vit.pth")
    assert_refused(backbone(), tmp_path / "vit.pth", r"holds no SlowFast.*patch_embed(.|\n)*PyTorchVideo")


class Harmful:
    """Runs a command when it is unpickled by an unsafe reader."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_would_execute_code_is_refused_and_not_executed(protocol: int, tmp_path: Path) -> None:
    path, trace = tmp_path / "harmful.pkl", tmp_path / "executed"
    blobs = {name: tensor.numpy() for name, tensor in as_published(backbone("Caffe2"), "Caffe2").items()}
    path.write_bytes(pickle.dumps({"blobs": blobs, "more": Harmful(trace)}, protocol=protocol))
    assert_refused(backbone("Caffe2"), path, r"harmful\.pkl: a pickle that needs \w+\.system.*nothing of it was run")
    assert not trace.exists()


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_a_cut_pickle_is_called_damaged(share: float, tmp_path: Path) -> None:
    path = saved(as_published(backbone("Caffe2"), "Caffe2"), "Caffe2", tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert_refused(backbone("Caffe2"), path, "damaged or incomplete")
