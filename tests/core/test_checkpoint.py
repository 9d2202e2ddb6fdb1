"""Checkpoints stand alone, and nothing stored in them is executed."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from core.checkpoint import CheckpointError, load_task, read_checkpoint, resolve_checkpoint
from core.errors import ConfigError
from core.run import run
from tests.toy_project import add_toys, toy_config

add_toys()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a toy run, alone in a folder."""
    folder = tmp_path_factory.mktemp("run")
    run(toy_config(folder, "trainer.max_epochs=1", "model.hidden=6", "task.weight=2"))
    alone = tmp_path_factory.mktemp("alone") / "some.ckpt"
    shutil.copy(folder / "checkpoints" / "last.ckpt", alone)
    return alone


def test_a_task_is_rebuilt_from_its_file_alone(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained.parent)
    task = load_task("some.ckpt")
    stored = torch.load(trained, weights_only=True)
    assert not task.training
    assert task.hparams.weight == 2
    assert task.model.encoder[0].out_features == 6
    assert stored["state_dict"].keys() == task.state_dict().keys()
    for name, tensor in task.state_dict().items():
        assert torch.equal(tensor, stored["state_dict"][name])
    assert task.predict_step({"video": torch.rand(1, 3, 2, 4, 4)}, 0).shape == (1, 3, 2, 4, 4)


def test_a_checkpoint_tells_how_it_was_made(trained: Path) -> None:
    config = read_checkpoint(trained)["config"]
    assert config["optim"]["lr"] == 0.01
    assert config["monitor"] == {"metric": "val/loss", "mode": "min"}
    assert config["versions"]["torch"] == torch.__version__
    assert {"task", "model", "datamodule", "seed"} <= config.keys()


@pytest.mark.parametrize("part", ["model", "task"])
@pytest.mark.parametrize(
    "target", ["os.system", "torch.load", "tasks.toy_task.mse_loss", "models.toy_network.torch.load"]
)
def test_a_file_that_names_a_foreign_callable_is_refused(tmp_path: Path, trained: Path, part: str, target: str) -> None:
    content = torch.load(trained, weights_only=True)
    content["config"][part] = {"_target_": target, "command": f"touch {tmp_path / 'harm'}"}
    torch.save(content, tmp_path / "bad.ckpt")
    with pytest.raises(ConfigError, match="trusted"):
        load_task(tmp_path / "bad.ckpt")
    assert not (tmp_path / "harm").exists()


class Harm:
    """An object that would run code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


def test_stored_objects_are_not_executed(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "config": Harm(tmp_path / "harm")}, tmp_path / "bad.ckpt")
    with pytest.raises(CheckpointError, match=r"bad\.ckpt: holds objects other than tensors"):
        load_task(tmp_path / "bad.ckpt")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"model": {"w": torch.zeros(1)}},
            r"no state_dict and no config \(it has: model\).*\n.*model.pretrained=",
        ),
        ({"state_dict": {}, "epoch": 1}, r"no config \(it has: state_dict, epoch\)"),
        ({"state_dict": {}, "config": {"model": {}}}, r"no config\.task"),
        ([1, 2], r"it has: list"),
    ],
)
def test_a_file_of_another_project_says_what_it_lacks_and_how_to_use_it(
    tmp_path: Path, content: object, message: str
) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=message):
        load_task(tmp_path / "other.pth")


def test_a_damaged_file_and_a_missing_one_are_named(tmp_path: Path, trained: Path) -> None:
    (tmp_path / "cut.ckpt").write_bytes(trained.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"cut\.ckpt: cannot be read"):
        load_task(tmp_path / "cut.ckpt")
    with pytest.raises(FileNotFoundError, match=r"none\.ckpt"):
        load_task(tmp_path / "none.ckpt")


def test_weights_of_another_shape_are_refused(tmp_path: Path, trained: Path) -> None:
    content = torch.load(trained, weights_only=True)
    content["config"]["model"]["hidden"] = 10
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="do not suit"):
        load_task(tmp_path / "other.ckpt")


def test_last_and_best_are_those_of_the_run_folder(tmp_path: Path) -> None:
    assert resolve_checkpoint(None, tmp_path, "fit") is None
    assert resolve_checkpoint("last", tmp_path, "fit") is None
    for mode, word in (("fit", "best"), ("test", "last"), ("predict", "best")):
        with pytest.raises(ConfigError, match=f"ckpt_path={word}.*run_id=NAME"):
            resolve_checkpoint(word, tmp_path, mode)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for word in ("last", "best"):
        (folder / f"{word}.ckpt").touch()
        assert resolve_checkpoint(word, tmp_path, "test") == folder / f"{word}.ckpt"
    assert resolve_checkpoint(str(folder / "best.ckpt"), "elsewhere", "fit") == folder / "best.ckpt"
    with pytest.raises(ConfigError, match="no such file"):
        resolve_checkpoint("nowhere.ckpt", tmp_path, "test")


def test_a_finished_run_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(ConfigError, match="add ckpt_path=last to continue"):
        resolve_checkpoint(None, tmp_path, "fit")
    assert resolve_checkpoint(None, tmp_path, "test") is None
    (tmp_path / "hpc_ckpt_1.ckpt").touch()
    assert resolve_checkpoint(None, tmp_path, "fit") is None
