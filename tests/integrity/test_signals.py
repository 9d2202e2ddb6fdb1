"""A run that is asked to end saves, leaves with exit code 143, and continues as if nothing had happened."""

import csv
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from core.run import run
from core.signals import ASKING, Stopped, request
from tests.toy_project import add_toys, make_project, run_script, toy_config

add_toys()
TIMES = ("perf/", "data/")  # metrics that tell times


@pytest.fixture
def listening() -> Iterator[None]:
    """Have this process answer signals as train.py does."""
    before = {number: signal.getsignal(number) for number in ASKING}
    request.__init__()
    request.listen()
    yield
    request.__init__()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


def trouble(moment: str, count: int = 1, what: str = "SIGTERM", rank: int = 0) -> str:
    node = f"_target_:callbacks.toy_trouble.Trouble,moment:{moment},count:{count},what:{what},rank:{rank}"
    return f"+callbacks.trouble={{{node}}}"


def result(folder: Path) -> dict:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def rows(folder: Path) -> dict[str, dict[str, str]]:
    """Metrics by step; where a step was repeated the later row counts."""
    found: dict[str, dict[str, str]] = {}
    with (folder / "metrics.csv").open() as file:
        for row in csv.DictReader(file):
            told = {name: value for name, value in row.items() if value and not name.startswith(TIMES)}
            found.setdefault(row["step"], {}).update(told)
    return found


TOY = ("trainer.max_epochs=3", "trainer.log_every_n_steps=1")  # six steps each


@pytest.mark.parametrize(
    ("moment", "count", "step", "overrides"),
    [
        ("train_batch", 3, 3, ()),
        ("train_batch", 6, 6, ()),
        ("train_batch", 7, 7, ()),
        ("validation_batch", 1, 6, ()),
        ("validation_batch", 6, 6, ()),
        ("saving", 1, 7, ()),
        ("train_batch", 3, 2, ("trainer.accumulate_grad_batches=2",)),
        ("train_batch", 5, 2, ("trainer.accumulate_grad_batches=4",)),
        ("train_batch", 3, 3, ("+trainer.val_check_interval=3",)),
        ("validation_batch", 8, 6, ("+trainer.val_check_interval=3",)),
        ("train_batch", 6, 6, ("trainer.check_val_every_n_epoch=2", "monitor.metric=train/loss")),
    ],
)
def test_a_signal_ends_the_run_after_its_step_and_nothing_is_lost(
    moment: str, count: int, step: int, overrides: tuple[str, ...], tmp_path: Path, listening: None
) -> None:
    run(toy_config(tmp_path / "straight", *TOY, *overrides))
    with pytest.raises(Stopped) as caught:
        run(toy_config(tmp_path / "cut", *TOY, *overrides, trouble(moment, count)))
    assert caught.value.code == 143
    assert result(tmp_path / "cut")["global_step"] == step
    request.__init__()
    request.listen()
    run(toy_config(tmp_path / "cut", *TOY, *overrides, "ckpt_path=last"))
    straight, cut = result(tmp_path / "straight"), result(tmp_path / "cut")
    assert all(torch.equal(cut["state_dict"][name], value) for name, value in straight["state_dict"].items())
    assert cut["global_step"] == straight["global_step"]
    assert rows(tmp_path / "cut") == rows(tmp_path / "straight")


# Runs trainings on two forked ranks, each once straight, once stopped by a signal, and once continued.
ON_TWO_RANKS = """
import json, sys
from pathlib import Path
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from core import run_id
from core.run import run
from core.signals import Stopped, request

FIXED = ["task=toy", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp_fork", "run_id=x",
         "trainer.log_every_n_steps=1", "trainer.max_epochs=3", "datamodule.length=13"]

def job(name, *overrides):
    request.__init__()
    request.listen()
    with initialize_config_dir(str(Path("conf").absolute()), version_base="1.3"):
        cfg = compose("train", [*FIXED, f"paths.run={Path(name).absolute()}", *overrides])
    try:
        run(OmegaConf.create(OmegaConf.to_container(cfg, resolve=True)))
        code = 0
    except Stopped as stopped:
        code = stopped.code
    return code, torch.load(f"{name}/checkpoints/last.ckpt", weights_only=True)

_, straight = job("straight")
found = {}
for name, trouble in json.loads(sys.argv[1]).items():
    code, cut = job(name, trouble)
    ended, continued = job(name, "ckpt_path=last")
    equal = all(torch.equal(continued["state_dict"][n], t) for n, t in straight["state_dict"].items())
    found[name] = [code, cut["global_step"], ended, continued["global_step"] == straight["global_step"] and equal]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_signal_to_one_rank_ends_all_after_the_same_step_and_nothing_is_lost(project: Path) -> None:
    cases = {
        "second_rank": trouble("train_batch", 2, rank=1),
        "first_rank": trouble("train_batch", 5, rank=0),
        "end_of_epoch": trouble("train_batch", 3, rank=1),
        "validation": trouble("validation_batch", 2, rank=1),  # the first rank has a batch more
        "last_of_validation": trouble("validation_batch", 4, rank=0),
        "saving": trouble("saving", 1, rank=1),
    }
    found = run_script(project, ON_TWO_RANKS, json.dumps(cases))
    steps = {"second_rank": 2, "first_rank": 5, "end_of_epoch": 3, "validation": 3, "last_of_validation": 3}
    assert found == {name: [143, steps.get(name, 4), 0, True] for name in cases}
