"""Checkpoints stand alone, and nothing stored in them is executed."""

import os
import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.checkpoint import CheckpointError, load_task, read_checkpoint, resolve_checkpoint
from core.checkpoint.plugin import CheckpointFiles
from core.checkpoint.sums import digest_of, sum_file
from core.checkpoint.writing import write_checkpoint
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


FOREIGN = [
    *("os.system", "torch.load", "builtins.eval", "lightning.Trainer", "datamodules.toy_clips.Clips", "core.run.run"),
    *("tasks.toy_task.mse_loss", "models.toy_network.torch.load", "models.toy_network.nn.Linear"),
    *("models.toy_network.__loader__.get_data", "models.toy_network.Autoencoder.forward.__globals__.get"),
    *("models.toy_network.Autoencoder.register_forward_hook", "models", "models.", "models.toy_network", "", "${name}"),
]


@pytest.mark.parametrize("part", ["model", "task"])
@pytest.mark.parametrize("target", FOREIGN)
def test_a_file_that_names_a_foreign_callable_is_refused(tmp_path: Path, trained: Path, part: str, target: str) -> None:
    content = torch.load(trained, weights_only=True)
    content["config"][part] = {"_target_": target, "command": f"touch {tmp_path / 'harm'}"}
    torch.save(content, tmp_path / "bad.ckpt")
    with pytest.raises(ConfigError, match=rf"{part}\._target_=|an interpolation"):
        load_task(tmp_path / "bad.ckpt")
    assert not (tmp_path / "harm").exists()


WRAPPINGS = {
    "a value": lambda hostile: hostile,
    "a value of a value": lambda hostile: {"a": {"b": hostile}},
    "a list": lambda hostile: [1, [hostile]],
    "a tuple": lambda hostile: (1, (hostile,)),
    "an ordered dictionary": lambda hostile: OrderedDict(a=hostile),
    "arguments": lambda hostile: {"_target_": "models.toy_network.Autoencoder", "_args_": [hostile]},
    "an interpolation": lambda hostile: f"${{oc.create:'{{_target_: os.mkdir, _args_: {hostile['_args_']}}}'}}",
    "a key": lambda hostile: {f"${{oc.create:'{{_target_: os.mkdir, _args_: {hostile['_args_']}}}'}}": 1},
}


@pytest.mark.parametrize("place", ["extra", "activation", "_args_"])
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_foreign_callable_is_found_wherever_it_hides(
    tmp_path: Path, trained: Path, wrapping: str, place: str
) -> None:
    hostile = {"_target_": "os.mkdir", "_args_": [str(tmp_path / "harm")]}
    content = torch.load(trained, weights_only=True)
    wrapped = WRAPPINGS[wrapping](hostile)
    value = [wrapped] if place == "_args_" else wrapped
    # This class passes what it does not know on, so that no annotation stands in the way.
    content["config"]["model"] = {"_target_": "models.toy_network.DeepAutoencoder", place: value}
    torch.save(content, tmp_path / "bad.ckpt")
    with pytest.raises(ConfigError, match=r"outside the trusted packages|an interpolation"):
        load_task(tmp_path / "bad.ckpt")
    assert not (tmp_path / "harm").exists()


class Harm:
    """An object that would run code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "bare stream"])
@pytest.mark.parametrize("summed", [True, False], ids=["with its sum", "without"])
def test_stored_objects_are_not_executed(tmp_path: Path, archive: bool, summed: bool) -> None:
    path = tmp_path / "bad.ckpt"
    content = {"state_dict": {}, "config": {"task": {}, "model": [Harm(tmp_path / "harm")]}}
    torch.save(content, path, _use_new_zipfile_serialization=archive)
    if summed:
        sum_file(path).write_text(f"{digest_of(path)}  {path.name}\n")
    for use in (load_task, read_checkpoint, CheckpointFiles().load_checkpoint):
        with pytest.raises(CheckpointError, match=r"bad\.ckpt: holds objects other than tensors.*system"):
            use(path)
    with pytest.raises(CheckpointError, match="holds objects"):
        CheckpointFiles().load_checkpoint(path, weights_only=False)
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
        ({"state_dict": {}, "config": 5}, r"no config \(it has"),
        ({"state_dict": {}, "config": {"model": {}, "task": [1]}}, r"no config\.task"),
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


def put(path: Path, step: int, **more: object) -> Path:
    """Write a checkpoint of a step, with its sum."""
    path.parent.mkdir(exist_ok=True)
    config = {"task": {}, "model": {}, "monitor": {"metric": "val/loss", "mode": "min"}}
    write_checkpoint({"state_dict": {}, "config": config, "global_step": step, **more}, path)
    return path


def test_last_and_best_are_those_of_the_run_folder(tmp_path: Path) -> None:
    assert resolve_checkpoint(None, tmp_path, "fit") is None
    assert resolve_checkpoint("last", tmp_path, "fit") is None
    for mode, word in (("fit", "best"), ("test", "last"), ("predict", "best")):
        with pytest.raises(ConfigError, match=f"ckpt_path={word}.*run_id=NAME"):
            resolve_checkpoint(word, tmp_path, mode)
    for word in ("last", "best"):
        path = put(tmp_path / "checkpoints" / f"{word}.ckpt", 3)
        assert resolve_checkpoint(word, tmp_path, "test") == path
    assert resolve_checkpoint("last", tmp_path, "test").stem == "last"  # of two with one step
    assert resolve_checkpoint(str(path), "elsewhere", "fit") == path
    with pytest.raises(ConfigError, match="no such file"):
        resolve_checkpoint("nowhere.ckpt", tmp_path, "test")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


def alter_sum(path: Path) -> None:
    sum_file(path).write_text(f"{'0' * 64}  {path.name}\n")


@pytest.mark.parametrize("damage", [cut, alter, alter_sum])
def test_last_is_the_newest_file_that_is_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    folder = tmp_path / "checkpoints"
    ranked = [
        put(tmp_path / "hpc_ckpt_1.ckpt", 40),
        put(folder / "last.ckpt", 30),
        put(folder / "best.ckpt", 30),
        put(folder / "best-001-000020.ckpt", 20),
    ]
    for step, path in enumerate(ranked):
        assert resolve_checkpoint("last", tmp_path, "fit") == path
        passed_over = {record.message.split("file: ")[1].split(".ckpt")[0] for record in caplog.records}
        assert passed_over == {str(earlier.with_suffix("")) for earlier in ranked[:step]}
        damage(path)
        caplog.clear()
        with pytest.raises(CheckpointError, match=rf"{path.name}: (truncated or altered|cannot be read)"):
            resolve_checkpoint(str(path), tmp_path, "fit")
    with pytest.raises(CheckpointError, match=r"no checkpoint of this run is whole(.|\n)*last\.ckpt: "):
        resolve_checkpoint("last", tmp_path, "fit")


def test_best_is_never_another_file_than_the_best(tmp_path: Path) -> None:
    scores = {"best-000-000010": 2.0, "best-001-000020": 1.0, "best-002-000030": 3.0}
    for number, (name, score) in enumerate(scores.items()):
        state = {"mine": {"monitor": "val/loss", "current_score": torch.tensor(score)}}
        put(tmp_path / "checkpoints" / f"{name}.ckpt", number, callbacks=state)
    best = tmp_path / "checkpoints" / "best-001-000020.ckpt"
    assert resolve_checkpoint("best", tmp_path, "test") == best
    alter_sum(best)
    with pytest.raises(CheckpointError, match=r"best-001-000020\.ckpt: truncated or altered"):
        resolve_checkpoint("best", tmp_path, "test")
    put(best, 1)
    with pytest.raises(CheckpointError, match=r"best-001-000020\.ckpt: does not say how good it is"):
        resolve_checkpoint("best", tmp_path, "test")


def test_a_finished_run_is_not_overwritten_and_a_preempted_one_continues(tmp_path: Path) -> None:
    put(tmp_path / "checkpoints" / "last.ckpt", 10)
    with pytest.raises(ConfigError, match="add ckpt_path=last to continue"):
        resolve_checkpoint(None, tmp_path, "fit")
    assert resolve_checkpoint(None, tmp_path, "test") is None
    saved_by_slurm = put(tmp_path / "hpc_ckpt_1.ckpt", 12)
    assert resolve_checkpoint(None, tmp_path, "fit") == saved_by_slurm
    cut(saved_by_slurm)
    assert resolve_checkpoint(None, tmp_path, "fit") == tmp_path / "checkpoints" / "last.ckpt"
