"""The CSV file of a run survives new metrics and being continued."""

import csv
from pathlib import Path

import torch

from core.metrics_file import MetricsFile


def rows(folder: Path, name: str = "metrics.csv") -> list[dict[str, str]]:
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_metrics_of_one_step_share_a_row_and_new_ones_get_a_column(tmp_path: Path) -> None:
    logger = MetricsFile(str(tmp_path))
    logger.log_metrics({"train/loss": torch.tensor(0.5), "epoch": 0}, step=1)
    logger.save()
    logger.log_metrics({"val/loss": 0.25, "epoch": 0}, step=1)
    logger.log_metrics({"train/loss": 0.4}, step=2)
    logger.save()
    assert [row["val/loss"] for row in rows(tmp_path)] == ["0.25"]
    logger.log_metrics({"perf/clips_per_s": 3.0}, step=3)
    logger.finalize("success")
    assert [row["step"] for row in rows(tmp_path)] == ["1", "2", "3"]
    assert [row["train/loss"] for row in rows(tmp_path)] == ["0.5", "0.4", ""]
    assert rows(tmp_path)[2]["perf/clips_per_s"] == "3.0"


def test_a_continued_run_keeps_the_earlier_rows(tmp_path: Path) -> None:
    for step, name in ((1, "a"), (2, "a"), (3, "b"), (4, "a")):
        logger = MetricsFile(str(tmp_path))
        logger.log_metrics({name: float(step)}, step=step)
        logger.finalize("success")
    assert [(row["step"], row["a"], row["b"]) for row in rows(tmp_path)] == [
        ("1", "1.0", ""),
        ("2", "2.0", ""),
        ("3", "", "3.0"),
        ("4", "4.0", ""),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.csv"]


def test_a_value_logged_twice_in_a_step_is_not_lost(tmp_path: Path) -> None:
    logger = MetricsFile(str(tmp_path))
    logger.log_metrics({"test/loss": 1.0}, step=0)
    logger.log_metrics({"test/loss": 2.0}, step=0)
    logger.finalize("success")
    assert [row["test/loss"] for row in rows(tmp_path)] == ["1.0", "2.0"]


def test_an_evaluation_in_the_folder_of_a_training_has_a_file_of_its_own(tmp_path: Path) -> None:
    for value, mode in ((1.0, "fit"), (2.0, "validate"), (3.0, "validate"), (4.0, "test")):
        logger = MetricsFile(str(tmp_path), mode)
        logger.log_metrics({"loss": value}, step=0)
        logger.finalize("success")
    names = ("metrics.csv", "metrics_validate.csv", "metrics_test.csv")
    assert [[row["loss"] for row in rows(tmp_path, name)] for name in names] == [["1.0"], ["2.0", "3.0"], ["4.0"]]
