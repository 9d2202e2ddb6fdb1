"""A task's metrics know how many samples an evaluation has, and are computed of no other number."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from metrics.exact import EvaluationError
from metrics.weighted_mean import WeightedMean
from tasks.evaluation import ExactEvaluation


class Measured(ExactEvaluation):
    """Measures the mean of numbers; notes the batches it saw, and can fail at one."""

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__()
        self.mean, self.weight = WeightedMean(), torch.nn.Parameter(torch.zeros(()))
        self.fails_at, self.seen = fails_at, []

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        return self.weight * batch["value"].mean()

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        if batch_idx == self.fails_at:
            raise KeyboardInterrupt
        super().validation_step(batch, batch_idx)

    def evaluate(self, stage: str, batch: dict) -> None:
        self.seen += batch["index"].flatten().tolist()
        self.mean.update(batch["index"].flatten(), batch["value"].flatten(), torch.ones_like(batch["value"]).flatten())
        self.log(f"{stage}/mean", self.mean)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Pairs(Dataset[dict[str, Tensor]]):
    """Two clips per sample."""

    num_clips = 6

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        clips = 2 * index + torch.arange(2)
        return {"index": clips, "value": clips.double()}


def loader(length: int, batch_size: int = 2, **options: Any) -> DataLoader:
    samples = [{"index": index, "value": float(index)} for index in range(length)]
    return DataLoader(samples, batch_size=batch_size, **options)


def make_trainer(folder: Path, **options: Any) -> Trainer:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    plain = {"accelerator": "cpu", "devices": 1, "num_sanity_val_steps": 0, "max_epochs": 1}
    return Trainer(default_root_dir=folder, **plain | quiet | options)


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_all_samples_give_the_mean_of_all(stage: str, tmp_path: Path) -> None:
    [found] = getattr(make_trainer(tmp_path), stage)(Measured(), loader(5), verbose=False)
    assert found == {f"{stage.removesuffix('idate')}/mean": 2.0}


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_a_loader_that_leaves_samples_out_is_refused(stage: str, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="1 of 5 samples were not evaluated: 4;"):
        getattr(make_trainer(tmp_path), stage)(Measured(), loader(5, drop_last=True), verbose=False)


def test_a_loader_that_repeats_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="6 visits of 5 samples, twice or more: 0;"):
        make_trainer(tmp_path).validate(Measured(), loader(5, sampler=[0, 1, 2, 3, 4, 0]), verbose=False)


def test_a_data_set_says_when_its_samples_are_several_clips(tmp_path: Path) -> None:
    [found] = make_trainer(tmp_path).validate(Measured(), DataLoader(Pairs(), batch_size=2), verbose=False)
    assert found == {"val/mean": 2.5}


@pytest.mark.parametrize(
    "options", [{"limit_val_batches": 2}, {"limit_val_batches": 0.7}, {"fast_dev_run": 2}], ids=str
)
def test_an_evaluation_that_was_cut_short_is_one_of_a_part_and_says_so_once(
    options: dict, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task, trainer = Measured(), make_trainer(tmp_path, **options)
    with caplog.at_level(logging.INFO, "tasks.evaluation"):
        for _ in range(2):
            assert trainer.validate(task, loader(6), verbose=False) == [{"val/mean": 1.5}]
    said = [record.getMessage() for record in caplog.records if record.name == "tasks.evaluation"]
    assert said == ["val: 2 of 3 batches, metrics are those of a part of the split"]


def test_a_limit_that_is_not_reached_is_none(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="1 of 5 samples"):
        make_trainer(tmp_path, limit_val_batches=2).validate(Measured(), loader(5, drop_last=True), verbose=False)


def test_the_sanity_check_may_see_a_part_and_the_validation_after_it_starts_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task, trainer = Measured(), make_trainer(tmp_path, num_sanity_val_steps=1, max_epochs=2)
    with caplog.at_level(logging.INFO, "tasks.evaluation"):
        trainer.fit(task, loader(4), loader(5))
    assert task.seen == [0, 1] + 2 * [0, 1, 2, 3, 4]
    assert trainer.callback_metrics["val/mean"] == 2.0
    assert not [record for record in caplog.records if record.name == "tasks.evaluation"]


def test_a_validation_after_a_fit_expects_its_own_data(tmp_path: Path) -> None:
    task, trainer = Measured(), make_trainer(tmp_path)
    trainer.fit(task, loader(4), loader(5))
    assert trainer.validate(task, [loader(7)], verbose=False) == [{"val/mean": 3.0}]


def test_a_validation_that_was_interrupted_leaves_nothing_behind(tmp_path: Path) -> None:
    task = Measured(fails_at=1)
    with pytest.raises(SystemExit):
        make_trainer(tmp_path).validate(task, loader(5), verbose=False)
    task.fails_at = None
    assert make_trainer(tmp_path).validate(task, loader(5), verbose=False) == [{"val/mean": 2.0}]


def test_a_run_that_was_stopped_in_a_validation_repeats_it_whole(tmp_path: Path) -> None:
    class Saving(Measured):
        def validation_step(self, batch: dict, batch_idx: int) -> None:
            if batch_idx == self.fails_at:
                self.trainer.save_checkpoint(tmp_path / "stopped.ckpt")
            super().validation_step(batch, batch_idx)

    with pytest.raises(SystemExit):
        make_trainer(tmp_path).fit(Saving(fails_at=1), loader(4), loader(5))
    task, trainer = Measured(), make_trainer(tmp_path)
    trainer.fit(task, loader(4), loader(5), ckpt_path=tmp_path / "stopped.ckpt", weights_only=True)
    assert task.seen == [0, 1, 2, 3, 4]
    assert trainer.callback_metrics["val/mean"] == 2.0
