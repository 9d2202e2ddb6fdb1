"""Commands of action detection on a small generated sample: they train on two processes, test, and show results."""

import json
from pathlib import Path

import pytest

from core.checkpoint import load_task
from datamodules.samples.ava import generate
from tests.launch.command import column, train_py

pytestmark = pytest.mark.slow
SMALL = ("datamodule.short_side=64", "model.num_frames=8", "datamodule.num_workers=0", "datamodule.batch_size=2")


def run(logs: Path, *arguments: str) -> str:
    """Run a command line of ``task=fbil`` on CPUs; return what it printed."""
    return train_py(logs, "task=fbil", f"paths.data={logs}", *arguments)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for logs and data with a sample and a training of two processes."""
    folder = tmp_path_factory.mktemp("fbil")
    root = generate(folder / "small", num_training=6, num_validation=3, seconds=6, size=(64, 96))
    short = ("trainer.devices=2", "trainer.max_epochs=2", "trainer.log_every_n_steps=1", "run_id=two")
    run(folder, f"datamodule.root={root}", *SMALL, *short)
    return folder


def test_two_processes_train_and_measure(logs: Path) -> None:
    metrics = logs / "fbil" / "two" / "metrics.csv"
    assert len(column(metrics, "val/map")) == 2 and all(0 < value < 1 for value in column(metrics, "val/map"))
    assert column(metrics, "train/loss") and column(metrics, "val/loss") and column(metrics, "perf/clips_per_s")


def test_any_number_of_processes_measures_the_same(logs: Path) -> None:
    checkpoint = logs / "fbil" / "two" / "checkpoints" / "best.ckpt"
    line = (f"datamodule.root={logs / 'small'}", *SMALL, "mode=test", f"ckpt_path={checkpoint}")
    for devices in (1, 2):
        run(logs, *line, f"trainer.devices={devices}", f"run_id=test{devices}")
    results = [json.loads((logs / "fbil" / f"test{devices}" / "results.json").read_text()) for devices in (1, 2)]
    numbers = [result["metrics"] for result in results]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-4)
    assert results[0]["checkpoint"]["selected_on_test"] and "the same videos" in results[0]["protocol"]
    detections = [(logs / "fbil" / f"test{devices}" / "detections.csv").read_text() for devices in (1, 2)]
    assert len(detections[0].splitlines()) == len(detections[1].splitlines()) > 0
    pictures = {path.name for path in (logs / "fbil" / "test1" / "pictures").iterdir()}
    assert {"test_precision.png", "test_confusion.png", "test_clips.png", "test_clip_1.mp4"} <= pictures


def test_several_views_are_fused_and_a_checkpoint_alone_gives_back_the_task(logs: Path) -> None:
    checkpoint = logs / "fbil" / "two" / "checkpoints" / "best.ckpt"
    views = ("datamodule.eval_flip=true", "datamodule.eval_short_sides=[48,64]", "callbacks=default")
    line = (f"datamodule.root={logs / 'small'}", *SMALL, *views, "mode=test", "trainer.devices=1")
    run(logs, *line, f"ckpt_path={checkpoint}", "run_id=views")
    assert 0 < column(logs / "fbil" / "views" / "metrics.csv", "test/map")[0] < 1
    assert load_task(checkpoint).model.head.num_classes == 9


def test_a_head_for_other_classes_is_new_and_that_is_said(logs: Path) -> None:
    checkpoint = logs / "fbil" / "two" / "checkpoints" / "best.ckpt"
    own = logs / "own"
    own.mkdir()
    for video in sorted((logs / "small" / "videos").iterdir())[:4]:
        (own / video.name).write_bytes(video.read_bytes())
    lines = ["video,time_s,x1,y1,x2,y2,class"]
    lines += [f"{video.name},{second},0.1,0.1,0.5,0.9,{'sit' if second % 2 else 'nod'}"
              for video in sorted(own.glob("*.avi")) for second in (2, 3)]  # fmt: skip
    (own / "boxes.csv").write_text("\n".join(lines) + "\n")
    line = ("datamodule=actions", f"datamodule.root={own}", *SMALL, "model.head.num_classes=2", "trainer.devices=1")
    said = run(logs, *line, f"model.pretrained={checkpoint}", "trainer.max_epochs=1", "run_id=own")
    assert "classifier" in said
