"""Recipes of fine-tuning compose, build, and amount to the batches and learning rates that their sources say."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from core.build import build
from core.command_line.overrides import composed
from core.optim import scale_to_batch
from datamodules.labelled_listing import Labelled
from datamodules.listing import Listed
from tasks.parameter_groups import parameter_groups, scale_learning_rates
from tests.core.recipes import part


@dataclass(frozen=True)
class Recipe:
    """What a recipe amounts to on the hardware of its authors.

    Attributes:
        gpus: Number of GPUs.
        batch: Videos per step.
        clips: Clips per step.
        peak: Learning rate of the head after the warm-up.
        stem: That of the patch embedding, 13 steps of layer decay below it.
        final: What the head's rate approaches.
        warmup, epochs: Epochs of warm-up, and in all.
        classes: Outputs of the model.
        views: Clips and crops of a test video.
    """

    gpus: int
    batch: int
    clips: int
    peak: float
    stem: float
    final: float
    warmup: int
    epochs: int
    classes: int
    views: tuple[int, int]


PUBLISHED = {
    "videomae_k400_finetune": Recipe(64, 384, 768, 7.5e-4, 7.5e-4 * 0.75**13, 1.5e-6, 5, 75, 400, (5, 3)),
    "videomae_ssv2_finetune": Recipe(64, 384, 768, 7.5e-4, 7.5e-4 * 0.75**13, 1.5e-6, 5, 30, 174, (2, 3)),
    "videomae_v2_k400_finetune": Recipe(32, 512, 1024, 1.4e-3, 1.4e-3 * 0.75**13, 2e-6, 5, 90, 400, (5, 3)),
    "videomae_v2_ssv2_finetune": Recipe(16, 256, 512, 2e-3, 2e-3 * 0.65**13, 1e-6, 5, 25, 174, (2, 3)),
    "focusmae_gbc": Recipe(1, 4, 8, 1.5625e-5, 1.5625e-5 * 0.75**13, 1.5625e-12, 10, 59, 2, (5, 3)),
}
OWN = ("linear_probe", "finetune_few_labels")
RECIPES = (*PUBLISHED, *OWN)


@pytest.mark.parametrize("name", PUBLISHED)
def test_batches_and_learning_rates_are_those_of_the_source(name: str) -> None:
    cfg, recipe = composed([f"experiment={name}"]), PUBLISHED[name]
    batch = cfg.datamodule.batch_size * recipe.gpus * cfg.trainer.accumulate_grad_batches
    assert (cfg.name, batch, batch * cfg.datamodule.clips_per_video) == (name, recipe.batch, recipe.clips)
    assert (cfg.scheduler.warmup_epochs, cfg.trainer.max_epochs) == (recipe.warmup, recipe.epochs)
    with torch.device("meta"):
        model = build(part(cfg, "model", "pretrained"), "model")
    optim, scheduler, _ = scale_to_batch(part(cfg, "optim"), part(cfg, "scheduler"), batch)
    optimizer = build(optim, "optim")(parameter_groups(model, cfg.task.layer_decay))
    scale_learning_rates(optimizer)
    rates = {id(one): group["lr"] for group in optimizer.param_groups for one in group["params"]}
    assert rates[id(model.head.weight)] == pytest.approx(recipe.peak, rel=1e-12)
    assert rates[id(model.patch_embed.proj.weight)] == pytest.approx(recipe.stem, rel=1e-12)
    assert scheduler["min_lr"] == pytest.approx(recipe.final, rel=1e-12)
    assert (*optimizer.defaults["betas"], optimizer.defaults["eps"]) == (0.9, 0.999, 1e-8)
    plain = {group["weight_decay"] for group in optimizer.param_groups for one in group["params"] if one.ndim == 1}
    matrices = {group["weight_decay"] for group in optimizer.param_groups for one in group["params"] if one.ndim > 1}
    assert (plain, matrices) == ({0.0}, {0.05})


@pytest.mark.parametrize("name", RECIPES)
def test_model_task_and_data_build_and_agree(name: str) -> None:
    cfg = composed([f"experiment={name}", "model.pretrained=null"])
    with torch.device("meta"):
        model = build(part(cfg, "model", "pretrained"), "model")
    task, datamodule = build(part(cfg, "task"), "task", model=model), build(part(cfg, "datamodule"), "datamodule")
    assert set(task.needs) <= set(datamodule.provides)
    assert model.head.out_features == task.hparams.num_classes == datamodule.hparams.num_classes
    assert datamodule.hparams.num_frames == model.num_frames == 16
    if name in PUBLISHED:
        assert model.head.out_features == PUBLISHED[name].classes
        assert (datamodule.hparams.test_clips, datamodule.hparams.test_crops) == PUBLISHED[name].views
        assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(86.2, abs=0.4)


@pytest.mark.parametrize("name", PUBLISHED)
def test_test_crops_are_different_places_of_a_frame_and_training_crops_are_of_the_stored_one(name: str) -> None:
    datamodule = build(part(composed([f"experiment={name}"]), "datamodule"), "datamodule")
    datamodule.parts = {"test": [Labelled(Listed("video", Path("video.mp4")), "0")]}  # how it would be seen, unread
    transforms = datamodule.tested([]).transforms
    shown = [transform.views(360, 480, torch.Generator())[-1] for transform in transforms]
    assert [view.left for view in shown] == [0, 60, 120]  # a square of the short side, at both ends and between
    assert all((view.height, view.width, view.size) == (360, 360, (224, 224)) for view in shown)
    assert (datamodule.hparams.resize, datamodule.hparams.crop) == ("none", "random_resized")


@pytest.mark.parametrize("name", PUBLISHED)
def test_only_something_something_is_not_mirrored_and_not_dense(name: str) -> None:
    options, is_ssv2 = composed([f"experiment={name}"]).datamodule, "ssv2" in name
    assert (options.flip, options.moments) == ((0.0, "segments") if is_ssv2 else (0.5, "dense"))


def test_a_probe_trains_the_head_alone_and_few_labels_are_compared_over_seeds() -> None:
    probe, few = (composed([f"experiment={name}"]) for name in OWN)
    assert probe.task.train == "head"
    assert few.datamodule.labels_per_class == 8 and few.task.train == "all"
