"""Recipes of detectors of active speakers compose, build, and amount to what their sources say."""

from dataclasses import dataclass

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from core.build import build
from core.command_line.overrides import composed
from core.command_line.zoo import CONF
from tests.core.recipes import part


@dataclass(frozen=True)
class Published:
    """What a recipe amounts to.

    Attributes:
        frames: Of a batch.
        optimizer: Its class.
        lr: Learning rate of the first epoch.
        epochs: Epochs in all.
        weights: Of the losses of sound and faces.
        crop: How faces are cut out.
        parameters: Parameters of the model in millions.
    """

    frames: int
    optimizer: type
    lr: float
    epochs: int
    weights: tuple[float, float]
    crop: str
    parameters: float


RECIPES = {
    "talknet_ava": Published(2500, torch.optim.Adam, 1e-4, 25, (0.4, 0.4), "ava", 15.744),
    "talknet_ego4d": Published(1800, torch.optim.Adam, 1e-4, 25, (0.4, 0.4), "talkset", 15.744),
    "light_asd_ava": Published(2000, torch.optim.Adam, 1e-3, 30, (0.0, 0.5), "ava", 1.022),
    "lr_asd_ava": Published(2000, torch.optim.AdamW, 1e-3, 40, (0.0, 0.5), "ava", 0.837),
}
SWEEPS = {"asd_mrope_ablation": {"model.rope": 3, "model.context": 2, "seed": 3}}  # values of each setting
DECAY = 0.95  # of the learning rate per epoch, in all of them
STEPS = 3  # of an epoch


@pytest.fixture(params=RECIPES)
def recipe(request: pytest.FixtureRequest) -> tuple[DictConfig, Published]:
    cfg = composed([f"experiment={request.param}", "datamodule.root=data"])
    assert cfg.name == request.param
    return cfg, RECIPES[request.param]


def test_batches_losses_and_faces_are_those_of_the_source(recipe: tuple[DictConfig, Published]) -> None:
    cfg, published = recipe
    assert (cfg.datamodule.batching, cfg.datamodule.budget) == ("budget", published.frames)
    assert (cfg.task.audio_weight, cfg.task.video_weight) == published.weights
    assert (cfg.datamodule.crop, cfg.datamodule.face_size) == (published.crop, 112)
    assert cfg.task.class_weights == ([1, 4] if "ego4d" in cfg.name else None)
    assert (cfg.task.temperature, cfg.task.cooling) == ((1.3, 0.02) if cfg.name == "light_asd_ava" else (1.0, 0.0))


def test_model_and_schedule_are_those_of_the_source(recipe: tuple[DictConfig, Published]) -> None:
    cfg, published = recipe
    with torch.device("meta"):
        model = build(part(cfg, "model", "pretrained"), "model")
    assert sum(each.numel() for each in model.parameters()) / 1e6 == pytest.approx(published.parameters, abs=0.001)
    optimizer = build(part(cfg, "optim", "reference_batch"), "optim")(model.parameters())
    assert type(optimizer) is published.optimizer and cfg.trainer.max_epochs == published.epochs
    steps = {"total_steps": STEPS * published.epochs, "steps_per_epoch": STEPS}
    schedule = build(part(cfg, "scheduler"), "scheduler")(optimizer, **steps)
    rates = []
    for _ in range(2 * STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([published.lr] * STEPS + [DECAY * published.lr] * STEPS)


def test_task_and_datamodule_build_and_agree(recipe: tuple[DictConfig, Published]) -> None:
    cfg, _ = recipe
    with torch.device("meta"):
        model = build(part(cfg, "model", "pretrained"), "model")
    task = build(part(cfg, "task"), "task", model=model)
    assert set(task.needs) <= set(build(part(cfg, "datamodule"), "datamodule").provides)


@pytest.mark.parametrize("name", SWEEPS)
def test_an_ablation_is_a_sweep_of_jobs_that_build(name: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [f"experiment={name}"], return_hydra_config=True)
    params = {key: str(values).split(",") for key, values in cfg.hydra.sweeper.params.items()}
    assert cfg.hydra.mode.name == "MULTIRUN" and {key: len(values) for key, values in params.items()} == SWEEPS[name]
    keys = None
    for key, values in params.items():
        for value in values:
            job = composed([f"experiment={name}", f"{key}={value}"])
            with torch.device("meta"):
                model = build(part(job, "model", "pretrained"), "model")
            keys = keys or model.state_dict().keys()
            assert model.state_dict().keys() == keys and job.datamodule.batching == "windows"
