"""Commands of classification on a small generated sample: they train on two processes, probe, test in several views."""

from pathlib import Path

import pytest

from core.checkpoint import load_task
from datamodules.samples.shanghaitech import generate
from tests.launch.command import column, train_py

pytestmark = pytest.mark.slow
TINY = ("model.image_size=[32,48]", "model.dim=48", "model.depth=2", "model.num_frames=8", "datamodule.num_workers=0")
SMALL = (*TINY, "datamodule.batch_size=2", "datamodule.repeat=1", "trainer.max_epochs=2", "trainer.log_every_n_steps=1")


def run(logs: Path, *arguments: str) -> str:
    """Run a command line on CPUs; return what it printed."""
    return train_py(logs, f"paths.data={logs}", f"datamodule.root={logs / 'small'}", *arguments)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for logs and data with a sample and a training of two processes."""
    folder = tmp_path_factory.mktemp("classify")
    generate(folder / "small", num_training=6, num_testing=6, seconds=6, size=(64, 96))
    run(folder, "task=classify", *SMALL, "trainer.devices=2", "run_id=two", "task.mixup=0.8", "task.layer_decay=0.75")
    return folder


def test_two_processes_train_and_measure(logs: Path) -> None:
    metrics = logs / "classify" / "two" / "metrics.csv"
    for name in ("acc", "balanced_acc", "sensitivity", "specificity", "auc"):
        assert len(column(metrics, f"val/{name}")) == 2
        assert all(0 <= value <= 1 for value in column(metrics, f"val/{name}"))
    assert column(metrics, "train/loss") and column(metrics, "val/loss")
    assert load_task(logs / "classify" / "two" / "checkpoints" / "best.ckpt").classes == ("normal", "anomalous")


def test_any_number_of_processes_measures_the_same_in_several_views(logs: Path) -> None:
    checkpoint = logs / "classify" / "two" / "checkpoints" / "best.ckpt"
    views = ("datamodule.crop=random_resized", "datamodule.test_clips=2", "datamodule.test_crops=3")
    found = []
    for devices in (1, 2):
        line = ("task=classify", *TINY, *views, "datamodule.batch_size=1", "mode=test", f"ckpt_path={checkpoint}")
        run(logs, *line, f"trainer.devices={devices}", f"run_id=test{devices}")
        metrics = logs / "classify" / f"test{devices}" / "metrics.csv"
        found.append({name: column(metrics, f"test/{name}") for name in ("loss", "acc", "auc", "sensitivity")})
    assert found[0] == {name: pytest.approx(values, rel=1e-5) for name, values in found[1].items()}
    assert all(len(values) == 1 for values in found[0].values())


def test_a_linear_probe_of_a_checkpoint_says_what_is_new(logs: Path) -> None:
    checkpoint = logs / "classify" / "two" / "checkpoints" / "best.ckpt"
    other = ("datamodule.classes_by=kind", "model.num_classes=11", f"model.pretrained={checkpoint}")
    said = run(logs, "experiment=linear_probe", *SMALL, *other, "trainer.devices=1", "run_id=probe")
    assert "head" in said
    trained, before = (load_task(path).model.state_dict() for path in (
        logs / "linear_probe" / "probe" / "checkpoints" / "best.ckpt", checkpoint))  # fmt: skip
    assert trained["head.weight"].shape[0] == 11
    assert all(trained[name].equal(tensor) for name, tensor in before.items() if not name.startswith("head."))


def test_few_labels_from_a_checkpoint_and_from_scratch_are_a_sweep_over_seeds(logs: Path) -> None:
    checkpoint = logs / "classify" / "two" / "checkpoints" / "best.ckpt"
    few = ("datamodule.labels_per_class=2", "seed=0,1", f"model.pretrained=null,{checkpoint}", "trainer.devices=1")
    run(logs, "-m", "experiment=finetune_few_labels", *SMALL, "trainer.max_epochs=1", *few)
    [sweep] = (logs / "sweeps").iterdir()
    jobs = sorted(path.parent for path in sweep.glob("*/metrics.csv"))
    assert len(jobs) == 4
    assert all(len(column(job / "metrics.csv", "val/acc")) == 1 for job in jobs)
