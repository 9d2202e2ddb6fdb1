"""Commands of the README on the generated sample, shortened: they train, and show what was learned."""

from pathlib import Path

import pytest
import torch
from lightning import Trainer
from omegaconf import OmegaConf
from PIL import Image

from core.build import build
from core.checkpoint import load_task
from tests.conftest import REPOSITORY
from tests.launch.command import column
from tests.toy_project import run_python

pytestmark = pytest.mark.slow
EPOCHS = 3


def train(logs: Path, cache: Path, *arguments: str) -> str:
    """Run a command line of ``task=focusmae`` on one CPU; return what it printed."""
    fixed = ["task=focusmae", "trainer.accelerator=cpu", f"paths.logs={logs}", f"paths.data={cache}"]
    sweep = [argument for argument in arguments if argument == "-m"]
    others = [argument for argument in arguments if argument != "-m"]
    done = run_python(REPOSITORY, "train.py", *sweep, *fixed, *others, timeout=540, COLUMNS="300")
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def run(sample_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run folder and output of a shortened default training."""
    logs = tmp_path_factory.mktemp("logs")
    printed = train(logs, sample_cache, "trainer.devices=1", f"trainer.max_epochs={EPOCHS}", "run_id=short")
    return logs / "focusmae" / "short", printed


def measured(run: Path, name: str) -> list[float]:
    return column(run / "metrics.csv", name)


def test_the_default_run_learns_to_reconstruct(run: tuple[Path, str]) -> None:
    losses, zeros = measured(run[0], "val/loss"), measured(run[0], "val/loss_zeros")
    assert len(losses) == EPOCHS
    assert losses[-1] < losses[0]
    assert losses[-1] < 0.9 * zeros[-1]


def test_a_run_leaves_everything_in_its_folder(run: tuple[Path, str]) -> None:
    folder, printed = run
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    pictures = {f"pictures/val_epoch{epoch:03d}.png" for epoch in range(1, EPOCHS + 1)}
    checkpoints = {f"checkpoints/{name}.ckpt{suffix}" for name in ("best", "last") for suffix in ("", ".sha256")}
    assert names == {"config.yaml", "metrics.csv", "ranks.jsonl", "train.log"} | checkpoints | pictures
    for name in ("train/loss", "val/loss", "perf/clips_per_s", "data/wait_share", "val/roi_masked_fraction"):
        assert measured(folder, name), name
    with Image.open(folder / sorted(pictures)[-1]) as picture:
        assert len(picture.getcolors(picture.width * picture.height)) > 1000
    assert "GENERATED sample" in printed
    assert f"val/loss {min(measured(folder, 'val/loss')):.4g}" in printed
    assert str(folder) in printed and "val_epoch003.png" in printed


def test_a_checkpoint_alone_gives_back_the_task_and_its_loss(run: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = run
    task = load_task(folder / "checkpoints" / "best.ckpt")
    config = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    datamodule = build(config["datamodule"] | {"num_workers": 0, "batch_size": 3}, "datamodule")
    trainer = Trainer(accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, default_root_dir=tmp_path)
    found = trainer.validate(task, datamodule, verbose=False)[0]["val/loss"]
    assert found == pytest.approx(min(measured(folder, "val/loss")), rel=1e-4)


def test_two_ranks_and_a_sweep_make_one_folder_per_job(sample_cache: Path, tmp_path: Path) -> None:
    short = (
        "trainer.devices=2",
        "trainer.max_epochs=1",
        "trainer.limit_train_batches=2",
        "trainer.limit_val_batches=1",
    )
    train(tmp_path, sample_cache, "-m", "optim.lr=1e-3,3e-4", "datamodule.num_workers=0", *short)
    jobs = sorted(path.parent for path in tmp_path.rglob("config.yaml"))
    assert [OmegaConf.load(job / "config.yaml").optim.lr for job in jobs] == [1e-3, 3e-4]
    assert sorted(path.parent.parent for path in tmp_path.rglob("last.ckpt")) == jobs
    weights = [torch.load(job / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for job in jobs]
    assert weights[0].keys() == weights[1].keys()
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_cut_training_ends_with_the_weights_of_an_uncut_one(sample_cache: Path, tmp_path: Path) -> None:
    small = ("model.dim=48", "model.depth=1", "model.decoder_dim=32", "model.decoder_depth=1")
    short = ("scheduler=none", "trainer.devices=1", "trainer.max_epochs=2", "trainer.limit_train_batches=4")
    line = (*small, *short, "model.drop_path_rate=0.2")
    train(tmp_path, sample_cache, "run_id=whole", *line)
    train(tmp_path, sample_cache, "run_id=cut", "trainer.max_steps=6", *line)  # in the second epoch
    train(tmp_path, sample_cache, "run_id=cut", "ckpt_path=last", *line)
    paths = (tmp_path / "focusmae" / name / "checkpoints" / "last.ckpt" for name in ("whole", "cut"))
    whole, cut = (torch.load(path, weights_only=True) for path in paths)
    assert whole["global_step"] == cut["global_step"] == 8
    assert all(torch.equal(whole["state_dict"][name], cut["state_dict"][name]) for name in whole["state_dict"])
