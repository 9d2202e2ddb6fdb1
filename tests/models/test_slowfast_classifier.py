"""SlowFast for whole clips: its grid, the order of its features, gradients, weights of others, and what explains it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.checkpoint_formats import CheckpointError
from models.pretrained import load_pretrained
from models.saliency import evidence_of
from models.slowfast import SlowFast
from models.slowfast_classifier import SlowFastClassifier
from tests.models.test_slowfast_checkpoints import as_published, randomised, saved
from tests.prefixes import prefixed

CLASSES = 3
HEADS = {
    "PySlowFast": "head.projection.",
    "Caffe2": "pred_",
    "PyTorchVideo": "blocks.6.proj.",
    "mmaction2": "cls_head.fc_cls.",
}


def tiny(num_classes: int = CLASSES, seed: int = 0, layout: str = "mmaction2", **settings: Any) -> SlowFastClassifier:
    torch.manual_seed(seed)
    sampling = "strided" if layout == "mmaction2" else "linspace"
    arguments = {"base_width": 8, "beta_inv": 4, "layers": (1, 1, 1, 1), "slow_sampling": sampling}
    strides = {"last_stride": 2, "last_dilation": 1, "frozen_norm": False}
    backbone = SlowFast(**{**arguments, **strides, **settings})
    return SlowFastClassifier(backbone, num_frames=8, image_size=(32, 64), num_classes=num_classes)


def clips(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 8, 32, 64, generator=torch.Generator().manual_seed(1))


def as_stored(model: SlowFastClassifier, layout: str) -> dict[str, Tensor]:
    """The weights of a classifier as they stand in the files of a project."""
    weight, bias = model.head.classifier.weight.detach(), model.head.classifier.bias.detach()
    slow, _ = model.backbone.widths
    if layout == "mmaction2":
        weight = torch.cat([weight[:, slow:], weight[:, :slow]], 1)
    leaves = {"w": weight, "b": bias} if layout == "Caffe2" else {"weight": weight, "bias": bias}
    return as_published(model.backbone, layout) | prefixed(leaves, HEADS[layout])


def test_the_published_network_has_its_size_and_grids() -> None:
    with torch.device("meta"):
        backbone = SlowFast(fusion="conv_norm", fusion_kernel=7, last_stride=2, last_dilation=1)
        model = SlowFastClassifier(backbone)
        slow, fast = backbone(torch.empty(1, 3, model.num_frames, *model.image_size))
    assert (slow.shape, fast.shape) == ((1, 2048, 8, 7, 7), (1, 256, 32, 7, 7))
    assert backbone.stride == 32
    assert sum(parameter.numel() for parameter in model.parameters()) == 34_566_488
    assert model.classify([slow, fast]).shape == (1, 400)


@torch.no_grad()
def test_logits_are_a_linear_map_of_the_means_of_both_pathways() -> None:
    model, features = tiny().eval(), tiny(0).eval()
    slow, fast = model.backbone(clips())
    assert (slow.shape, fast.shape) == ((2, 256, 2, 1, 2), (2, 64, 8, 1, 2))
    means = torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], 1)
    torch.testing.assert_close(model(clips()), model.head.classifier(means))
    torch.testing.assert_close(features(clips()), means)
    assert features.num_features == 320
    assert (model.mean, model.std) == (model.backbone.mean, model.backbone.std)


def test_every_parameter_receives_a_gradient() -> None:
    model = tiny().train()
    for norm in model.backbone.modules():  # those at the end of blocks begin with 0 and let nothing through
        if isinstance(norm, nn.BatchNorm3d):
            nn.init.ones_(norm.weight)
    model(clips()).square().sum().backward()
    assert [name for name, each in model.named_parameters() if each.grad is None or not each.grad.any()] == []


def test_it_learns_which_clips_move() -> None:
    torch.manual_seed(0)
    still = torch.randn(8, 3, 1, 32, 32).expand(-1, -1, 8, -1, -1)
    video = torch.cat([still, torch.randn(8, 3, 8, 32, 32)])
    label = torch.arange(16) // 8
    model = tiny(2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(12):
        loss = nn.functional.cross_entropy(model(video), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.2


def test_evidence_of_both_pathways_adds_up_to_the_logit() -> None:
    model = randomised(tiny())
    evidence = evidence_of(model, clips(), 1)
    assert evidence.method == "tube" and evidence.exact
    shapes = {stream: tuple(each.shape) for stream, each in evidence.maps.items()}
    assert shapes == {"slow": (2, 2, 1, 2), "fast": (2, 8, 1, 2)}
    assert (evidence.completeness_error() < 1e-5 * (1 + evidence.logit.abs())).all()
    assert evidence_of(tiny(0), clips(), 300).completeness_error().max() < 1e-5


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize("layout", HEADS)
def test_classifiers_of_others_give_the_same_logits(layout: str, tmp_path: Path) -> None:
    source, target = randomised(tiny(layout=layout)), randomised(tiny(layout=layout), seed=1)
    report = load_pretrained(target, saved(as_stored(source, layout), layout, tmp_path))
    assert {"head.classifier.weight", "head.classifier.bias"} <= set(report.loaded)
    assert set(report.fresh.values()) <= {"the file does not count batches"}
    assert torch.equal(target(clips()), source(clips()))


def test_a_run_gives_its_weights_to_one_with_other_classes_and_to_a_backbone(tmp_path: Path) -> None:
    source, path = randomised(tiny()), tmp_path / "best.ckpt"
    state = prefixed(source.state_dict(), "model.")
    torch.save({"state_dict": state, "pytorch-lightning_version": "2"}, path)
    other, backbone = tiny(5, seed=1), tiny(0, seed=1)
    head = {"head.classifier.weight", "head.classifier.bias"}
    assert load_pretrained(other, path).fresh == dict.fromkeys(head, "3 classes in the file, 5 in the model")
    assert load_pretrained(backbone, path).dropped == dict.fromkeys(head, "the model has no head")
    for model in (other.eval(), backbone.eval()):
        pairs = zip(model.backbone(clips()), source.backbone(clips()), strict=True)
        assert all(torch.equal(found, expected) for found, expected in pairs)


@pytest.mark.parametrize("layout", ["PyTorchVideo", "mmaction2"])
@pytest.mark.parametrize(("stride", "dilation", "message"), [(1, 1, "last_stride=2, found 1"), (2, 2, "dilation=1")])
def test_a_classifier_is_not_loaded_onto_another_last_stage(
    layout: str, stride: int, dilation: int, message: str, tmp_path: Path
) -> None:
    path = saved(as_stored(tiny(layout=layout), layout), layout, tmp_path)
    settings = {"layout": layout, "last_stride": stride, "last_dilation": dilation}
    with pytest.raises(CheckpointError, match=message):
        load_pretrained(tiny(**settings), path)
    assert load_pretrained(tiny(CLASSES + 1, **settings), path).dropped  # to be trained anew: anything goes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_frames": 0}, "num_frames: expected a number >= 1, found 0"),
        ({"image_size": 0}, "image_size: expected a number >= 1, found 0"),
        ({"num_classes": -1}, "num_classes: expected a number >= 0, found -1"),
    ],
)
def test_values_that_make_no_classifier_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SlowFastClassifier(tiny().backbone, **settings)


def test_another_stride_of_the_last_stage_is_refused() -> None:
    with pytest.raises(ValueError, match="last_stride: expected 1 or 2, found 3"):
        tiny(last_stride=3)
