"""What all tests share: where the reference numbers are, and one thread per test process."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two test processes on two cores; child processes inherit it

import pytest

from datamodules.samples.shanghaitech import generate
from datamodules.video_set import SAMPLE_FOLDER

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout: the folder of ``train.py``."""
    return REPOSITORY


@pytest.fixture(scope="session")
def sample_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for ``datamodule.cache`` that holds the generated sample, made once for all test processes."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    generate(folder / SAMPLE_FOLDER)
    return folder


def fixtures_root() -> Path:
    """Folder of the reference numbers, one subfolder per topic."""
    return Path(os.environ.get("VIDZOO_FIXTURES", REPOSITORY / "tests" / "fixtures"))
