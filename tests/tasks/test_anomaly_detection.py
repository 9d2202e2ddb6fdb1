"""Anomaly detection on features: what is minimised, how scores become numbers, what is refused."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer, seed_everything
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from metrics.alignment import frame_scores, row_spans
from metrics.ranking import roc_auc
from models.anomaly_detector import AnomalyDetector
from models.anomaly_losses import row_errors
from models.mil import MIL
from models.rtfm import RTFM
from tasks.anomaly_detection import AnomalyDetection, centred_mean

DIM = 4
MODELS = {"mil": partial(MIL, dim=DIM, hidden=64, dropout=0.3), "rtfm": partial(RTFM, dim=DIM, dropout=0.3)}


class FirstChannel(AnomalyDetector):
    """Takes the first channel of the first view for the logit."""

    def __init__(self) -> None:
        super().__init__(DIM)
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, features: Tensor, mask: Tensor) -> dict[str, Tensor]:
        return {"logits": self.scale * features[:, 0, :, 0]}

    def errors(self, output: dict[str, Tensor], label: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return row_errors(output["logits"], label), mask

    def loss(self, output: dict[str, Tensor], label: Tensor, mask: Tensor) -> dict[str, Tensor]:
        return {"first": output["logits"].sum(), "second": 2 * output["logits"].abs().sum()}


def videos(count: int, seed: int = 0) -> list[dict]:
    """Every other video holds an anomaly of two rows, whose first channel is shifted; 16 frames a row, one view."""
    generator, made = torch.Generator().manual_seed(seed), []
    for index in range(count):
        num_frames = int(torch.randint(40, 200, (1,), generator=generator))
        rows, label = -(-num_frames // 16), torch.zeros(num_frames, dtype=torch.uint8)
        features = torch.randn(1, rows, DIM, generator=generator)
        if index % 2:
            first = int(torch.randint(rows - 1, (1,), generator=generator))
            features[:, first : first + 2, 0] += 5 * (index % 4 - 2)  # up or down, so that no random weights will do
            label[16 * first : 16 * (first + 2)] = 1
        made.append(
            {
                "features": features,
                "label": index % 2,
                "name": f"{index:02}_{index:03}",
                "index": index,
                "spans": row_spans(rows, num_frames),
                "num_frames": num_frames,
                "frame_label": label,
                "scene": index % 3,
            }
        )
    return made


def collate(samples: list[dict]) -> dict:
    length = torch.tensor([sample["features"].shape[1] for sample in samples])
    numbers = {key: torch.tensor([one[key] for one in samples]) for key in ("label", "index", "num_frames", "scene")}
    padded = {key: pad_sequence([one[key] for one in samples], batch_first=True) for key in ("spans", "frame_label")}
    features = pad_sequence([one["features"].transpose(0, 1) for one in samples], batch_first=True).transpose(1, 2)
    mask = torch.arange(features.shape[2]) < length.unsqueeze(1)
    return numbers | padded | {"features": features, "mask": mask, "name": [sample["name"] for sample in samples]}


def loader(samples: list[dict], batch_size: int = 4) -> DataLoader:
    return DataLoader(samples, batch_size=batch_size, collate_fn=collate)


def make_trainer(folder: Path, **options: Any) -> Trainer:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    return Trainer(accelerator="cpu", devices=1, default_root_dir=folder, num_sanity_val_steps=0, **quiet, **options)


def evaluate(task: AnomalyDetection, folder: Path, data: DataLoader, stage: str = "validate") -> dict[str, float]:
    return getattr(make_trainer(folder), stage)(task, data, verbose=False)[0]


@pytest.mark.parametrize(("stage", "prefix"), [("validate", "val"), ("test", "test")])
def test_every_frame_has_the_score_of_its_row_and_every_number_its_name(
    stage: str, prefix: str, tmp_path: Path
) -> None:
    samples, task = videos(7), AnomalyDetection(FirstChannel(), smoothing=1)
    found = evaluate(task, tmp_path, loader(samples), stage)
    scores, labels = [], []
    for sample in samples:
        row = torch.arange(sample["num_frames"]) // 16
        scores.append(sample["features"][0, :, 0].sigmoid().double()[row])
        labels.append(sample["frame_label"].double())
    assert found[f"{prefix}/auc"] == pytest.approx(roc_auc(torch.cat(scores), torch.cat(labels)), rel=1e-6)
    names = {"loss", "auc", "ap", "auc_macro", "auc_anomalous", "auc_scene_00", "false_alarm_normal", "auc_video"}
    assert {f"{prefix}/{name}" for name in names} <= found.keys()
    curves = task.frame_anomaly[prefix].curves
    assert list(curves) == list(range(7))
    for index, (score, label) in curves.items():
        assert torch.equal(score, scores[index]) and torch.equal(label, labels[index])


@pytest.mark.parametrize("smoothing", [1, 3])
def test_a_prediction_is_the_scores_of_the_test_by_the_names_of_the_videos(smoothing: int, tmp_path: Path) -> None:
    samples, task = videos(7), AnomalyDetection(FirstChannel(), smoothing=smoothing)
    evaluate(task, tmp_path, loader(samples), "test")
    batches = make_trainer(tmp_path).predict(task, loader(samples))
    predicted = {name: scores for batch in batches for name, scores in batch.items()}
    assert list(predicted) == [sample["name"] for sample in samples]
    for (score, _), found in zip(task.frame_anomaly["test"].curves.values(), predicted.values(), strict=True):
        assert torch.equal(score, found)


def test_the_loss_of_an_evaluation_is_the_mean_error_of_what_counts(tmp_path: Path) -> None:
    samples = videos(5)
    errors = [row_errors(one["features"][:, :, 0], torch.tensor([one["label"]])).flatten() for one in samples]
    found = evaluate(AnomalyDetection(FirstChannel(), smoothing=1), tmp_path, loader(samples))
    assert found["val/loss"] == pytest.approx(torch.cat(errors).mean().item(), rel=1e-6)


@pytest.mark.parametrize("kind", MODELS)
def test_an_evaluation_does_not_depend_on_the_batch_size(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    task, samples = AnomalyDetection(MODELS[kind](), smoothing=3), videos(7)
    once, thrice = (evaluate(task, tmp_path, loader(samples, size)) for size in (7, 2))
    assert once == pytest.approx(thrice, rel=1e-4)


def test_rows_that_overlap_share_a_frame(tmp_path: Path) -> None:
    [sample] = videos(1)
    first = torch.arange(10) * 4
    sample["spans"] = torch.stack([first, first + 15], 1)
    sample |= {"features": torch.randn(1, 10, DIM), "num_frames": 52, "frame_label": torch.zeros(52)}
    task = AnomalyDetection(FirstChannel(), smoothing=1)
    evaluate(task, tmp_path, loader([sample]))
    expected = frame_scores(sample["features"][0, :, 0].sigmoid(), 52, sample["spans"])
    assert torch.equal(task.frame_anomaly["val"].curves[0][0], expected)


def test_scores_are_smoothed_over_rows_before_they_become_those_of_frames(tmp_path: Path) -> None:
    samples = videos(2)
    task = AnomalyDetection(FirstChannel(), smoothing=3)
    evaluate(task, tmp_path, loader(samples))
    for index, sample in enumerate(samples):
        rows = sample["features"][0, :, 0].sigmoid().double()
        smooth = torch.stack([rows[max(0, row - 1) : row + 2].mean() for row in range(len(rows))])
        expected = frame_scores(smooth, sample["num_frames"], sample["spans"])
        assert torch.allclose(task.frame_anomaly["val"].curves[index][0], expected, rtol=1e-12)


def test_a_window_of_one_row_changes_nothing_and_equal_scores_stay_equal() -> None:
    scores = torch.rand(9)
    assert torch.equal(centred_mean(scores, 1), scores)
    same = torch.full((9,), 0.1)
    assert torch.equal(centred_mean(same, 3), same.double())
    assert centred_mean(torch.rand(1), 5).shape == (1,)


@pytest.mark.parametrize("window", [0, 2, -1])
def test_a_window_has_a_row_in_its_middle(window: int) -> None:
    with pytest.raises(ValueError, match=f"smoothing: expected an odd number of rows, found {window}"):
        AnomalyDetection(FirstChannel(), smoothing=window)


def test_the_terms_of_the_model_are_summed_and_logged(tmp_path: Path) -> None:
    task = AnomalyDetection(FirstChannel(), optimizer=partial(torch.optim.SGD, lr=0.0))
    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(task, loader(videos(4)))
    logged = {name: value.item() for name, value in trainer.callback_metrics.items()}
    assert logged.keys() == {"train/loss", "train/loss_first", "train/loss_second"}
    assert logged["train/loss"] == pytest.approx(logged["train/loss_first"] + logged["train/loss_second"], rel=1e-5)


@pytest.mark.parametrize(("label", "lacking"), [(0, "with an"), (1, "without an")])
def test_training_without_videos_of_both_kinds_is_refused(label: int, lacking: str, tmp_path: Path) -> None:
    samples = [sample | {"label": label} for sample in videos(4)]
    task = AnomalyDetection(FirstChannel(), optimizer=partial(torch.optim.SGD, lr=0.1))
    with pytest.raises(ValueError, match=rf"holds no video {lacking} anomaly.*datamodule\.split=weak"):
        make_trainer(tmp_path, max_epochs=1).fit(task, loader(samples))


def test_an_evaluation_of_frames_of_one_kind_says_why_there_is_no_curve(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tasks.anomaly_detection"):
        found = evaluate(AnomalyDetection(FirstChannel(), smoothing=1), tmp_path, loader(videos(1)))
    assert "val/auc" not in found and "val/false_alarm" in found
    assert "no val/auc" in caplog.text


def test_a_task_without_an_optimizer_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="AnomalyDetection: no optimizer was given"):
        make_trainer(tmp_path, max_epochs=1).fit(AnomalyDetection(FirstChannel(), smoothing=1), loader(videos(4)))


def test_hyperparameters_are_scalars() -> None:
    task = AnomalyDetection(FirstChannel(), optimizer=partial(torch.optim.Adam, lr=1e-3))
    assert dict(task.hparams) == {"smoothing": 3}


def trained(kind: str, seed: int, folder: Path, swapped: bool = False) -> tuple[AnomalyDetection, float]:
    """A task after 90 steps on videos of their own, and its area under the curve on others."""
    seed_everything(seed, verbose=False)
    samples = [sample | {"label": sample["label"] ^ swapped} for sample in videos(48)]
    task = AnomalyDetection(MODELS[kind](), optimizer=partial(torch.optim.Adam, lr=1e-2))
    make_trainer(folder, max_epochs=30).fit(task, loader(samples, 16))
    return task, evaluate(task, folder, loader(videos(20, seed=1)), "test")["test/auc"]


@pytest.mark.parametrize("kind", MODELS)
def test_labels_of_videos_are_enough_to_find_the_anomalous_frames(kind: str, tmp_path: Path) -> None:
    (_, found), (_, misled) = (trained(kind, 0, tmp_path, swapped) for swapped in (False, True))
    assert found > 0.9
    assert misled < 0.5


@pytest.mark.parametrize("kind", MODELS)
def test_the_same_seed_gives_the_same_weights_and_numbers(kind: str, tmp_path: Path) -> None:
    (first, once), (second, twice), (_, other) = (trained(kind, seed, tmp_path) for seed in (0, 0, 1))
    assert once == twice != other
    weights = second.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in first.state_dict().items())
