"""A run that is asked to end saves, leaves with exit code 143, and continues as if nothing had happened."""

import csv
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from core.processes import signals
from core.processes.signals import ASKING, Stopped, request
from core.run import make_trainer, run
from tests.conftest import REPOSITORY
from tests.jobs import Job
from tests.toy_project import add_toys, make_project, run_script, toy_config, trouble

add_toys()
TIMES = ("perf/", "data/")  # metrics that tell times


@pytest.fixture
def listening() -> Iterator[None]:
    """Have this process answer signals as train.py does."""
    before = {number: signal.getsignal(number) for number in ASKING}
    request.__init__()
    request.listen()
    yield
    request.__init__()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


def result(folder: Path) -> dict:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def rows(folder: Path) -> dict[str, dict[str, str]]:
    """Metrics by step; where a step was repeated the later row counts."""
    found: dict[str, dict[str, str]] = {}
    with (folder / "metrics.csv").open() as file:
        for row in csv.DictReader(file):
            told = {name: value for name, value in row.items() if value and not name.startswith(TIMES)}
            found.setdefault(row["step"], {}).update(told)
    return found


TOY = ("trainer.max_epochs=3", "trainer.log_every_n_steps=1")  # six steps each


@pytest.mark.parametrize(
    ("moment", "count", "step", "overrides"),
    [
        ("train_batch", 3, 3, ()),
        ("train_batch", 6, 6, ()),
        ("train_batch", 7, 7, ()),
        ("validation_batch", 1, 6, ()),
        ("validation_batch", 6, 6, ()),
        ("saving", 1, 7, ()),
        ("train_batch", 3, 2, ("trainer.accumulate_grad_batches=2",)),
        ("train_batch", 5, 2, ("trainer.accumulate_grad_batches=4",)),
        ("train_batch", 3, 3, ("+trainer.val_check_interval=3",)),
        ("validation_batch", 8, 6, ("+trainer.val_check_interval=3",)),
        ("train_batch", 6, 6, ("trainer.check_val_every_n_epoch=2", "monitor.metric=train/loss")),
    ],
)
def test_a_signal_ends_the_run_after_its_step_and_nothing_is_lost(
    moment: str, count: int, step: int, overrides: tuple[str, ...], tmp_path: Path, listening: None
) -> None:
    run(toy_config(tmp_path / "straight", *TOY, *overrides))
    with pytest.raises(Stopped) as caught:
        run(toy_config(tmp_path / "cut", *TOY, *overrides, trouble(moment, count)))
    assert caught.value.code == 143
    assert result(tmp_path / "cut")["global_step"] == step
    request.__init__()
    request.listen()
    run(toy_config(tmp_path / "cut", *TOY, *overrides, "ckpt_path=last"))
    straight, cut = result(tmp_path / "straight"), result(tmp_path / "cut")
    assert all(torch.equal(cut["state_dict"][name], value) for name, value in straight["state_dict"].items())
    assert cut["global_step"] == straight["global_step"]
    assert rows(tmp_path / "cut") == rows(tmp_path / "straight")


def test_a_validation_that_was_repeated_is_not_repeated_at_each_restart(tmp_path: Path, listening: None) -> None:
    often = *TOY, "+trainer.val_check_interval=3"
    run(toy_config(tmp_path / "straight", *often))
    for planted in ([trouble("validation_batch", 2)], [trouble("train_batch", 1), "ckpt_path=last"]):
        request.__init__()
        request.listen()
        with pytest.raises(Stopped):
            run(toy_config(tmp_path / "cut", *often, *planted))
    request.__init__()
    run(toy_config(tmp_path / "cut", *often, "ckpt_path=best"))  # written at the end of the repeated validation
    straight, cut = result(tmp_path / "straight"), result(tmp_path / "cut")
    assert all(torch.equal(cut["state_dict"][name], value) for name, value in straight["state_dict"].items())


# Runs trainings on two forked ranks, each once straight, once stopped by a signal, and once continued.
ON_TWO_RANKS = """
import json, sys
from pathlib import Path
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from core import run_id
from core.processes import signals
from core.run import make_trainer, run
from core.processes.signals import Stopped, request

FIXED = ["task=toy", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp_fork", "run_id=x",
         "trainer.log_every_n_steps=1", "trainer.max_epochs=3", "datamodule.length=13"]

def job(name, *overrides):
    request.__init__()
    request.listen()
    with initialize_config_dir(str(Path("conf").absolute()), version_base="1.3"):
        cfg = compose("train", [*FIXED, f"paths.run={Path(name).absolute()}", *overrides])
    try:
        run(OmegaConf.create(OmegaConf.to_container(cfg, resolve=True)))
        code = 0
    except Stopped as stopped:
        code = stopped.code
    return code, torch.load(f"{name}/checkpoints/last.ckpt", weights_only=True)

_, straight = job("straight")
found = {}
for name, trouble in json.loads(sys.argv[1]).items():
    code, cut = job(name, trouble)
    ended, continued = job(name, "ckpt_path=last")
    equal = all(torch.equal(continued["state_dict"][n], t) for n, t in straight["state_dict"].items())
    found[name] = [code, cut["global_step"], ended, continued["global_step"] == straight["global_step"] and equal]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_signal_to_one_rank_ends_all_after_the_same_step_and_nothing_is_lost(project: Path) -> None:
    cases = {
        "second_rank": trouble("train_batch", 2, rank=1),
        "first_rank": trouble("train_batch", 5, rank=0),
        "end_of_epoch": trouble("train_batch", 3, rank=1),
        "validation": trouble("validation_batch", 2, rank=1),  # the first rank has a batch more
        "last_of_validation": trouble("validation_batch", 4, rank=0),
        "saving": trouble("saving", 1, rank=1),
    }
    found = run_script(project, ON_TWO_RANKS, json.dumps(cases))
    steps = {"second_rank": 2, "first_rank": 5, "end_of_epoch": 3, "validation": 3, "last_of_validation": 3}
    assert found == {name: [143, steps.get(name, 4), 0, True] for name in cases}


@pytest.fixture
def job(project: Path, tmp_path: Path) -> Iterator[Job]:
    with Job(project, tmp_path) as started:
        yield started


@pytest.mark.slow
def test_ranks_of_a_command_stop_together_and_a_requeued_job_goes_on(job: Job, tmp_path: Path) -> None:
    fake = tmp_path / "scontrol"
    fake.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked.txt\n')
    fake.chmod(0o755)
    slurm = {"SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "train", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = "task=toy", "trainer.devices=2", "trainer.max_epochs=2", "ckpt_path=last"
    job.start(*command, trouble("train_batch", 2, what="SIGUSR1", rank=1), **slurm)
    assert job.code() == 143, job.said()
    assert (tmp_path / "asked.txt").read_text() == "requeue 4711\n"
    assert "job 4711 is queued again" in job.said()
    assert "Traceback" not in job.said()
    assert result(job.logs / "toy" / "4711")["global_step"] == 2
    job.start(*command, **slurm)
    assert job.code() == 0, job.said()
    assert result(job.logs / "toy" / "4711")["global_step"] == 6
    assert len((tmp_path / "asked.txt").read_text().splitlines()) == 1


@pytest.mark.slow
def test_torchrun_passes_a_signal_on_and_all_ranks_save(job: Job) -> None:
    job.start_torchrun("task=toy", "trainer.max_epochs=100000")
    job.wait_for(job.logs / "toy" / "torchrun" / "checkpoints" / "last.ckpt")
    job.process.send_signal(signal.SIGTERM)
    assert job.code() != 0
    step = int(job.said().rpartition("stopped after step ")[2].partition(";")[0])
    assert result(job.logs / "toy" / "torchrun")["global_step"] == step
    assert job.left_after(10) == []


@pytest.mark.slow
def test_a_signal_ends_a_sweep_and_not_only_its_job(job: Job) -> None:
    job.start("-m", "task=toy", "optim.lr=0.1,0.01,0.001", "run_id=sweep", trouble("train_batch", 2))
    assert job.code() == 143, job.said()
    assert sorted(path.name for path in job.logs.rglob("config.yaml")) == ["config.yaml"]
    assert "to continue: the same command with run_id=sweep ckpt_path=last" in job.said()


def test_a_signal_after_the_last_step_lets_the_job_finish_and_no_other_begin(tmp_path: Path, listening: None) -> None:
    run(toy_config(tmp_path / "first", "trainer.max_epochs=1", trouble("saving", 2)))
    assert result(tmp_path / "first")["global_step"] == 6
    with pytest.raises(Stopped):
        run(toy_config(tmp_path / "second"))
    assert not (tmp_path / "second").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_while_torch_is_loading_ends_the_run(number: signal.Signals, job: Job) -> None:
    job.start("task=toy")
    maps = Path(f"/proc/{job.process.pid}/maps")
    job.wait(lambda: "libtorch_cpu" in maps.read_text())
    job.process.send_signal(number)
    started = time.monotonic()
    assert job.code() == (130 if number == signal.SIGINT else 143), job.said()
    assert time.monotonic() - started < 10
    assert "Traceback" not in job.said()


def test_a_signal_while_data_are_made_ends_the_run(tmp_path: Path, listening: None) -> None:
    with pytest.raises(Stopped):
        run(toy_config(tmp_path, trouble("setup", what="SIGUSR1")))
    assert not (tmp_path / "checkpoints" / "last.ckpt").exists()


def test_an_evaluation_ends_at_once(tmp_path: Path, listening: None) -> None:
    with pytest.raises(Stopped) as caught:
        run(toy_config(tmp_path, "mode=validate", trouble("validation_batch", 2)))
    assert caught.value.code == 143


def test_ctrl_c_once_is_orderly_and_twice_at_once(tmp_path: Path, listening: None, monkeypatch) -> None:
    with pytest.raises(Stopped) as caught:
        run(toy_config(tmp_path / "once", trouble("train_batch", 3, what="SIGINT")))
    assert caught.value.code == 130
    assert result(tmp_path / "once")["global_step"] == 3
    request.__init__()
    request.listen()
    monkeypatch.setattr(signals, "SECOND_THOUGHT_S", -1)  # any second one is a person's
    twice = trouble("train_batch", 3, what="SIGINT", name="second")
    with pytest.raises(Stopped):
        run(toy_config(tmp_path / "twice", trouble("train_batch", 3, what="SIGINT"), twice))
    assert not (tmp_path / "twice" / "checkpoints" / "last.ckpt").exists()


def test_lightning_answers_no_signal_itself(tmp_path: Path, listening: None) -> None:
    trainer = make_trainer(OmegaConf.to_container(toy_config(tmp_path)))
    trainer._signal_connector.register_signal_handlers()
    assert all(signal.getsignal(number) == request._receive for number in ASKING)


def test_a_job_that_cannot_be_queued_again_says_so(monkeypatch, tmp_path: Path, caplog) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    signals.queue_again("12")
    assert "job 12 is not queued again: scontrol requeue: " in caplog.text


@pytest.mark.slow
def test_loader_workers_leave_a_signal_to_all_processes_to_the_training(sample_cache: Path, tmp_path: Path) -> None:
    with Job(REPOSITORY, tmp_path) as job:
        job.start("task=focusmae", "model.depth=1", "trainer.devices=2", f"paths.data={sample_cache}", "run_id=all")
        job.wait_for(job.logs / "focusmae" / "all" / "metrics.csv")
        assert len(job.processes()) > 2  # loader workers and their decoders
        os.killpg(job.process.pid, signal.SIGTERM)
        assert job.code() == 143, job.said()
        assert job.left_after(10) == []
        assert "Traceback" not in job.said() and "DataLoader worker" not in job.said()
        step = result(job.logs / "focusmae" / "all")["global_step"]
        last = job.said().rstrip().splitlines()[-1]
        assert last == f"stopped after step {step}; to continue: the same command with run_id=all ckpt_path=last"
