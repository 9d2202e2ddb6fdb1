"""Masked pretraining: what is minimised, what is measured, what is shown."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from core.schedules import warmup_cosine
from models.focusmae import FocusMAE
from models.masked_autoencoder import MaskedAutoencoder
from models.reconstruction import patchify
from tasks.focusmae import MaskedPretraining

SIZES: dict[str, Any] = {
    "num_frames": 4,
    "image_size": 32,
    "patch_size": 8,
    "dim": 24,
    "depth": 2,
    "num_heads": 2,
    "decoder_dim": 16,
    "decoder_depth": 1,
    "decoder_num_heads": 2,
}
MODELS = {
    "videomae": partial(MaskedAutoencoder, **SIZES, mask_ratio=0.75),
    "videomae_v2": partial(MaskedAutoencoder, **SIZES, mask_ratio=0.75, decoder_mask="running_cell"),
    "focusmae": partial(FocusMAE, **SIZES, sampler_num_heads=2, mask_ratio=0.75),
}
EPOCHS = 300
MEAN, STD = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.25, 0.3])


def make_model(kind: str) -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MODELS[kind]()


def clips(count: int, flat_half: bool = False) -> list[dict]:
    """Clips of smooth moving waves; with ``flat_half`` the left half shows one grey level."""
    made = []
    t, y, x = torch.meshgrid(torch.arange(4.0), torch.arange(32.0), torch.arange(32.0), indexing="ij")
    for index in range(count):
        wave = torch.stack([torch.sin(x / (2 + c) + y / 3 + t + index) for c in range(3)]) / 2 + 0.5
        if flat_half:
            wave[..., :16] = 0.5
        made.append(
            {
                "video": (wave - MEAN.view(3, 1, 1, 1)) / STD.view(3, 1, 1, 1),
                "name": f"v{index}",
                "frames": torch.arange(4),
                "index": index,
                "boxes": torch.tensor([[[0.0, 0.0, 12.0, 12.0]]]).expand(4, 1, 4).clone(),
                "box_scores": torch.ones(4, 1),
                "box_count": torch.ones(4, dtype=torch.int64),
            }
        )
    return made


def collate(samples: list[dict]) -> dict:
    batch = torch.utils.data.default_collate(samples)
    return batch | {"mean": MEAN, "std": STD}


def loader(count: int, batch_size: int, **options: Any) -> DataLoader:
    return DataLoader(clips(count, **options), batch_size=batch_size, collate_fn=collate)


def make_trainer(folder: Path, **options: Any) -> Trainer:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    return Trainer(accelerator="cpu", devices=1, default_root_dir=folder, **quiet, **options)


def evaluate(task: MaskedPretraining, folder: Path, data: DataLoader) -> dict[str, float]:
    return make_trainer(folder).validate(task, data, verbose=False)[0]


@pytest.mark.parametrize("kind", MODELS)
def test_the_loss_is_the_mean_over_hidden_decoded_tokens(kind: str, tmp_path: Path) -> None:
    task = MaskedPretraining(make_model(kind)).eval()
    batch = collate(clips(3))
    with torch.no_grad():
        output = task.model(batch["video"], regions=task._regions(batch), noise=task._noise(batch, 0))
    pixels = batch["video"] * STD.view(1, 3, 1, 1, 1) + MEAN.view(1, 3, 1, 1, 1)
    errors = []
    for clip in range(3):
        cubes = patchify(pixels[clip : clip + 1], (2, 8, 8))[0].view(-1, 2 * 8 * 8, 3)
        for prediction, token in zip(output["prediction"][clip], output["index"][clip].tolist(), strict=True):
            if output["hidden"][clip, token]:
                cube = cubes[token]
                target = (cube - cube.mean(0)) / (cube.std(0) + 1e-6)
                errors.append((prediction.view(-1, 3) - target).square().mean())
    found = evaluate(task, tmp_path, loader(3, 3))
    assert found["val/loss"] == pytest.approx(float(torch.stack(errors).mean()), rel=1e-5)


def test_raw_pixels_are_predicted_on_request(tmp_path: Path) -> None:
    task = MaskedPretraining(make_model("videomae"), normalise_targets=False)
    nn.init.zeros_(task.model.decoder.head.weight)
    batch = collate(clips(2))
    hidden = task.model(batch["video"], noise=task._noise(batch, 0))["hidden"]
    pixels = batch["video"] * STD.view(1, 3, 1, 1, 1) + MEAN.view(1, 3, 1, 1, 1)
    expected = patchify(pixels, (2, 8, 8))[hidden].square().mean()
    assert evaluate(task, tmp_path, loader(2, 2))["val/loss"] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_evaluation_does_not_depend_on_the_batch_size(kind: str, tmp_path: Path) -> None:
    task = MaskedPretraining(make_model(kind), flat_threshold=0.05)
    once, thrice = (evaluate(task, tmp_path, loader(5, size, flat_half=True)) for size in (5, 2))
    assert once.keys() == thrice.keys()
    assert once == pytest.approx(thrice, rel=1e-5)


def test_predicting_zeros_costs_the_unbiased_unit_variance(tmp_path: Path) -> None:
    values = 2 * 8 * 8
    found = evaluate(MaskedPretraining(make_model("videomae")), tmp_path, loader(3, 3))
    assert found["val/loss_zeros"] == pytest.approx((values - 1) / values, rel=1e-4)


def test_flat_cubes_do_not_count_when_a_threshold_is_set(tmp_path: Path) -> None:
    data = loader(4, 4, flat_half=True)
    with_flat, without = (
        evaluate(MaskedPretraining(make_model("videomae"), flat_threshold=threshold), tmp_path, data)
        for threshold in (0.0, 0.05)
    )
    values = 2 * 8 * 8
    assert without["val/loss_zeros"] == pytest.approx((values - 1) / values, rel=1e-4)
    assert with_flat["val/loss_zeros"] < 0.75 * without["val/loss_zeros"]


def test_the_fraction_of_hidden_regions_follows_the_focus(tmp_path: Path) -> None:
    found = {}
    for focus in ("mask", "visible"):
        torch.manual_seed(0)
        model = FocusMAE(**SIZES, sampler_num_heads=2, mask_ratio=0.5, focus=focus, delta=4.0)
        found[focus] = evaluate(MaskedPretraining(model), tmp_path, loader(16, 8))
    assert found["mask"]["val/roi_masked_fraction"] > 0.9
    assert found["visible"]["val/roi_visible_fraction"] > 0.9
    total = found["mask"]["val/roi_masked_fraction"] + found["mask"]["val/roi_visible_fraction"]
    assert total == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("kind", MODELS)
def test_every_parameter_learns(kind: str) -> None:
    task = MaskedPretraining(make_model(kind))
    task.training_step(collate(clips(2)), 0).backward()
    silent = [name for name, parameter in task.named_parameters() if parameter.grad is None]
    assert silent == []


def test_masks_of_training_change_with_the_epoch_and_those_of_evaluation_do_not() -> None:
    task = MaskedPretraining(make_model("videomae"))
    batch = collate(clips(2))
    assert not torch.equal(task._noise(batch, 1), task._noise(batch, 2))
    assert torch.equal(task._noise(batch, 0), task._noise(batch, 0))


@pytest.mark.parametrize("kind", MODELS)
def test_panels_show_the_visible_tokens_as_they_are_and_paint_all_others(kind: str) -> None:
    task = MaskedPretraining(make_model(kind)).eval()
    batch = collate(clips(2))
    rows = task.panels(batch)
    pixels = (batch["video"] * STD.view(1, 3, 1, 1, 1) + MEAN.view(1, 3, 1, 1, 1)).clamp(0, 1)
    assert all(row.shape == pixels.shape and row.min() >= 0 and row.max() <= 1 for row in rows.values())
    assert torch.allclose(rows["original"], pixels)
    seen = patchify(rows["seen by the encoder"], (2, 8, 8))
    visible = (seen - patchify(pixels, (2, 8, 8))).abs().amax(-1) < 1e-6
    assert visible.float().mean() == pytest.approx(0.25, abs=1e-6)
    assert (seen[~visible] == 0.5).all()
    painted = patchify(rows["reconstruction"], (2, 8, 8))
    assert torch.allclose(painted[visible], patchify(pixels, (2, 8, 8))[visible], atol=1e-6)
    assert not (painted[~visible] == 0.5).all(-1).any()
    assert ("region prior" in rows) == (kind == "focusmae")


def test_training_follows_the_schedule_and_reduces_the_loss(tmp_path: Path) -> None:
    rates: list[float] = []

    class Watched(MaskedPretraining):
        def on_train_batch_end(self, *_: object) -> None:
            rates.append(self.optimizers().param_groups[0]["lr"])

    torch.manual_seed(0)
    task = Watched(
        MaskedAutoencoder(**SIZES, mask="random", mask_ratio=0.5),
        optimizer=partial(torch.optim.AdamW, lr=1e-2),
        scheduler=partial(warmup_cosine, warmup_epochs=2),
    )
    before = evaluate(task, tmp_path, loader(8, 8))["val/loss"]
    make_trainer(tmp_path, max_epochs=EPOCHS).fit(task, loader(8, 4))
    after = evaluate(task, tmp_path, loader(8, 8))["val/loss"]
    assert after < 0.8 * before
    assert max(rates) == pytest.approx(1e-2) and rates.index(max(rates)) in (2, 3)
    assert rates[-1] < 1e-4


def test_prediction_gives_the_mean_token_of_each_whole_clip(tmp_path: Path) -> None:
    task = MaskedPretraining(make_model("focusmae")).eval()
    found = make_trainer(tmp_path).predict(task, loader(3, 2))
    assert [name for batch in found for name in batch["name"]] == ["v0", "v1", "v2"]
    with torch.no_grad():
        expected = task.model.encoder.forward_tokens(collate(clips(3))["video"]).mean(1)
    assert torch.allclose(torch.cat([batch["features"] for batch in found]), expected, atol=1e-6)


def test_a_task_without_an_optimizer_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no optimizer was given"):
        make_trainer(tmp_path, max_epochs=1).fit(MaskedPretraining(make_model("videomae")), loader(2, 2))


def test_hyperparameters_are_scalars() -> None:
    task = MaskedPretraining(make_model("videomae"), optimizer=partial(torch.optim.AdamW, lr=1e-3))
    assert all(isinstance(value, (bool, int, float, str)) for value in task.hparams.values())
    assert not any(isinstance(value, Tensor) for value in task.hparams.values())
