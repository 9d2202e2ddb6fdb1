"""What a run prints of itself."""

import io
import logging
import re
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from core import report
from models.mil import MIL
from models.rtfm import RTFM
from tests.toy_project import add_toys

add_toys()


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), width=120, highlight=False)


def text(screen: Console) -> str:
    return screen.file.getvalue()


def test_flops_are_those_of_the_layers() -> None:
    from models.toy_network import Autoencoder

    model = Autoencoder(num_frames=2, image_size=4, hidden=8)
    before = torch.get_rng_state()
    assert report.forward_flops(model) == 2 * 2 * 96 * 8  # two layers, 96 x 8 multiply-adds each
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert all(parameter.device.type == "cpu" for parameter in model.parameters())


def test_a_model_of_clips_that_cannot_be_counted_says_why(caplog: pytest.LogCaptureFixture) -> None:
    from models.toy_network import DeepAutoencoder

    with caplog.at_level(logging.INFO, "core.report"):
        assert report.forward_flops(DeepAutoencoder()) is None
    assert "GFLOPs per clip unknown: DeepAutoencoder does not run on the meta device" in caplog.text


@pytest.mark.parametrize("detector", [MIL, RTFM])
def test_nothing_is_said_of_clips_where_the_input_is_none(
    detector: type[nn.Module], screen: Console, caplog: pytest.LogCaptureFixture
) -> None:
    model = detector(dim=8)
    with caplog.at_level(logging.INFO, "core.report"):
        report.show_model(model, report.forward_flops(model), screen)
    assert "total" in text(screen)
    assert "GFLOPs" not in text(screen) + caplog.text


def test_the_model_table_counts_shared_and_frozen_parameters_once(screen: Console) -> None:
    model = nn.Module()
    model.first = nn.Linear(3, 5, bias=False)
    model.second = nn.Linear(3, 5, bias=False)
    model.second.weight = model.first.weight
    model.frozen = nn.Linear(2, 2).requires_grad_(False)
    model.own = nn.Parameter(torch.zeros(7))
    report.show_model(model, 2.5e9, screen)
    shown = [line.split() for line in text(screen).splitlines()]
    assert ["frozen", "Linear", "6", "0"] in shown
    assert ["(itself)", "7", "7"] in shown
    assert ["total", "28", "22"] in shown
    assert "2.5 GFLOPs per clip" in text(screen)


def test_the_config_is_shown_whole(screen: Console) -> None:
    config = {"seed": 3, "model": {"_target_": "a.B", "dim": 4, "inner": {"x": None}}, "name": "job", "logger": {}}
    report.show_config(config, screen)
    for part in ("job", "seed: 3", "model  a.B", "dim: 4", "x: null"):
        assert part in text(screen)


def test_the_last_block_names_what_came_out_and_what_to_type_next(
    screen: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "logs" / "toy" / "first"
    (run / "pictures").mkdir(parents=True)
    for name in "abcde":
        (run / "pictures" / f"{name}.png").touch()
    config = {
        "name": "toy",
        "mode": "fit",
        "run_id": "first",
        "monitor": {"metric": "val/loss"},
        "paths": {"run": str(run)},
        "trainer": {"max_epochs": 5},
        "next": ["try [this]"],
    }
    typed = ["task=toy", "trainer.max_epochs=5", "model.sizes=[1, 2]", "run_id=first"]
    report.show_end(config, typed, 0.125, run / "checkpoints" / "best.ckpt", None, 0.0, screen)
    shown = re.sub(r"\s+", " ", text(screen))
    assert "best val/loss 0.125" in shown
    assert "run folder logs/toy/first" in shown
    assert "2 earlier ones" in shown
    assert "logs/toy/first/pictures/e.png" in shown
    repeated = "python train.py task=toy 'model.sizes=[1, 2]'"
    assert f"{repeated} mode=test ckpt_path=logs/toy/first/checkpoints/best.ckpt" in shown
    assert f"{repeated} trainer.max_epochs=10 run_id=first ckpt_path=last" in shown
    assert "try [this]" in shown
    long = ["task=toy", *(f"model.option{number}=value" for number in range(20))]
    report.show_end(config, long, 0.125, run / "checkpoints" / "best.ckpt", None, 0.0, screen)
    pasted = [line.partition("python ")[2] for line in text(screen).splitlines() if "option19" in line]
    assert [line.split()[0] for line in pasted] == ["train.py", "train.py"]
    assert "\x1b" not in text(screen)


def test_a_job_of_a_sweep_is_continued_in_its_own_folder(tmp_path: Path) -> None:
    run = tmp_path / "sweeps" / "id" / "3_toy"
    config = {"run_id": "id", "paths": {"run": str(run)}, "trainer": {"max_epochs": -1}}
    commands = report.next_commands(config, ["task=toy"], run / "best.ckpt")
    assert commands["continue"] == f"python train.py task=toy hydra.run.dir={run} ckpt_path=last"


def test_the_command_that_evaluates_leaves_out_what_only_trains(tmp_path: Path) -> None:
    config = {"run_id": "first", "paths": {"run": str(tmp_path / "first")}, "trainer": {"max_epochs": 5}}
    typed = ["task=toy", "optim.lr=1", "scheduler=none", "resume.override=[optim.lr]", "+trainer.limit_train_batches=2"]
    commands = report.next_commands(config, typed, tmp_path / "best.ckpt")
    assert commands["evaluate"] == f"python train.py task=toy mode=test ckpt_path={tmp_path / 'best.ckpt'}"
    assert "optim.lr=1 scheduler=none" in commands["continue"]


def test_only_pictures_of_this_run_are_named(screen: Console, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    old = tmp_path / "pictures" / "old.png"
    old.touch()
    config = {"name": "x", "mode": "test", "paths": {"run": str(tmp_path)}, "next": ["train first"]}
    report.show_end(config, [], None, None, None, old.stat().st_mtime + 10, screen)
    assert "old.png" not in text(screen)
    assert f"run folder  {tmp_path}" in text(screen)
    assert "train first" not in text(screen)  # what is worth trying after a training


def test_a_prediction_says_what_can_be_done_with_it(screen: Console, tmp_path: Path) -> None:
    config = {"name": "x", "mode": "predict", "paths": {"run": str(tmp_path)}, "next": ["train a detector"]}
    report.show_end(config, [], None, None, None, 0.0, screen)
    assert "train a detector" in text(screen)
