"""What an evaluation of an anomaly detector leaves behind: true numbers, where they come from, pictures."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from callbacks.anomaly_pictures import Curve, area, draw_roc, draw_scores, roc, spans
from callbacks.anomaly_report import AnomalyReport
from core.checkpoint.plugin import CheckpointFiles, ConfigInCheckpoint
from metrics.frame_anomaly import FrameAnomaly
from metrics.ranking import roc_auc
from tasks.evaluation import ExactEvaluation
from tests.files import names_in

PROTOCOL = "toy split, selected on held-out training videos"


class Films(Dataset):
    """Videos with their scores: the normal ones first, so that the report has to put them last."""

    def __init__(self, normal: int = 2, anomalous: int = 3, prefix: str = "01") -> None:
        self.names = [f"{prefix}_{k:03}" for k in range(normal)] + [f"{prefix}_{k:04}" for k in range(anomalous)]
        noise = torch.Generator().manual_seed(0)
        self.labels = [torch.zeros(40 + k) for k in range(normal + anomalous)]
        for label in self.labels[normal:]:
            label[10:25] = 1
        self.scores = [(torch.rand(len(one), generator=noise) + one) / 2 for one in self.labels]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict:
        return {"index": torch.tensor([index]), "scores": self.scores[index], "labels": self.labels[index]}


class Campus(LightningDataModule):
    protocol = PROTOCOL

    def __init__(self, select_on_test: bool = False, **films: int) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.data = Films(**films)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.data, batch_size=None)

    val_dataloader = test_dataloader = train_dataloader


class Critic(ExactEvaluation):
    """Takes its scores from the data."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.frame_anomaly = nn.ModuleDict({"val": FrameAnomaly(), "test": FrameAnomaly()})

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        return self.weight * batch["scores"].mean()

    def on_validation_epoch_end(self) -> None:
        self._log("val")

    def on_test_epoch_end(self) -> None:
        self._log("test")

    def _log(self, stage: str) -> None:
        found = self.frame_anomaly[stage].compute()
        self.log_dict({f"{stage}/{name}": found[name] for name in ("auc", "false_alarm") if name in found})

    def evaluate(self, stage: str, batch: dict) -> None:
        counts = torch.tensor([len(batch["scores"])])
        self.frame_anomaly[stage].update(batch["index"], counts, batch["scores"], batch["labels"], torch.tensor([1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder: Path, logger: object = False, select_on_test: bool = False, **options: object) -> Trainer:
    config = {"monitor": {"metric": "val/auc", "mode": "max"}, "datamodule": {"select_on_test": select_on_test}}
    best = ModelCheckpoint(folder / "checkpoints", "best", monitor="val/auc", mode="max")
    callbacks = [AnomalyReport(str(folder), **options), best, ConfigInCheckpoint(config)]
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "plugins": [CheckpointFiles()]}
    return Trainer(max_epochs=1, accelerator="cpu", devices=1, logger=logger, callbacks=callbacks, **quiet)


def results(folder: Path, suffix: str = "") -> dict:
    return json.loads((folder / f"results{suffix}.json").read_text())


def test_a_test_leaves_results_scores_and_pictures(tmp_path: Path) -> None:
    trainer(tmp_path).test(Critic(), datamodule=Campus(), verbose=False)
    assert names_in(tmp_path) == ["pictures/test_roc.png", "pictures/test_scores.png", "results.json", "scores.npz"]
    data = Films()
    found = results(tmp_path)
    auc = roc_auc(torch.cat(data.scores).double(), torch.cat(data.labels))
    assert found["metrics"] == {"test/auc": pytest.approx(auc, abs=1e-6), "test/false_alarm": 0.0}
    assert found["protocol"] == PROTOCOL and found["checkpoint"] is None
    assert found["videos"] == {"evaluated": 5, "of": 5, "anomalous": 3}
    assert found["frames"] == {"evaluated": sum(map(len, data.labels)), "anomalous": 45}


def test_the_scores_of_every_frame_are_kept_by_name(tmp_path: Path) -> None:
    trainer(tmp_path).test(Critic(), datamodule=Campus(), verbose=False)
    data = Films()
    with np.load(tmp_path / "scores.npz", allow_pickle=False) as kept:
        assert sorted(kept) == sorted(f"{kind}/{name}" for kind in ("scores", "labels") for name in data.names)
        for name, scores, labels in zip(data.names, data.scores, data.labels, strict=True):
            assert np.array_equal(kept[f"scores/{name}"], scores.numpy())
            assert np.array_equal(kept[f"labels/{name}"], labels.numpy())


def test_a_validation_writes_beside_what_a_test_wrote_and_a_training_writes_nothing(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.fit(Critic(), datamodule=Campus())
    assert names_in(tmp_path) == ["checkpoints/best.ckpt", "checkpoints/best.ckpt.sha256"]
    run.validate(Critic(), datamodule=Campus(), verbose=False)
    assert (tmp_path / "scores_validate.npz").exists() and not (tmp_path / "results.json").exists()
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        "validate_roc.png",
        "validate_scores.png",
    ]
    assert list(results(tmp_path, "_validate")["metrics"]) == ["val/auc", "val/false_alarm"]


@pytest.mark.parametrize("on_test", [False, True])
def test_how_the_best_checkpoint_was_selected_is_told_also_by_a_later_process(on_test: bool, tmp_path: Path) -> None:
    trainer(tmp_path, select_on_test=on_test).fit(Critic(), datamodule=Campus(on_test))
    best = tmp_path / "checkpoints" / "best.ckpt"
    later = trainer(tmp_path, select_on_test=not on_test)  # what the file says of its training counts
    later.test(Critic(), datamodule=Campus(not on_test), ckpt_path=best, verbose=False)
    found = results(tmp_path)["checkpoint"]
    assert found == {
        "path": str(best),
        "epoch": 0,
        "step": 5,
        "selected_by": "highest val/auc",
        "value": pytest.approx(results(tmp_path)["metrics"]["test/auc"]),
        "selected_on_test": on_test,
    }


def test_a_checkpoint_that_is_not_the_best_was_selected_by_nothing(tmp_path: Path) -> None:
    trainer(tmp_path, select_on_test=True).fit(Critic(), datamodule=Campus(True))
    last = tmp_path / "checkpoints" / "last.ckpt"
    (tmp_path / "checkpoints" / "best.ckpt").rename(last)
    (tmp_path / "checkpoints" / "best.ckpt.sha256").unlink()
    trainer(tmp_path).test(Critic(), datamodule=Campus(), ckpt_path=last, verbose=False)
    found = results(tmp_path)["checkpoint"]
    assert (found["selected_by"], found["value"], found["selected_on_test"]) == (None, None, False)


def test_many_videos_take_several_pages_and_those_of_an_earlier_test_are_gone(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    trainer(tmp_path, videos_per_page=2).test(Critic(), datamodule=Campus(), verbose=False)
    pages = ["test_roc.png", "test_scores.png", "test_scores_2.png", "test_scores_3.png"]
    assert sorted(path.name for path in pictures.iterdir()) == pages
    trainer(tmp_path, videos_per_page=3).test(Critic(), datamodule=Campus(), verbose=False)
    assert sorted(path.name for path in pictures.iterdir()) == pages[:3]


def test_videos_with_an_anomaly_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr("callbacks.anomaly_report.draw_scores", lambda page, *_: drawn.append(page) or _png())
    trainer(tmp_path, videos_per_page=3).test(Critic(), datamodule=Campus(), verbose=False)
    assert [[curve.name for curve in page] for page in drawn] == [
        ["01_0000", "01_0001", "01_0002"],
        ["01_000", "01_001"],
    ]


def _png() -> bytes:
    return draw_scores([Curve("a", np.zeros(3), np.zeros(3))])


def test_frames_of_one_kind_have_no_roc_and_everything_else(tmp_path: Path) -> None:
    trainer(tmp_path).test(Critic(), datamodule=Campus(anomalous=0), verbose=False)
    assert names_in(tmp_path) == ["pictures/test_scores.png", "results.json", "scores.npz"]
    assert list(results(tmp_path)["metrics"]) == ["test/false_alarm"]


def test_pictures_go_to_loggers_that_take_them(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path / "board", name=None, version="")
    trainer(tmp_path, logger).test(Critic(), datamodule=Campus(), verbose=False)
    board = EventAccumulator(str(tmp_path / "board"))
    board.Reload()
    assert sorted(board.Tags()["images"]) == ["test/roc", "test/scores"]


def test_a_task_without_such_a_metric_is_named(tmp_path: Path) -> None:
    class Mute(LightningModule):
        def test_step(self, batch: dict, batch_idx: int) -> None: ...

    with pytest.raises(ValueError, match=r"callbacks\.anomaly_report: Mute has no 'frame_anomaly'"):
        trainer(tmp_path).test(Mute(), datamodule=Campus(), verbose=False)
    with pytest.raises(ValueError, match="videos_per_page: expected at least 1, found 0"):
        AnomalyReport(str(tmp_path), videos_per_page=0)


def test_the_drawn_curve_is_that_of_the_metric_with_ties_as_one_point() -> None:
    noise = np.random.default_rng(0)
    for levels in (2, 5, 1000):
        scores = noise.integers(0, levels, 500) / levels
        labels = noise.integers(0, 2, 500)
        false_positive, true_positive = roc(scores, labels)
        assert len(false_positive) == len(np.unique(scores)) + 1
        assert (false_positive[0], true_positive[0], false_positive[-1], true_positive[-1]) == (0, 0, 1, 1)
        expected = roc_auc(torch.from_numpy(scores), torch.from_numpy(labels))
        assert area(false_positive, true_positive) == pytest.approx(expected, abs=1e-12)


def test_shaded_are_the_runs_of_anomalous_frames() -> None:
    assert spans(np.array([1, 1, 0, 0, 1, 0, 1])) == [(0, 2), (4, 5), (6, 7)]
    assert spans(np.zeros(4)) == [] and spans(np.ones(4)) == [(0, 4)]


def test_places_without_a_video_stay_empty() -> None:
    curves = [Curve(f"01_{k:04}", np.linspace(0, 1, 90), np.zeros(90)) for k in range(5)]
    page = np.asarray(Image.open(io.BytesIO(draw_scores(curves))).convert("L"))
    height, width = page.shape
    below, above = page[height * 6 // 10 : height * 9 // 10], page[height * 2 // 10 : height // 2]
    assert (below[:, width // 2 :] == 255).all() and not (above[:, width // 2 :] == 255).all()
    assert not (below[:, : width // 4] == 255).all()


def test_pictures_hold_the_curve_the_shades_and_every_panel() -> None:
    labels = np.repeat([0, 1, 0], 30)
    curves = [Curve(f"01_{k:04}", np.linspace(0, 1, 90), labels) for k in range(5)]
    page = np.asarray(Image.open(io.BytesIO(draw_scores(curves))).convert("RGB")).astype(int)
    shade = (np.abs(page - (0xF6, 0xC4, 0xBD)).max(-1) <= 1).sum()
    alone = np.asarray(Image.open(io.BytesIO(draw_scores([curves[0]._replace(labels=labels * 0)]))).convert("RGB"))
    assert shade > 0.1 * page[..., 0].size * (5 / 8) and not (np.abs(alone - (0xF6, 0xC4, 0xBD)).max(-1) <= 1).any()
    assert draw_roc([curves[0]._replace(labels=labels * 0)]) is None
    line = np.asarray(Image.open(io.BytesIO(draw_roc(curves))).convert("RGB")).astype(int)
    assert (np.abs(line - (0x1F, 0x4E, 0x79)).max(-1) <= 2).sum() > 500
