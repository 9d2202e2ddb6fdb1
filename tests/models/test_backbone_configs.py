"""Every backbone that can be chosen for a detector builds and runs, without memory for its weights."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig

from tests.conftest import REPOSITORY

NAMES = sorted(path.stem for path in (REPOSITORY / "conf/model/backbone").glob("*.yaml"))
FRAMES = 32


def composed(repository: Path, name: str) -> DictConfig:
    with initialize_config_dir(str(repository / "conf"), version_base="1.3"):
        return compose(f"model/backbone/{name}").model.backbone


@pytest.mark.parametrize("name", NAMES)
def test_a_node_builds_a_backbone_that_runs(repository: Path, name: str) -> None:
    with torch.device("meta"):
        backbone = instantiate(composed(repository, name), _convert_="all")
        slow, fast = backbone(torch.empty(1, 3, FRAMES, 64, 80))
    sides = [-(-side // backbone.stride) for side in (64, 80)]
    assert slow.shape == (1, backbone.widths[0], FRAMES // backbone.alpha, *sides)
    assert fast.shape == (1, backbone.widths[1], FRAMES, *sides)


@pytest.mark.parametrize("name", NAMES)
def test_a_node_says_all_that_weights_cannot_tell(repository: Path, name: str) -> None:
    settings = {"fusion", "fusion_kernel", "slow_sampling", "last_stride", "last_dilation"}
    settings |= {"frozen_norm", "alpha", "mean", "std"}
    assert settings <= set(composed(repository, name))
