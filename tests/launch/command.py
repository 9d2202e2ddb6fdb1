"""A command line of the project as its tests run it, and what it has measured."""

import csv
from pathlib import Path

from tests.conftest import REPOSITORY
from tests.toy_project import run_python


def train_py(logs: Path, *arguments: str) -> str:
    """Run ``train.py`` on CPUs with its run folders in ``logs``; return what it printed."""
    fixed = ["train.py", "trainer.accelerator=cpu", f"paths.logs={logs}"]
    done = run_python(REPOSITORY, *fixed, *arguments, timeout=540, COLUMNS="300")
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


def column(metrics: Path, name: str) -> list[float]:
    """The values of a number in ``metrics.csv``."""
    with metrics.open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]
