"""SlowFast gives the features of the published code, whoever named its weights, and has the published tensors."""

import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from safetensors.torch import load_file
from torch import Tensor

from models.pretrained import load_pretrained
from models.slowfast import SlowFast
from models.slowfast_checkpoints import OWN, SPELLINGS, foreign_names
from models.slowfast_classifier import SlowFastClassifier
from tests.conftest import fixtures_root

TOLERANCE = {"atol": 2e-5, "rtol": 1e-5}
STEM = "slow_conv1.weight"
WRAPPED = "backbone.module."
CONTAINERS = {"PySlowFast": "model_state", "PyTorchVideo": "model_state", "mmaction2": "state_dict"}


def documents(*keys: str) -> list[tuple[Path, dict]]:
    """Every JSON object that has all of ``keys``; there must be one."""
    folder = fixtures_root() / "fbil"
    files = [(path, json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]
    found = [(path, content) for path, content in files if isinstance(content, dict) and set(keys) <= set(content)]
    assert found, f"no document with {keys} in {folder}"
    return found


def tensors_beside(document: Path, *keys: str) -> dict[str, Tensor]:
    """The tensor file that goes with a document, by the beginning of its name, and has all of ``keys``."""
    for path in sorted(document.parent.glob(f"{document.stem}*.safetensors")):
        tensors = load_file(path)
        if set(keys) <= set(tensors):
            return tensors
    raise AssertionError(f"no tensors {keys} beside {document}")


def settings(published: dict[str, Any], base_width: int = 64) -> dict[str, Any]:
    """Our arguments for those of the published class, whose defaults stand in the files where they matter."""
    return {
        "base_width": base_width,
        "alpha": published["alpha"],
        "beta_inv": round(1 / published["beta"]),
        "fusion": "conv" if published.get("fuse_only_conv", True) else "conv_norm",
        "fusion_kernel": published.get("fuse_kernel_size", 5),
        "slow_sampling": "linspace" if published.get("slow_full_span", False) else "strided",
    }


def small_backbones() -> list[tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]]:
    """Arguments, weights and numbers of every small backbone."""
    found = []
    for path, content in documents("base_channels", "layers"):
        arguments = settings({**content.get("defaults", {}), **content}, content["base_channels"])
        arguments["layers"] = tuple(content["layers"])
        found.append((arguments, tensors_beside(path, STEM), tensors_beside(path, "in.clip", "out.slow", "out.fast")))
    return found


@torch.no_grad()
def assert_published(model: SlowFast, numbers: dict[str, Tensor]) -> None:
    slow, fast = model(numbers["in.clip"].float())
    torch.testing.assert_close(slow, numbers["out.slow"], **TOLERANCE)
    torch.testing.assert_close(fast, numbers["out.fast"], **TOLERANCE)


def test_backbones_give_the_published_features() -> None:
    for arguments, weights, numbers in small_backbones():
        model = SlowFast(**arguments)
        model.load_state_dict(weights)
        assert_published(model.train(), numbers)  # batch norms are frozen


def test_cells_outside_of_a_clip_that_fills_the_batch_change_nothing() -> None:
    for arguments, weights, numbers in small_backbones():
        model = SlowFast(**arguments)
        model.load_state_dict(weights)
        clip = numbers["in.clip"].float()
        with torch.no_grad():
            slow, fast = model(clip, torch.tensor(clip.shape[-2:]).expand(len(clip), 2))
        torch.testing.assert_close(slow, numbers["out.slow"], **TOLERANCE)
        torch.testing.assert_close(fast, numbers["out.fast"], **TOLERANCE)


@torch.no_grad()
def test_a_classifier_of_clips_gets_the_means_of_the_published_features() -> None:
    for arguments, weights, numbers in small_backbones():
        model = SlowFastClassifier(SlowFast(**arguments), num_classes=3).eval()
        model.backbone.load_state_dict(weights)
        features = [numbers["out.slow"], numbers["out.fast"]]
        weight = model.head.classifier.weight.split([each.shape[1] for each in features], 1)
        parts = [each.mean((2, 3, 4)) @ share.T for each, share in zip(features, weight, strict=True)]
        torch.testing.assert_close(model(numbers["in.clip"].float()), sum(parts), **TOLERANCE)


def test_complete_backbones_have_the_published_tensors() -> None:
    for path, content in documents("arch", "backbone_kwargs", "entries"):
        with torch.device("meta"):
            model = SlowFast(depth(content), **settings(content["backbone_kwargs"]))
        expected = {name: (shape, dtype) for name, shape, dtype in content["entries"] if name.startswith(WRAPPED)}
        found = {
            WRAPPED + name: (list(tensor.shape), str(tensor.dtype).removeprefix("torch."))
            for name, tensor in model.state_dict().items()
        }
        assert found == expected, path.name
        assert sum(parameter.numel() for parameter in model.parameters()) == content["n_parameters"]["backbone"]


def test_complete_backbones_have_a_config_node(repository: Path) -> None:
    nodes = {}
    with initialize_config_dir(str(repository / "conf"), version_base="1.3"):
        for path in sorted((repository / "conf/model/backbone").glob("*.yaml")):
            nodes[path.stem] = OmegaConf.to_container(compose(f"model/backbone/{path.stem}").model.backbone)
    for path, content in documents("arch", "backbone_kwargs", "entries"):
        expected = settings(content["backbone_kwargs"]) | {"depth": depth(content), "last_dilation": 2}
        assert [name for name, node in nodes.items() if expected.items() <= node.items()], path.name


def depth(content: dict[str, Any]) -> int:
    return int(re.search(r"\d+$", content["arch"])[0])


def key_maps() -> list[tuple[list[list], dict[str, int]]]:
    """Rows of every map with the column of each layout; columns are told by the beginning of their titles."""
    found = []
    for _, content in documents("columns", "rows", "lateral_conv_bn_relu"):
        titles = [title.lower() for title in content["columns"]]
        places = {
            name: next(i for i, title in enumerate(titles) if title.startswith(name.lower())) for name in SPELLINGS
        }
        found.append((content["rows"] + content["lateral_conv_bn_relu"], places))
    return found


@pytest.mark.parametrize("layout", SPELLINGS)
def test_names_are_those_of_the_published_maps_both_ways(layout: str) -> None:
    for rows, places in key_maps():
        expected = {row[0]: row[places[layout]] for row in rows}
        names = foreign_names(expected, layout)
        assert names == expected
        stored = [name for name in names.values() if name is not None]
        assert len(set(stored)) == len(stored)


def test_names_of_lateral_connections_without_norm_are_those_of_mmaction2() -> None:
    for _, content in documents("lateral_conv_only"):
        for ours, theirs, *_ in content["lateral_conv_only"]:
            assert foreign_names([ours], "mmaction2") == {ours: theirs}


def renamed(weights: dict[str, Tensor], layout: str) -> dict[str, Tensor]:
    """Weights under the names that a published map gives; it is for the layers of another depth."""
    names = {row[0]: row[places[layout]] for rows, places in key_maps() for row in rows}
    lateral = [row for _, content in documents("lateral_conv_only") for row in content["lateral_conv_only"]]
    if layout == "mmaction2":
        names |= {ours: theirs for ours, theirs, *_ in lateral}
    blocks = {}  # of Caffe2's lateral connections, which name the last block of a stage
    for name in weights:
        if match := re.match(r"fast_res(\d)\.(\d+)", name):
            blocks[int(match[1]) + 1] = max(blocks.get(int(match[1]) + 1, 0), int(match[2]))
    theirs = {name: names[name] for name in weights if names[name] is not None}
    pattern = re.compile(r"(t_res(\d)_)\d+(_branch2c_bn_subsample)")
    for ours, name in theirs.items():
        theirs[ours] = pattern.sub(lambda match: f"{match[1]}{blocks[int(match[2])]}{match[3]}", name)
    return {name: weights[ours] for ours, name in theirs.items()}


def saved(weights: dict[str, Tensor], layout: str, folder: Path) -> Path:
    """A file such as the published ones."""
    path = folder / f"{layout}.pth"
    if layout == OWN:
        torch.save({"epoch": 1, "state_dict": {f"module.{WRAPPED}{name}": t for name, t in weights.items()}}, path)
    elif layout == "Caffe2":
        blobs = {name: tensor.numpy() for name, tensor in weights.items()}
        blobs |= {f"{name}_momentum": array for name, array in blobs.items()} | {"lr": 0.1, "model_iter": 7}
        path.write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))
    else:
        prefix = "backbone." if layout == "mmaction2" else ""
        torch.save({CONTAINERS[layout]: {prefix + name: tensor for name, tensor in weights.items()}}, path)
    return path


@pytest.mark.parametrize("layout", [OWN, *SPELLINGS])
def test_weights_under_the_names_of_others_give_the_published_features(layout: str, tmp_path: Path) -> None:
    loaded = 0
    for arguments, weights, numbers in small_backbones():
        published_by = {"strided": (OWN, "mmaction2"), "linspace": (OWN, "PySlowFast", "Caffe2", "PyTorchVideo")}
        if layout not in published_by[arguments["slow_sampling"]]:
            continue
        theirs = weights if layout == OWN else renamed(weights, layout)
        model = SlowFast(**arguments)
        report = load_pretrained(model, saved(theirs, layout, tmp_path))
        assert len(report.loaded) == len(theirs)
        assert_published(model, numbers)
        loaded += 1
    assert loaded, f"no backbone for {layout}"
