"""Recipes of action detectors compose, build, and amount to the steps and learning rates that their sources say."""

from dataclasses import dataclass

import pytest
import torch

from core.build import build
from core.command_line.overrides import composed
from core.optim import scale_to_batch
from tests.core.recipes import part


@dataclass(frozen=True)
class Published:
    """What a recipe amounts to on the hardware of its authors.

    Attributes:
        gpus: Number of GPUs.
        clips: Clips per step.
        start, peak, last: Learning rates of the first step, after the warm-up, and of the last epoch.
        epochs: Epochs in all.
        classes: Outputs of the model.
        parameters: Parameters of the model in millions.
    """

    gpus: int
    clips: int
    start: float
    peak: float
    last: float
    epochs: int
    classes: int
    parameters: float


RECIPES = {
    "fbil_ava": Published(2, 4, 0.0015, 0.012, 0.012e-2, 8, 60, 167.291),
    "acar_linear_ava": Published(4, 32, 0.008, 0.064, 0.064e-2, 6, 60, 33.783),
    "pyslowfast_r50_ava": Published(8, 64, 1.25e-4, 0.1, 0.1e-2, 20, 80, 33.829),
    "pytorchvideo_r50_ava": Published(1, 4, 0.0, 0.0, 0.0, 0, 80, 33.829),
}
TRAINED = [name for name, published in RECIPES.items() if published.epochs]
STEPS = 100  # of an epoch; the table is in epochs, so any number will do that fractions of epochs divide


@pytest.mark.parametrize("name", RECIPES)
def test_model_task_and_data_build_and_agree(name: str) -> None:
    cfg, published = composed([f"experiment={name}"]), RECIPES[name]
    assert cfg.name == name
    with torch.device("meta"):
        model = build(part(cfg, "model", "pretrained"), "model")
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(published.parameters, abs=0.001)
    assert model.head.num_classes == cfg.datamodule.num_classes == published.classes
    task = build(part(cfg, "task"), "task", model=model)
    datamodule = build(part(cfg, "datamodule"), "datamodule")
    assert set(task.needs) <= set(datamodule.provides)
    assert datamodule.hparams.num_frames == model.num_frames == 32
    for statistic in ("mean", "std"):
        assert getattr(datamodule, statistic).tolist() == pytest.approx(getattr(model.backbone, statistic), abs=1e-6)


@pytest.mark.parametrize("name", TRAINED)
def test_steps_and_learning_rates_are_those_of_the_source(name: str) -> None:
    cfg, published = composed([f"experiment={name}"]), RECIPES[name]
    clips = cfg.datamodule.batch_size * published.gpus * cfg.trainer.accumulate_grad_batches
    assert (clips, cfg.trainer.max_epochs) == (published.clips, published.epochs)
    optim, scheduler, _ = scale_to_batch(part(cfg, "optim"), part(cfg, "scheduler"), clips)
    optimizer = build(optim, "optim")([torch.nn.Parameter(torch.zeros(1))])
    total = STEPS * published.epochs
    schedule = build(scheduler, "scheduler")(optimizer, total_steps=total, steps_per_epoch=STEPS)
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert (rates[0], max(rates), rates[-1]) == pytest.approx((published.start, published.peak, published.last))


def test_public_weights_are_only_evaluated() -> None:
    assert composed(["experiment=pytorchvideo_r50_ava"]).mode == "test"
