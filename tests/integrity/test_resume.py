"""Runs that are killed and started again: nothing is seen twice, nothing is left out, nothing comes out differently."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoint import read_checkpoint
from core.command_line.check import check_config
from core.errors import ConfigError, is_for_users
from core.run import run
from tests.conftest import REPOSITORY
from tests.integrity.kills import DIARY
from tests.toy_project import add_toys, isolated, job_config, make_project, run_python, toy_config

add_toys()
# A small FocusMAE with all that is random: dropout (of its sampler), drop path, masks, crops, flips, several clips of a
# visit; and a schedule, for which Lightning makes the loader before it knows that a run is continued.
TASK = ["task=focusmae", "model.num_frames=4", "model.dim=48", "model.num_heads=2", "model.depth=1"]
TASK += ["model.sampler_num_heads=2", "model.decoder_dim=32", "model.decoder_depth=1", "model.decoder_num_heads=2"]
TASK += ["model.drop_path_rate=0.2", "datamodule.crop=random_resized", "datamodule.flip=0.5"]
TASK += ["datamodule.clips_per_video=2", "datamodule.repeat=1", "datamodule.eval_clips=1", "callbacks=default"]
TASK += ["datamodule.val_fraction=0.5", "trainer.limit_val_batches=2"]  # 24 videos are enough, and whole steps
# Two epochs; a checkpoint after every second batch, so that a kill loses work that has to be done again.
OFTEN = ["trainer.max_epochs=2", "trainer.log_every_n_steps=2", "callbacks.last.interval_s=0"]
CLIPS = 2  # of a visit
# Moments of one run, each in the run that continues the one before: within an epoch, in validation, between two epochs;
# and where the best checkpoint is saved and the last one not yet, and within the second epoch.
MOMENTS = [["train_batch_end", 0, 2], ["validation_batch_end", 0, 0], ["train_epoch_start", 1, 0]]
MORE = [*MOMENTS[:2], ["train_epoch_end", 0, 0], MOMENTS[2], ["train_batch_end", 1, 4]]


def layout(ranks: int, workers: int) -> list[str]:
    """Overrides of a run with two videos in a step, on one rank or two."""
    devices = [f"trainer.devices={ranks}", f"datamodule.batch_size={2 // ranks}", f"datamodule.num_workers={workers}"]
    return [*devices, "trainer.strategy=ddp_fork"] if ranks > 1 else devices


def make(jobs: list[dict[str, Any]]) -> list[int]:
    """Make jobs one after the other; returns their exit codes."""
    done = run_python(REPOSITORY, "-m", "tests.integrity.kills", json.dumps(jobs), timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def visits(folder: Path) -> dict[tuple[int, int], dict]:
    """What each rank was trained on in each step; a step that was made again counts as it was made last."""
    lines = [json.loads(line) for line in (folder / DIARY).read_text().splitlines()]
    ranks = {line["step"]: line["world_size"] for line in lines}  # of the last time
    return {(line["step"], line["rank"]): line for line in lines if line["world_size"] == ranks[line["step"]]}


def check_every_sample_is_seen_once(folder: Path) -> None:
    epochs: dict[int, list[int]] = {}
    for line in visits(folder).values():
        epochs.setdefault(line["epoch"], []).extend(line["index"])
    assert sorted(epochs) == [0, 1]
    for seen in epochs.values():
        assert sorted(seen) == list(range(len(seen)))
    assert len(epochs[0]) == len(epochs[1]) > 10 * CLIPS


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / "checkpoints" / "last.ckpt")["state_dict"]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# Every number of ranks meets every number of workers and every kind of moment. The two further moments concern which
# file is the newest and the counters of epochs, which neither ranks nor workers have a part in: they are tried once.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("ranks", "workers", "moments"), [(1, 0, MORE), (1, 2, MOMENTS), (2, 0, MOMENTS), (2, 2, MOMENTS)]
)
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not(
    ranks: int, workers: int, moments: list, sample_cache: Path, tmp_path: Path
) -> None:
    line = [*TASK, *OFTEN, *layout(ranks, workers), f"paths.data={sample_cache}"]
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    jobs = [{"run": str(straight), "overrides": line, "kill": None}]
    jobs += [{"run": str(killed), "overrides": [*line, "ckpt_path=last"], "kill": kill} for kill in [*moments, None]]
    assert make(jobs) == [0, *[-9] * len(moments), 0]
    assert visits(killed) == visits(straight)
    assert len((killed / DIARY).read_text().splitlines()) > len(visits(killed))  # something was made again
    check_every_sample_is_seen_once(killed)
    assert same(weights(killed), weights(straight))


@pytest.mark.slow
def test_another_number_of_ranks_continues_on_the_samples_that_are_left(sample_cache: Path, tmp_path: Path) -> None:
    line = [*TASK, *OFTEN, f"paths.data={sample_cache}", "ckpt_path=last"]
    order = [(2, ["train_batch_end", 0, 4]), (1, ["train_batch_end", 1, 4]), (2, None)]
    run = str(tmp_path / "run")
    jobs = [{"run": run, "overrides": [*line, *layout(ranks, 0)], "kill": kill} for ranks, kill in order]
    assert make(jobs) == [-9, -9, 0]
    check_every_sample_is_seen_once(tmp_path / "run")


@pytest.mark.slow
def test_the_same_command_again_continues_what_was_killed(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    line = [sys.executable, "train.py", "task=toy", "trainer.accelerator=cpu", "trainer.devices=1", "ckpt_path=last"]
    line += [*OFTEN[1:], "trainer.max_epochs=4", "datamodule.length=300", "paths.logs=logs"]
    straight, killed = (project / "logs" / "toy" / name for name in ("straight", "killed"))
    subprocess.run(line, cwd=project, env=isolated(project, RUN_ID="straight"), check=True, capture_output=True)
    environment = isolated(project, RUN_ID="killed")
    process = subprocess.Popen(line, cwd=project, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + 120
    while not (killed / "checkpoints" / "last.ckpt").exists() and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -9
    assert 0 < read_checkpoint(killed / "checkpoints" / "last.ckpt")["global_step"] < 600
    subprocess.run(line, cwd=project, env=environment, check=True, capture_output=True)
    assert same(weights(killed), weights(straight))
    whole, continued = logged(straight), logged(killed)
    assert continued.items() <= whole.items()
    # Lightning hands over the metrics of a step after its checkpoint is saved; the row before waits for more of them.
    assert len(whole) - len(continued) <= 2


def logged(folder: Path) -> dict[str, str]:
    """Training loss of each step."""
    with (folder / "metrics.csv").open(newline="") as file:
        return {row["step"]: row["train/loss"] for row in csv.DictReader(file) if row["train/loss"]}


FEW = ("trainer.max_epochs=2", "trainer.log_every_n_steps=1", "callbacks.last.interval_s=0")


def cut(folder: Path, *overrides: str, steps: int = 4) -> None:
    """Leave a toy run within its first epoch, which has six steps of two clips."""
    run(toy_config(folder, *FEW, *overrides, f"trainer.max_steps={steps}"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("datamodule.batch_size=3", r"datamodule.batch_size=3 x 1 processes: batches of 3 .* has batches of 2"),
        ("trainer.accumulate_grad_batches=2", r"trainer.accumulate_grad_batches=2: .* steps of 1 batches"),
        ("datamodule.length=14", "12 samples in an epoch, and this one has 14"),
        ("datamodule.seed=3", "0 as seed of their order, and this one has 3"),
    ],
)
def test_a_run_that_would_repeat_or_lose_samples_is_refused(tmp_path: Path, change: str, message: str) -> None:
    cut(tmp_path)
    before = (tmp_path / "checkpoints" / "last.ckpt").read_bytes()
    with pytest.raises(ValueError, match=message) as refused:
        run(toy_config(tmp_path, *FEW, "ckpt_path=last", change))
    assert is_for_users(refused.value)
    assert (tmp_path / "checkpoints" / "last.ckpt").read_bytes() == before


def test_new_data_are_welcome_between_epochs(tmp_path: Path) -> None:
    run(toy_config(tmp_path, "trainer.max_epochs=1"))
    run(toy_config(tmp_path, "trainer.max_epochs=2", "ckpt_path=last", "datamodule.length=14"))
    assert read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 6 + 7


def rates(folder: Path) -> dict[int, float]:
    """Learning rate of each step, of the first group of parameters."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    column = min(name for name in rows[0] if name.startswith("lr-"))
    return {int(row["step"]): float(row[column]) for row in rows if row[column]}


def test_the_stored_settings_win_and_the_next_checkpoint_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cut(tmp_path)
    run(toy_config(tmp_path, *FEW, "ckpt_path=last", "optim.lr=0.5"))
    assert "optim.lr=0.5 has no effect: the run continues with the stored 0.01" in caplog.text
    assert set(rates(tmp_path).values()) == {0.01}
    assert read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["config"]["optim"]["lr"] == 0.01


def test_new_settings_are_taken_where_the_user_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cut(tmp_path)
    changes = ("optim.lr=0.5", "optim.weight_decay=0.25", "resume.override=[optim.lr,optim.weight_decay]")
    run(toy_config(tmp_path, *FEW, "ckpt_path=last", *changes))
    assert "has no effect" not in caplog.text
    assert [rate for step, rate in rates(tmp_path).items() if step >= 4] == [0.5] * 8
    saved = read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    [group] = saved["optimizer_states"][0]["param_groups"]
    assert (group["lr"], group["weight_decay"], group["betas"]) == (0.5, 0.25, (0.9, 0.999))
    assert (saved["config"]["optim"]["lr"], saved["config"]["optim"]["weight_decay"]) == (0.5, 0.25)


@pytest.mark.parametrize(
    ("changes", "override"),
    [
        (["optim.lr=4e-3", "scheduler.min_lr=1e-4"], "[optim.lr,scheduler.min_lr]"),
        (["optim.lr=4e-3", "scheduler.min_lr=1e-4"], "[]"),
    ],
)
def test_a_new_peak_moves_the_whole_schedule(
    sample_cache: Path, tmp_path: Path, changes: list[str], override: str
) -> None:
    line = [*TASK, *OFTEN[:1], "trainer.log_every_n_steps=1", "callbacks.last.interval_s=0", *layout(1, 0)]
    line += [f"paths.data={sample_cache}", "trainer.limit_train_batches=4", "trainer.limit_val_batches=0"]
    line += ["monitor.metric=train/loss"]
    changed = changes if override != "[]" else []
    run(job_config(tmp_path / "straight", *line, *changed))
    make([{"run": str(tmp_path / "cut"), "overrides": line, "kill": ["train_batch_end", 0, 2]}])
    run(job_config(tmp_path / "cut", *line, "ckpt_path=last", *changes, f"resume.override={override}"))
    wanted, found = rates(tmp_path / "straight"), rates(tmp_path / "cut")
    assert [found[step] for step in range(2, 8)] == pytest.approx([wanted[step] for step in range(2, 8)])
    assert max(found.values()) == pytest.approx(4e-3 if changed else 2e-3)


def test_settings_that_a_run_does_not_have_are_named_with_those_it_has(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"resume.override=optim.lrr: not a setting .* did you mean 'optim.lr'"):
        check_config(toy_config(tmp_path, "resume.override=[optim.lrr]"))
    with pytest.raises(ConfigError, match=r"resume.override=datamodule.seed: not a setting"):
        check_config(toy_config(tmp_path, "resume.override=[datamodule.seed]"))
    cut(tmp_path)
    with pytest.raises(ConfigError, match=r"optim.eps: the run that is continued has no such setting"):
        run(toy_config(tmp_path, *FEW, "ckpt_path=last", "+optim.eps=1e-6", "resume.override=[optim.eps]"))
