"""Recipes compose, build, and amount to the learning rates and batches that their sources, or we, say."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from core.build import build
from core.command_line.overrides import composed
from core.optim import scale_to_batch
from models.saliency import METHODS
from tasks.parameter_groups import parameter_groups, scale_learning_rates
from tests.core.recipes import part
from tests.core.test_action_experiments import RECIPES as ACTIONS
from tests.core.test_classify_experiments import RECIPES as CLASSIFIERS
from tests.core.test_detector_experiments import RECIPES as DETECTORS
from tests.core.test_speaker_experiments import RECIPES as SPEAKERS
from tests.core.test_speaker_experiments import SWEEPS

METHODS_COMPARED = "saliency_methods"
EXPERIMENTS = Path(__file__).resolve().parents[2] / "conf" / "experiment"


@dataclass(frozen=True)
class Published:
    """What a recipe amounts to on the hardware of its authors.

    Attributes:
        gpus: Number of GPUs.
        batch: Videos per step.
        clips: Clips per step.
        peak: Highest learning rate.
        final: Learning rate that the cosine approaches.
        warmup: Epochs of warm-up.
        epochs: Epochs in all.
        tensors: Tensors of the state dict.
        parameters: Parameters of the model in millions.
    """

    gpus: int
    batch: int
    clips: int
    peak: float
    final: float
    warmup: int
    epochs: int
    tensors: int
    parameters: float


RECIPES = {
    "focusmae_root": Published(1, 4, 8, 1.5625e-5, 1.5625e-14, 1, 500, 310, 42.7),
    "focusmae_v1": Published(1, 1, 2, 3.90625e-6, 3.90625e-15, 1, 800, 310, 113.1),
    "focusmae_shanghaitech": Published(1, 16, 64, 3e-4, 1e-5, 40, 800, 232, 26.405),
    "videomae_k400_vit_b": Published(64, 2048, 2048, 1.2e-3, 8e-5, 40, 1601, 218, 94.211),
    "videomae_v2_vit_b": Published(32, 1024, 4096, 4e-3, 4e-5, 20, 200, 218, 94.211),
    "videomae_v2_vit_l": Published(48, 1536, 6144, 6e-3, 6e-5, 30, 300, 374, 317.782),
    "videomae_v2_vit_g": Published(64, 2048, 8192, 4.8e-3, 8e-5, 30, 300, 582, 1026.307),
}


# What a feature is made of: pixels as the source feeds them, and what is kept of the tokens.
FEATURES = {
    "features_toolkit": {
        "normalization": "minus_one_one",
        "batch_size": 2,
        "windows": {"stride": 16, "tail": "drop", "views": "squash", "resize": "float", "channels": "bgr"},
        "layer": "blocks",
        "pool": "mean_std_max",
    },
    "features_videomae_v2_tad": {
        "normalization": "zero_one",
        "batch_size": 1,
        "windows": {"stride": 16, "tail": "drop", "views": "squash", "resize": "float", "channels": "rgb"},
        "layer": None,
        "pool": "none",
    },
}


@pytest.fixture(params=RECIPES)
def recipe(request: pytest.FixtureRequest) -> tuple[DictConfig, Published]:
    cfg = composed([f"experiment={request.param}"])
    assert cfg.name == request.param  # runs of different recipes get folders of their own
    return cfg, RECIPES[request.param]


def test_every_recipe_is_listed_here():
    listed = RECIPES.keys() | FEATURES.keys() | DETECTORS.keys() | ACTIONS.keys() | SPEAKERS.keys() | SWEEPS.keys()
    listed |= {*CLASSIFIERS, METHODS_COMPARED}
    assert {path.stem for path in EXPERIMENTS.glob("*.yaml")} - {"none"} == listed


def test_the_comparison_of_methods_leaves_none_out():
    cfg = composed(["task=classify", f"experiment={METHODS_COMPARED}"])
    assert cfg.mode == "test" and sorted(cfg.callbacks.saliency.method) == sorted(METHODS)


@pytest.mark.parametrize("name", FEATURES)
def test_features_are_made_of_what_the_source_makes_them_of(name: str):
    cfg, expected = composed([f"experiment={name}"]), FEATURES[name]
    data, kept = part(cfg, "datamodule"), cfg.callbacks.features
    assert (cfg.name, cfg.mode) == (name, "predict")
    windows = {option: value for option, value in data["windows"].items() if option != "_target_"}
    found = {"normalization": data["normalization"], "batch_size": data["batch_size"], "windows": windows}
    assert found | {"layer": kept.layer, "pool": kept.pool} == expected
    clip = data["num_frames"], data["frame_step"], data["image_size"]
    assert clip == (16, 1, 224) and cfg.trainer.precision == "32-true"
    assert (cfg.model.dim, cfg.model.depth, cfg.model.patch_size) == (1408, 40, 14)
    build(data, "datamodule")


def test_batch_and_learning_rate_are_those_of_the_source(recipe):
    cfg, published = recipe
    batch = cfg.datamodule.batch_size * published.gpus * cfg.trainer.accumulate_grad_batches
    assert batch == published.batch
    assert batch * cfg.datamodule.clips_per_video == published.clips
    optim, scheduler, _ = scale_to_batch(part(cfg, "optim"), part(cfg, "scheduler"), batch)
    assert optim["lr"] == pytest.approx(published.peak, rel=1e-12)
    assert scheduler["min_lr"] == pytest.approx(published.final, rel=1e-12)
    assert cfg.scheduler.warmup_epochs == published.warmup
    assert cfg.trainer.max_epochs == published.epochs
    assert cfg.datamodule.repeat == 1


def test_model_has_the_published_size_and_trains_on_the_schedule(recipe):
    cfg, published = recipe
    node = part(cfg, "model")
    assert node.pop("pretrained") is None
    with torch.device("meta"):
        model = build(node, "model")
    assert len(model.state_dict()) == published.tensors
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(published.parameters, abs=0.05)
    optim, scheduler, _ = scale_to_batch(part(cfg, "optim"), part(cfg, "scheduler"), published.batch)
    optimizer = build(optim, "optim")(parameter_groups(model))
    scale_learning_rates(optimizer)
    steps = 2  # of an epoch; the table is in epochs, so any number will do
    schedule = build(scheduler, "scheduler")(optimizer, total_steps=steps * published.epochs, steps_per_epoch=steps)
    rates = []
    for _ in range(steps * published.epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == 0
    assert max(rates) == rates[steps * published.warmup - 1] == pytest.approx(published.peak, rel=1e-12)
    assert published.final < rates[-1] < 0.001 * published.peak + published.final


def test_task_and_datamodule_build_and_agree_on_the_clip(recipe):
    cfg, _ = recipe
    with torch.device("meta"):
        model = build(part(cfg, "model", "pretrained"), "model")
    task = build(part(cfg, "task"), "task", model=model)
    datamodule = build(part(cfg, "datamodule"), "datamodule")
    assert set(task.needs) <= set(datamodule.provides)
    assert datamodule.hparams.num_frames == model.num_frames == 16
    assert (datamodule.hparams.image_size,) * 2 == tuple(model.image_size) == (224, 224)


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_number_of_a_recipe_cites_its_source(path: Path):
    numbers = [line for line in path.read_text().splitlines() if re.match(r"\s+\w+: [\[\d.-]", line)]
    assert path.stem == "none" or numbers
    assert [line for line in numbers if "#" not in line] == []
