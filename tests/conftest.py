"""What all tests share: where the reference numbers are, and one thread per test process."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two test processes on two cores; child processes inherit it

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout: the folder of ``train.py``."""
    return REPOSITORY


def fixtures_root() -> Path:
    """Folder of the reference numbers, one subfolder per topic."""
    return Path(os.environ.get("VIDZOO_FIXTURES", REPOSITORY / "tests" / "fixtures"))
