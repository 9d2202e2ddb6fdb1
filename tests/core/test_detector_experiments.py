"""Recipes of anomaly detectors compose, build, and amount to the steps that their sources say."""

from dataclasses import dataclass

import pytest
import torch
from omegaconf import DictConfig

from core.build import build
from core.command_line.overrides import composed
from tests.core.recipes import part

NORMAL = 140  # training videos of the weak split that are not held out: 175 without a fifth


@dataclass(frozen=True)
class Published:
    """What a recipe amounts to.

    Attributes:
        pairs: Pairs of an anomalous and a normal video per step.
        steps: Steps in all.
        lr: Learning rate, constant.
        weight_decay: Of Adam.
        widths: Features taken in and out by every linear layer.
    """

    pairs: int
    steps: int
    lr: float
    weight_decay: float
    widths: list[tuple[int, int]]


RECIPES = {
    "arnet_shanghaitech": Published(30, 20 * 238, 1e-4, 5e-4, [(1408, 1408), (1408, 1)]),
    "rtfm_shanghaitech": Published(32, 15000, 1e-3, 5e-3, [(2048, 512), (512, 128), (128, 1)]),
}


@pytest.fixture(params=RECIPES)
def recipe(request: pytest.FixtureRequest) -> tuple[DictConfig, Published]:
    cfg = composed([f"experiment={request.param}", "datamodule.features=features", "datamodule.root=null"])
    assert cfg.name == request.param
    return cfg, RECIPES[request.param]


def test_batch_and_number_of_steps_are_those_of_the_source(recipe: tuple[DictConfig, Published]) -> None:
    cfg, published = recipe
    assert cfg.datamodule.batch_size == published.pairs
    steps_per_epoch = NORMAL * cfg.datamodule.repeat // cfg.datamodule.batch_size
    steps = cfg.trainer.max_steps if cfg.trainer.max_steps > 0 else steps_per_epoch * cfg.trainer.max_epochs
    assert steps == published.steps


def test_model_and_optimizer_are_those_of_the_source(recipe: tuple[DictConfig, Published]) -> None:
    cfg, published = recipe
    with torch.device("meta"):
        model = build(part(cfg, "model", "pretrained"), "model")
    layers = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == published.widths
    optimizer = build(part(cfg, "optim", "reference_batch"), "optim")(model.parameters())
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.defaults["lr"] == published.lr and optimizer.defaults["weight_decay"] == published.weight_decay
    assert not part(cfg, "scheduler")


def test_task_and_datamodule_build_and_agree(recipe: tuple[DictConfig, Published]) -> None:
    cfg, _ = recipe
    with torch.device("meta"):
        model = build(part(cfg, "model", "pretrained"), "model")
    task = build(part(cfg, "task"), "task", model=model)
    datamodule = build(part(cfg, "datamodule"), "datamodule")
    assert set(task.needs) <= set(datamodule.provides)
    assert not cfg.datamodule.select_on_test
