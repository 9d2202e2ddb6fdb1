"""A rank that dies takes the others along, and what it died of is the last thing on the screen."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs import Job
from tests.toy_project import make_project, trouble

pytestmark = pytest.mark.slow
LEFT_AFTER_S = 30


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def job(project: Path, tmp_path: Path) -> Iterator[Job]:
    with Job(project, tmp_path) as started:
        yield started


@pytest.mark.parametrize(
    ("planted", "last"),
    [
        (
            [trouble("train_batch", 2, what="SIGKILL", rank=1), "datamodule.num_workers=2"],
            r"rank 1 \(process \d+\) was killed by SIGKILL; the system does so when the memory is used up",
        ),
        (
            [trouble("train_batch", 2, what="SIGKILL", rank=0), "datamodule.num_workers=2"],
            r"the first process of this job \(\d+\) was killed or crashed; its ranks end",
        ),
        ([trouble("validation_batch", 1, what="error", rank=1)], "RuntimeError: planted error"),
        ([trouble("saving", 1, what="error", rank=0)], "RuntimeError: planted error"),
        (
            [trouble("train_batch", 2, what="hang"), trouble("fit_start", what="error", rank=1, name="other")],
            "RuntimeError: planted error",
        ),
        ([trouble("fit_end", what="error", rank=1)], "RuntimeError: planted error"),
    ],
    ids=["second killed", "first killed", "second fails", "first fails", "first hangs", "second fails at the end"],
)
def test_no_rank_outlives_another_and_the_cause_comes_last(planted: list[str], last: str, job: Job) -> None:
    job.start("task=toy", "trainer.devices=2", "trainer.max_epochs=3", *planted)
    assert job.code() not in (0, None)
    assert job.left_after(LEFT_AFTER_S) == []
    said = job.said()
    assert re.fullmatch(last, said.rstrip().splitlines()[-1]), said
    assert "gloo/" not in said and said.count("Traceback") <= 1, said
    assert not list(job.logs.rglob(".failed*"))


def test_a_rank_that_is_killed_before_it_has_loaded_torch_ends_the_job(job: Job) -> None:
    job.start("task=toy", "trainer.devices=2")
    job.wait(lambda: len(job.processes()) > 1)
    os.kill(max(job.processes()), signal.SIGKILL)
    assert job.code() == 1
    assert job.left_after(LEFT_AFTER_S) == []
    assert re.search(r"rank 1 \(process \d+\) was killed by SIGKILL", job.said().rstrip().splitlines()[-1]), job.said()


def test_a_rank_that_torchrun_started_takes_the_others_along(job: Job) -> None:
    job.start_torchrun("task=toy", trouble("train_batch", 2, what="SIGKILL", rank=1))
    assert job.code() == 1
    assert job.left_after(LEFT_AFTER_S) == []
    assert "Signal 9 (SIGKILL) received" in job.said()
    assert "in _backward" not in job.said()
