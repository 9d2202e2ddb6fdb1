"""Commands of active speaker detection on a small generated sample: they train, go on within an epoch, and measure."""

import json
from pathlib import Path

import pytest
import torch

from core.checkpoint import load_task
from datamodules.samples.ego4d import generate
from tests.launch.command import column, train_py

pytestmark = pytest.mark.slow
SMALL = ("model.widths=[4,4,8,8]", "model.audio_widths=[8,8,8,16]", "model.dim=16", "model.num_heads=2")
SMALL += ("model.face_size=32", "model.tcn_blocks=1", "model.head_width=8")
SHORT = ("datamodule.num_workers=0", "datamodule.budget=150", "datamodule.max_len=60", "trainer.max_epochs=2")


def run(logs: Path, *arguments: str) -> str:
    """Run a command line of ``task=talknet`` on CPUs; return what it printed."""
    fixed = ["task=talknet", f"paths.data={logs}", f"datamodule.root={logs / 'small'}", *SMALL, *SHORT]
    return train_py(logs, *fixed, *arguments)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for logs and data with a sample and a training of two processes, on tracks of unequal lengths."""
    folder = tmp_path_factory.mktemp("talknet")
    generate(folder / "small", num_training=4, num_validation=2, seconds=4, size=(120, 160))
    run(folder, "trainer.devices=2", "trainer.log_every_n_steps=1", "run_id=two")
    return folder


def last(logs: Path, run_id: str) -> dict:
    return torch.load(logs / "talknet" / run_id / "checkpoints" / "last.ckpt", weights_only=True)


def test_two_processes_train_and_measure(logs: Path) -> None:
    metrics = logs / "talknet" / "two" / "metrics.csv"
    for name in ("val/ap", "val/map50", "val/accuracy", "val/ap_audio", "val/ap_video"):
        assert len(column(metrics, name)) == 2 and all(0 < value <= 1 for value in column(metrics, name)), name
    assert column(metrics, "train/loss") and column(metrics, "val/loss") and column(metrics, "perf/clips_per_s")


def test_any_number_of_processes_measures_the_same(logs: Path) -> None:
    checkpoint = logs / "talknet" / "two" / "checkpoints" / "best.ckpt"
    for devices in (1, 2):
        run(logs, "mode=test", f"ckpt_path={checkpoint}", f"trainer.devices={devices}", f"run_id=test{devices}")
    folders = [logs / "talknet" / f"test{devices}" for devices in (1, 2)]
    results = [json.loads((folder / "results.json").read_text()) for folder in folders]
    assert results[0]["metrics"] == pytest.approx(results[1]["metrics"], rel=1e-4)
    assert results[0]["faces"] == results[1]["faces"] and "map_gt" in results[0]["evaluator"]
    scores = [(folder / "ava_scores.csv").read_text().splitlines() for folder in folders]
    assert len(scores[0]) == len(scores[1]) == results[0]["faces"]["measured"]
    pictures = {path.name for path in (folders[0] / "pictures").iterdir()}
    assert pictures == {"test_precision_recall.png", "test_tracks.png"}
    assert load_task(checkpoint).model.rope == "mrope"


def test_a_training_that_is_cut_within_an_epoch_ends_with_the_weights_of_an_uncut_one(logs: Path) -> None:
    one = ("trainer.devices=1", "callbacks=default")
    run(logs, *one, "run_id=whole")
    whole = last(logs, "whole")
    steps = whole["global_step"]
    assert steps >= 6 and steps % 2 == 0
    run(logs, *one, "run_id=cut", f"trainer.max_steps={steps // 2 + 1}")  # in the second epoch
    assert last(logs, "cut")["global_step"] == steps // 2 + 1
    run(logs, *one, "run_id=cut", "ckpt_path=last")
    cut = last(logs, "cut")
    assert cut["global_step"] == steps
    assert all(torch.equal(whole["state_dict"][name], cut["state_dict"][name]) for name in whole["state_dict"])


def test_windows_with_all_faces_are_evaluated_in_several_durations(logs: Path) -> None:
    checkpoint = logs / "talknet" / "two" / "checkpoints" / "best.ckpt"
    durations = ("task.durations=[1,2]", "task.duration_weights=[2,1]", "model.context=scene")
    run(logs, "mode=test", f"ckpt_path={checkpoint}", "datamodule.batching=windows", *durations, "run_id=scene")
    found, expected = (
        json.loads((logs / "talknet" / name / "results.json").read_text())["faces"] for name in ("scene", "test1")
    )
    assert found == expected
