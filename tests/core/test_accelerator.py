"""A GPU that is asked for and not there."""

from pathlib import Path

import pytest
from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator

from core.accelerator import check_accelerator
from core.errors import ConfigError
from core.run import run
from tests.toy_project import add_toys, toy_config

add_toys()


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (CUDAAccelerator, MPSAccelerator):
        monkeypatch.setattr(kind, "is_available", staticmethod(lambda: False))


@pytest.mark.parametrize(("name", "lacking"), [("gpu", "GPU"), ("cuda", "CUDA device"), ("mps", "MPS device")])
def test_it_is_refused_with_what_was_found_and_the_way_on(name: str, lacking: str) -> None:
    message = rf"^trainer.accelerator={name}: torch \S+ found no {lacking}.*; go on with trainer.accelerator=cpu"
    with pytest.raises(ConfigError, match=message):
        check_accelerator(name)


def test_a_variable_that_hides_devices_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    with pytest.raises(ConfigError, match="found no GPU with CUDA_VISIBLE_DEVICES='7'"):
        check_accelerator("gpu")


@pytest.mark.parametrize("name", ["auto", "cpu", "tpu"])
def test_others_are_left_to_lightning(name: str) -> None:
    check_accelerator(name)


def test_one_gpu_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MPSAccelerator, "is_available", staticmethod(lambda: True))
    check_accelerator("gpu")
    with pytest.raises(ConfigError, match="no CUDA device"):
        check_accelerator("cuda")


def test_a_run_ends_with_that_message(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^trainer\.accelerator=gpu: "):
        run(toy_config(tmp_path, "trainer.accelerator=gpu"))
