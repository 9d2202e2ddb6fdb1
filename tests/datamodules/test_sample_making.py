"""What holds for the generated samples of all data sets: they are whole or not there, and in no folder of others."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from datamodules.samples import ava, ego4d, making, shanghaitech
from tests.files import contents_of


class Sample(NamedTuple):
    """A generator of a sample.

    Attributes:
        module: Where its ``generate`` is.
        step: A function of the module that is called on the way.
        tiny: Settings of a small one.
    """

    module: ModuleType
    step: str
    tiny: dict[str, Any]

    @property
    def generate(self) -> Callable[..., Path]:
        return self.module.generate


SAMPLES = {
    "ava": Sample(ava, "write_lists", {"num_training": 1, "num_validation": 1, "seconds": 6, "size": (64, 96)}),
    "ego4d": Sample(ego4d, "write_lists", {"num_training": 1, "num_validation": 1, "seconds": 2, "size": (120, 160)}),
    "shanghaitech": Sample(
        shanghaitech, "record", {"num_training": 1, "num_testing": 1, "seconds": 2.0, "size": (64, 96)}
    ),
}
IMPOSSIBLE = {
    "ava": [{"num_training": 0}, {"num_validation": 0}, {"seconds": 5}, {"seconds": 6.5}, {"size": (63, 96)}],
    "ego4d": [{"num_training": 0}, {"num_validation": 0}, {"seconds": 1}, {"seconds": 2.5}, {"size": (121, 160)}],
    "shanghaitech": [{"num_training": 0}, {"num_testing": 0}, {"seconds": 0.5}, {"size": (63, 96)}, {"size": (32, 96)}],
}


@pytest.mark.parametrize(("name", "more"), [("ava", {"num_training": 2}), ("ego4d", {})])
def test_two_processes_make_the_same_files_as_one(
    name: str, more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = SAMPLES[name]
    settings = sample.tiny | more
    monkeypatch.setattr(making, "_cores", lambda: 1)
    alone = contents_of(sample.generate(tmp_path / "alone", **settings))
    monkeypatch.setattr(making, "_cores", lambda: 2)
    monkeypatch.setattr(making, "ALONE", 0)
    assert contents_of(sample.generate(tmp_path / "both", **settings)) == alone


@pytest.mark.parametrize("name", SAMPLES)
def test_an_interrupted_generation_leaves_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    sample = SAMPLES[name]
    monkeypatch.setattr(sample.module, sample.step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        sample.generate(tmp_path / "data" / "sample", **sample.tiny)
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("name", SAMPLES)
def test_another_folder_is_never_taken_for_a_sample(name: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match="mine is no generated sample"):
        SAMPLES[name].generate(tmp_path / "mine", **SAMPLES[name].tiny)


@pytest.mark.parametrize(
    ("name", "wrong"), [(name, wrong) for name, settings in IMPOSSIBLE.items() for wrong in settings]
)
def test_impossible_settings_are_refused(name: str, wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no sample can be made"):
        SAMPLES[name].generate(tmp_path / "sample", **SAMPLES[name].tiny | wrong)
    assert list(tmp_path.iterdir()) == []
