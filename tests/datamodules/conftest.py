"""What tests of clips of videos share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from datamodules.videos import Videos
from tests.datamodules.library import SIZE, write_library


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `tests.datamodules.library`."""
    root = tmp_path_factory.mktemp("library")
    write_library(root)
    return root


@pytest.fixture
def make_videos(library: Path, tmp_path: Path) -> Callable[..., Videos]:
    """Make a datamodule of whole frames, so that their numbers can be read, and set it up."""

    def build(stage: str = "fit", **options: object) -> Videos:
        plain = {"root": str(library), "cache": str(tmp_path), "image_size": SIZE, "crop": "none", "num_workers": 0}
        small = {"num_frames": 8, "batch_size": 2, "val_fraction": 0.2}
        made = Videos(**plain | small | options)
        made.prepare_data()
        made.setup(stage)
        return made

    return build
