"""The multi-fiber network: shapes, fibers, gradients, the names of its weights, and what explains it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.checkpoint_formats import CheckpointError
from models.mfnet import MFNet
from models.pretrained import load_pretrained
from models.saliency import evidence_of
from models.slowfast import SlowFast

TINY = {"num_frames": 4, "image_size": (32, 64), "num_classes": 3, "width": 8, "fibers": 2, "stem_width": 4}
LAYERS = (1, 2, 1, 2)


def tiny(seed: int = 0, **settings: Any) -> MFNet:
    torch.manual_seed(seed)
    return MFNet(**{**TINY, "layers": LAYERS, **settings})


def clips(count: int = 2, size: tuple[int, int, int] = (4, 32, 64)) -> Tensor:
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(1))


def saved(state: dict[str, Tensor], folder: Path) -> Path:
    """A file as the authors' training writes it, from within DataParallel."""
    path = folder / "MFNet.pth"
    torch.save({"epoch": 9, "state_dict": {f"module.{name}": each for name, each in state.items()}}, path)
    return path


def test_the_published_network_has_its_size_and_last_activation() -> None:
    with torch.device("meta"):
        model = MFNet()
        volume = model.forward_volume(torch.empty(1, 3, model.num_frames, *model.image_size))
    assert volume.shape == (1, 768, 8, 7, 7)
    assert sum(parameter.numel() for parameter in model.parameters()) == 7_996_368  # 8.0 M in the authors' table
    assert model.classify(volume).shape == (1, 400)


def test_the_state_dict_has_the_published_names_and_shapes() -> None:
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in MFNet().state_dict().items()}
    expected = {
        "conv1.conv.weight": (16, 3, 3, 5, 5),
        "conv1.bn.running_var": (16,),
        "conv2.B01.conv_i1.bn.weight": (16,),
        "conv2.B01.conv_i1.conv.weight": (24, 16, 1, 1, 1),
        "conv2.B01.conv_i2.conv.weight": (16, 24, 1, 1, 1),
        "conv2.B01.conv_m1.conv.weight": (96, 1, 3, 3, 3),
        "conv2.B01.conv_m2.conv.weight": (96, 96, 1, 1, 1),
        "conv2.B01.conv_w1.conv.weight": (96, 16, 1, 1, 1),
        "conv4.B06.conv_m1.conv.weight": (384, 24, 3, 3, 3),
        "conv5.B03.conv_m2.conv.weight": (768, 48, 1, 3, 3),
        "tail.bn.running_mean": (768,),
        "classifier.weight": (400, 768),
        "classifier.bias": (400,),
    }
    assert {name: shapes.get(name) for name in expected} == expected
    convolutions = {name for name in shapes if name.endswith("conv.weight")}
    assert len(convolutions) == 1 + 4 * 16 + 4  # stem; four in each unit; one more in the first of each stage
    norms = {name for name in shapes if name.endswith("bn.weight")}
    assert len(shapes) == len(convolutions) + 5 * len(norms) + 2
    assert not [name for name in shapes if "B02.conv_w1" in name]


@torch.no_grad()
def test_features_are_rounded_up_for_clips_of_any_size() -> None:
    model = tiny().eval()
    assert model.forward_volume(clips(1, (5, 40, 33))).shape == (1, 64, 3, 2, 2)
    assert model(clips(1, (5, 40, 33))).shape == (1, 3)


@torch.no_grad()
def test_logits_are_a_linear_map_of_the_mean_activation() -> None:
    model, features = tiny().eval(), tiny(num_classes=0).eval()
    volume = model.forward_volume(clips())
    assert volume.shape == (2, 64, 2, 1, 2) and (volume >= 0).all()
    torch.testing.assert_close(model(clips()), model.classifier(volume.mean((2, 3, 4))))
    features.load_state_dict({name: each for name, each in model.state_dict().items() if "classifier" not in name})
    torch.testing.assert_close(features(clips()), volume.mean((2, 3, 4)))
    assert features.num_features == 64


@torch.no_grad()
def test_a_unit_adds_its_input_before_and_after_the_fibers() -> None:
    model = tiny()
    model(clips())  # norms have seen data
    for unit, channels in ((model.eval().conv3.B01, 8), (model.conv3.B02, 16)):
        first = unit is model.conv3.B01

        def part(name: str, x: Tensor, groups: int = 1, stride: tuple = (1, 1, 1), unit: nn.Module = unit) -> Tensor:
            norm, weight = unit.get_submodule(f"{name}.bn"), unit.get_submodule(f"{name}.conv").weight
            normed = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
            return F.conv3d(normed.relu(), weight, None, stride, [side // 2 for side in weight.shape[2:]], 1, groups)

        x = torch.randn(2, channels, 2, 5, 4, generator=torch.Generator().manual_seed(0))
        stride = (1, 2, 2) if first else (1, 1, 1)
        mixed = x + part("conv_i2", part("conv_i1", x))
        fibers = part("conv_m2", part("conv_m1", mixed, 2, stride), 1 if first else 2)
        torch.testing.assert_close(unit(x), fibers + (part("conv_w1", x, 1, stride) if first else x))


@torch.no_grad()
def test_only_the_mixer_lets_fibers_see_each_other() -> None:
    unit = tiny().eval().conv3.B02  # not the first of its stage: no convolution over all channels beside the mixer
    x = torch.randn(1, 16, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    changed = torch.cat([x[:, :8] + 1, x[:, 8:]], 1)
    assert not torch.equal(unit(changed)[:, 8:], unit(x)[:, 8:])
    nn.init.zeros_(unit.conv_i2.conv.weight)
    assert torch.equal(unit(changed)[:, 8:], unit(x)[:, 8:])
    assert not torch.equal(unit(changed)[:, :8], unit(x)[:, :8])


def test_every_parameter_receives_a_gradient() -> None:
    model = tiny(head_dropout=0.5)
    model(clips()).square().sum().backward()
    assert [name for name, each in model.named_parameters() if each.grad is None or not each.grad.any()] == []


def test_dropout_is_for_training_and_before_the_classifier() -> None:
    model = tiny(head_dropout=1.0)
    assert torch.equal(model(clips()), model.classifier.bias.expand(2, 3))
    assert not torch.equal(model.eval()(clips()), model.classifier.bias.expand(2, 3))


def test_it_learns_which_clips_move() -> None:
    torch.manual_seed(0)
    still = torch.randn(8, 3, 1, 32, 32).expand(-1, -1, 4, -1, -1)
    video = torch.cat([still, torch.randn(8, 3, 4, 32, 32)])
    label = torch.arange(16) // 8
    model = tiny(num_classes=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(12):
        loss = F.cross_entropy(model(video), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.2


def test_evidence_adds_up_to_the_logit() -> None:
    evidence = evidence_of(tiny(), clips(), 1)
    assert evidence.method == "tube" and evidence.exact
    assert evidence.maps["clip"].shape == (2, 2, 1, 2)
    assert evidence.completeness_error().max() < 1e-5
    features = tiny(num_classes=0)
    assert evidence_of(features, clips(), 5).completeness_error().max() < 1e-5


# ---------------------------------------------------------------- weights


def test_published_files_load_completely(tmp_path: Path) -> None:
    source, target = tiny(), tiny(1)
    source(clips())  # norms have seen data
    report = load_pretrained(target, saved(source.state_dict(), tmp_path))
    assert set(report.loaded) == set(source.state_dict()) and not report.fresh and not report.dropped
    assert all(torch.equal(each, target.state_dict()[name]) for name, each in source.state_dict().items())
    assert torch.equal(source.eval()(clips()), target.eval()(clips()))


def test_files_from_before_batches_were_counted_load_and_say_so(tmp_path: Path) -> None:
    state = {name: each for name, each in tiny().state_dict().items() if not name.endswith("num_batches_tracked")}
    report = load_pretrained(tiny(1), saved(state, tmp_path))
    assert set(report.loaded) == set(state)
    assert set(report.fresh.values()) == {"the file does not count batches"}


def test_a_classifier_of_other_classes_starts_fresh_and_without_one_it_is_left_out(tmp_path: Path) -> None:
    path = saved(tiny().state_dict(), tmp_path)
    classifier = {"classifier.weight", "classifier.bias"}
    report = load_pretrained(tiny(1, num_classes=5), path)
    assert report.fresh == report.dropped == dict.fromkeys(classifier, "3 classes in the file, 5 in the model")
    assert load_pretrained(tiny(1, num_classes=0), path).dropped == dict.fromkeys(classifier, "the model has no head")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": (1, 2, 1, 1)}, r"\(1, 2, 1, 2\) units, those of the model \(1, 2, 1, 1\): set layers"),
        ({"fibers": 4}, r"conv2\.B01.* has \(8, 2, 3, 3, 3\) in the file, \(8, 1, 3, 3, 3\) here: set width"),
    ],
)
def test_weights_of_another_size_are_refused_with_advice(settings: dict, message: str, tmp_path: Path) -> None:
    path, model = saved(tiny().state_dict(), tmp_path), tiny(1, **settings)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_pretrained(model, path)
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())


def test_one_missing_or_further_tensor_is_an_error_that_shows_it(tmp_path: Path) -> None:
    state = tiny().state_dict()
    with pytest.raises(CheckpointError, match=r"unused +conv3\.B01\.gate +2"):
        load_pretrained(tiny(1), saved(state | {"conv3.B01.gate": torch.ones(2)}, tmp_path))
    del state["tail.bn.bias"]
    with pytest.raises(CheckpointError, match=r"missing +tail\.bn\.bias +- +64"):
        load_pretrained(tiny(1), saved(state, tmp_path))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    other = SlowFast(base_width=8, beta_inv=4, layers=(1, 1, 1, 1))
    with pytest.raises(CheckpointError, match="expected an MFNet, found no conv2"):
        load_pretrained(tiny(), saved(other.state_dict(), tmp_path))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_frames": 0}, "num_frames: expected a number >= 1, found 0"),
        ({"image_size": (32, 0)}, "image_size: expected a number >= 1, found 0"),
        ({"num_classes": -1}, "num_classes: expected a number >= 0, found -1"),
        ({"fibers": 0}, "fibers: expected a number >= 1, found 0"),
        ({"width": 10}, "width: expected a multiple of 4 for 2 fibers, found 10"),
        ({"stem_width": 3}, "stem_width: expected a multiple of 2 for 2 fibers, found 3"),
        ({"layers": (1, 1, 1)}, r"layers: expected 4 numbers >= 1, found \[1, 1, 1\]"),
        ({"layers": (1, 1, 0, 1)}, r"layers: expected 4 numbers >= 1, found \[1, 1, 0, 1\]"),
        ({"mean": (0.5, 0.5)}, r"mean: expected 3 numbers in \[0, 1\], found \[0\.5, 0\.5\]"),
        ({"std": (0.0, 1.0, 1.0)}, "std: expected 3 numbers above 0"),
    ],
)
def test_values_that_make_no_network_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**settings)
