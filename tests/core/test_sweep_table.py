"""The table of a sweep: seeds together, mean and spread, whatever process a job ran in and whether others failed."""

import csv
import subprocess
from pathlib import Path

import pytest

from core.sweep_table import aligned, table
from tests.toy_project import make_project, run_python


def outcome(job: int, value: float | None, *overrides: str, failed: bool = False) -> dict:
    return {"job": job, "overrides": list(overrides), "metric": "val/ap", "value": value, "failed": failed}


def test_jobs_that_differ_in_their_seed_alone_are_one_line_with_mean_and_spread() -> None:
    jobs = [
        outcome(2 * place + seed, value, "task=toy", f"model.rope={rope}", f"seed={seed}")
        for place, (rope, values) in enumerate({"none": (0.5, 0.7), "mrope": (0.75, 0.85)}.items())
        for seed, value in enumerate(values)
    ]
    head, lines = table(jobs)
    assert head == ["model.rope", "jobs", "mean", "std", "min", "max"]
    assert lines == [
        ["none", "2", "0.6000", "0.1414", "0.5000", "0.7000"],
        ["mrope", "2", "0.8000", "0.0707", "0.7500", "0.8500"],
    ]


def test_one_job_has_no_spread_and_one_that_failed_is_counted() -> None:
    jobs = [outcome(0, 0.5, "a=1"), outcome(1, None, "a=2", failed=True), outcome(2, 0.25, "b=x=y")]
    head, lines = table(jobs)
    assert head == ["a", "b", "jobs", "mean", "std", "min", "max", "failed"]
    assert lines == [
        ["1", "-", "1", "0.5000", "-", "0.5000", "0.5000", "0"],
        ["2", "-", "0", "-", "-", "-", "-", "1"],
        ["-", "x=y", "1", "0.2500", "-", "0.2500", "0.2500", "0"],
    ]


def test_columns_are_below_each_other() -> None:
    assert aligned([["model.rope", "mean"], ["none", "0.5"]]) == "model.rope  mean\nnone        0.5"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_project(tmp_path_factory.mktemp("project"))
    (folder / "conf" / "experiment" / "widths.yaml").write_text(
        "# @package _global_\n# widths of the toy, with seeds\ndefaults: [override /task: toy]\n"
        "hydra: {mode: MULTIRUN, sweeper: {params: {model.hidden: '2,4', seed: '0,1'}}}\n"
    )
    (folder / "callbacks" / "refusal.py").write_text(
        "from lightning import Callback\n\n"
        "class Refusal(Callback):\n"
        "    def __init__(self, lr: float) -> None:\n"
        "        if lr == 0.5:\n"
        "            raise ValueError('not with this rate')\n"
    )
    return folder


def run(project: Path, logs: str, *arguments: str) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """Run a sweep; what it said, and its table."""
    fixed = ["trainer.accelerator=cpu", "trainer.devices=1", "trainer.max_epochs=1", f"paths.logs={logs}"]
    done = run_python(project, "train.py", *arguments, *fixed)
    [folder] = (project / logs / "sweeps").iterdir()
    with (folder / "table.csv").open() as file:
        return done, list(csv.reader(file))


@pytest.mark.slow
def test_an_experiment_may_be_a_sweep_that_ends_with_its_table(project: Path) -> None:
    done, rows = run(project, "logs", "experiment=widths")
    assert done.returncode == 0, done.stderr
    assert rows[0] == ["model.hidden", "jobs", "mean", "std", "min", "max"]
    assert [row[:2] for row in rows[1:]] == [["2", "2"], ["4", "2"]] and all(float(row[3]) > 0 for row in rows[1:])
    assert done.stdout.rstrip().endswith(f"best val/loss of each job, over seeds\n{aligned(rows)}")


@pytest.mark.slow
def test_jobs_in_other_processes_and_those_that_did_not_fail_are_in_the_table(project: Path) -> None:
    refusal = "+callbacks.refusal={_target_:callbacks.refusal.Refusal,lr:${optim.lr}}"
    parallel = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    done, [head, one, two] = run(project, "other", "-m", "task=toy", "optim.lr=0.1,0.5", "seed=0,1", refusal, *parallel)
    assert done.returncode == 1
    assert head[:2] == ["optim.lr", "jobs"] and head[-1] == "failed"
    assert (one[:2], one[-1], two[:3], two[-1]) == (["0.1", "2"], "0", ["0.5", "0", "-"], "2")
    assert aligned([head, one, two]) in done.stdout and "failed: " in done.stderr.splitlines()[-1]
