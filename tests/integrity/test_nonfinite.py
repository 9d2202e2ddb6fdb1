"""A NaN costs one step and leaves a file that tells of its samples; it is in no parameter, on no rank."""

import copy
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.utils.data import DataLoader

from callbacks.batch_facts import BatchFacts
from callbacks.nonfinite import NonFinite, NonFiniteError
from core.run import run
from tests.toy_project import add_toys, make_project, run_script, toy_config, trouble

add_toys()
FAULT = 3  # the batch that is wrong, counted from 0
ONCE = range(FAULT, FAULT + 1)


class Regression(LightningModule):
    """A layer with running means, and a loss that goes wrong in one of three ways at one batch."""

    def __init__(self, way: str, optimizer: Any, faults: range) -> None:
        super().__init__()
        self.way, self.optimizer, self.faults = way, optimizer, faults
        self.model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        wrong = batch_idx in self.faults
        x = batch["x"].clone()
        if wrong and self.way == "input":
            x[0, 0] = torch.nan
        value = self.model(x).float()
        loss = value.square().mean()
        if wrong and self.way == "gradient":  # finite, but d sqrt(x) / dx is infinite at 0
            loss = loss + (0 * value.sum()).sqrt()
        if wrong and self.way == "loss":  # clamp hands no gradient on
            loss = loss + (value.sum() * torch.inf).clamp(torch.inf, torch.inf) - 0
        return loss.reshape(1) if self.way == "vector" else loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.parameters())


class Trajectory(Callback):
    """State of task and optimizer after every batch."""

    def __init__(self) -> None:
        self.states: list[tuple[dict, dict]] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.states.append(copy.deepcopy((pl_module.state_dict(), trainer.optimizers[0].state_dict()["state"])))


def train(
    folder: Path, way: str, faults: range = range(FAULT, FAULT + 1), fused: bool = False, **options: Any
) -> tuple:
    torch.manual_seed(0)
    samples = [{"x": torch.randn(4), "name": f"clip{index}", "index": index} for index in range(32)]
    limits = {name: options.pop(name) for name in ("action", "max_skipped") if name in options}
    nonfinite, trajectory = NonFinite(folder / "nonfinite", **{"action": "skip"} | limits), Trajectory()

    def optimizer(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1, fused=fused)

    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    options |= dict.fromkeys(quiet, False)
    callbacks = [nonfinite, trajectory, *options.pop("callbacks", [])]
    trainer = Trainer(accelerator="cpu", devices=1, max_epochs=1, callbacks=callbacks, **options)
    trainer.fit(Regression(way, optimizer, faults), DataLoader(samples, batch_size=4))
    return trainer, nonfinite, trajectory.states


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return all(equal(*pair) for pair in zip(one, other, strict=True))
    return torch.equal(one, other) if isinstance(one, Tensor) else one == other


@pytest.mark.parametrize("way", ["input", "gradient", "loss"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient_clip_val": 0.5},
        {"gradient_clip_val": 0.5, "gradient_clip_algorithm": "value"},
        {"accumulate_grad_batches": 2},
        {"precision": "bf16-mixed"},
        {"precision": "64-true"},
    ],
    ids=str,
)
def test_a_step_that_is_skipped_changes_nothing_but_the_counters(way: str, options: dict, tmp_path: Path) -> None:
    every = options.get("accumulate_grad_batches", 1)
    trainer, nonfinite, states = train(tmp_path, way, **options)
    assert trainer.global_step == 8 // every and nonfinite.skipped == 1
    steps = [states[index] for index in range(every - 1, 8, every)]
    same = [equal(before, after) for before, after in pairwise(steps)]
    assert same == [step == FAULT // every for step in range(1, len(steps))]
    assert all(value.isfinite().all() for value in steps[-1][0].values())
    assert [file.name for file in (tmp_path / "nonfinite").iterdir()] == [f"step_{FAULT // every:06d}.json"]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("way", ["input", "loss"])
def test_the_same_with_a_scaler(way: str, fused: bool, tmp_path: Path) -> None:
    _, nonfinite, states = train(tmp_path, way, fused=fused, plugins=[scaler(1024.0)])
    same = [equal(before, after) for before, after in pairwise(states)]
    assert same == [step == FAULT for step in range(1, 8)]
    assert nonfinite.skipped == 1


def scaler(scale: float) -> MixedPrecision:
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=scale))


def test_gradients_that_overflow_are_the_business_of_the_scaler(tmp_path: Path) -> None:
    trainer, nonfinite, states = train(tmp_path, "none", plugins=[scaler(2.0**30)], action="stop")
    assert trainer.precision_plugin.scaler.get_scale() < 2.0**30
    assert any(equal(before, after) for before, after in pairwise(states))  # steps that the scaler left out
    assert nonfinite.skipped == 0 and not (tmp_path / "nonfinite").exists()


def test_a_gradient_that_no_scale_makes_finite_is_a_fault(tmp_path: Path) -> None:
    _, nonfinite, _ = train(tmp_path, "gradient", range(2, 8), plugins=[scaler(4.0)])
    assert nonfinite.skipped == 4  # scales 4 and 2 were the scaler's to lower


class Counting(Callback):
    """Change a buffer after every step, as an average of weights does."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        pl_module.register_buffer("batches", torch.zeros(()))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        pl_module.batches += 1


def test_what_follows_a_step_is_not_undone_with_the_next(tmp_path: Path) -> None:
    trainer, _, _ = train(tmp_path, "input", callbacks=[Counting()])
    assert trainer.lightning_module.batches == 8


def test_a_loss_may_be_a_vector_of_one(tmp_path: Path) -> None:
    _, nonfinite, states = train(tmp_path, "vector")
    assert nonfinite.skipped == 0 and not equal(*states[:2])


def test_stop_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match=r"step 3: the loss is not finite; .*/step_000003.json tells of which"):
        train(tmp_path, "input", action="stop")


def test_more_skipped_steps_than_allowed_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match=r"2 steps were left out before.*max_skipped=2"):
        train(tmp_path, "input", range(3, 8), max_skipped=2)
    assert len(list((tmp_path / "nonfinite").iterdir())) == 3


def test_the_file_tells_samples_and_statistics(tmp_path: Path) -> None:
    train(tmp_path, "gradient", accumulate_grad_batches=2)
    told = json.loads((tmp_path / "nonfinite" / "step_000001.json").read_text(), parse_constant=pytest.fail)
    assert (told["step"], told["epoch"], told["lr"], told["not_finite"]) == (1, 0, [0.01], "gradient")
    assert told["gradient_norm"] in ("nan", "inf")
    assert "model.3.weight" in told["gradients_not_finite"] and told["parameters_not_finite"] == []
    [rank] = told["ranks"]
    assert rank["rank"] == 0 and len(rank["losses"]) == 2 and 0 < rank["losses"][0] < 10
    first, second = rank["batches"]
    assert first["name"] + second["name"] == [f"clip{index}" for index in range(8, 16)]
    assert second["index"] == [12, 13, 14, 15]
    torch.manual_seed(0)
    x = torch.stack([torch.randn(4) for _ in range(32)])[12:16]
    assert second["x"]["min"] == pytest.approx(x.amin(1).tolist()) and second["x"]["non_finite"] == [0] * 4
    assert second["x"]["mean"] == pytest.approx(x.mean(1).tolist(), abs=1e-6)
    assert second["x"]["max"] == pytest.approx(x.amax(1).tolist())


def test_values_that_are_not_finite_are_counted_per_sample() -> None:
    clips = torch.tensor([[1.0, 2, 3], [torch.nan, 5, torch.inf], [torch.nan] * 3])
    told = BatchFacts({"video": clips, "label": torch.tensor([1, 0, 1]), "name": ["a", "b", "c"]}).told()
    assert told["video"]["non_finite"] == [0, 2, 3]
    assert told["video"]["min"] == [1, 5, "inf"] and told["video"]["mean"] == [2, 5, "nan"]
    assert told["label"] == [1, 0, 1] and told["name"] == ["a", "b", "c"]


@pytest.mark.parametrize("shape", [(0, 5), (2, 0, 4)], ids=str)
def test_a_batch_without_any_box_is_no_obstacle(shape: tuple[int, ...]) -> None:
    told = BatchFacts({"boxes": torch.empty(shape), "name": ["a", "b"]}).told()
    assert told["boxes"]["non_finite"] == [0] * shape[0] and told["boxes"]["min"] == ["inf"] * shape[0]
    json.dumps(told, allow_nan=False)


STEPS = ("trainer.max_epochs=2", "trainer.log_every_n_steps=1")  # six steps each


def result(folder: Path) -> dict:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def test_a_run_that_stopped_goes_on_when_it_is_told_to_skip(tmp_path: Path) -> None:
    nan = trouble("train_batch", 8, what="spoil")
    run(toy_config(tmp_path / "skips", *STEPS, nan, "nonfinite=skip"))
    with pytest.raises(NonFiniteError, match=r"step 7: .*\n  nonfinite=skip leaves such steps out"):
        run(toy_config(tmp_path / "stops", *STEPS, nan))
    assert result(tmp_path / "stops")["global_step"] == 6
    again = trouble("train_batch", 2, what="spoil")  # the second batch after the checkpoint
    run(toy_config(tmp_path / "stops", *STEPS, again, "nonfinite=skip", "ckpt_path=last"))
    skips, stops = result(tmp_path / "skips"), result(tmp_path / "stops")
    assert equal(skips["state_dict"], stops["state_dict"]) and skips["global_step"] == stops["global_step"] == 12
    assert "train/skipped_steps" in (tmp_path / "skips" / "metrics.csv").read_text().splitlines()[0]


def test_restarts_do_not_begin_to_count_anew(tmp_path: Path) -> None:
    bounded = "nonfinite=skip", "callbacks.nonfinite.max_skipped=1"
    run(toy_config(tmp_path, "trainer.max_epochs=1", *bounded, trouble("train_batch", 2, what="spoil")))
    with pytest.raises(NonFiniteError, match="1 steps were left out before"):
        run(toy_config(tmp_path, *STEPS, *bounded, trouble("train_batch", 2, what="spoil"), "ckpt_path=last"))


ON_TWO_RANKS = """
import json, sys
from pathlib import Path
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from core import run_id
from core.run import run

FIXED = ["task=toy", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp_fork", "run_id=x",
         "trainer.max_epochs=2", "+callbacks.witness={_target_:callbacks.toy_witness.Witness,folder:${paths.run}}"]
found = {}
for name, overrides in json.loads(sys.argv[1]).items():
    folder = Path(name).absolute()
    with initialize_config_dir(str(Path("conf").absolute()), version_base="1.3"):
        cfg = compose("train", [*FIXED, f"paths.run={folder}", *overrides])
    try:
        run(OmegaConf.create(OmegaConf.to_container(cfg, resolve=True)))
        error = ""
    except Exception as failure:
        error = str(failure)
    ranks = [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1) if not error]
    equal = all(torch.equal(value, other[key]) for other in ranks for key, value in ranks[0].items())
    finite = all(value.isfinite().all().item() for rank in ranks for value in rank.values())
    files = {file.name: json.loads(file.read_text()) for file in folder.glob("nonfinite/*")}
    found[name] = {"error": error, "equal": equal, "finite": finite, "files": files}
print(json.dumps(found))
"""


@pytest.mark.slow
def test_ranks_skip_together_and_stay_equal(tmp_path: Path) -> None:
    on_second = {"rank": 1, "what": "spoil"}
    cases = {
        "input": ["nonfinite=skip", trouble("train_batch", 2, **on_second)],
        "loss": ["nonfinite=skip", trouble("loss", 2, **on_second)],  # gradients are finite on both
        "stop": ["nonfinite=stop", trouble("loss", 2, **on_second)],
    }
    found = run_script(make_project(tmp_path), ON_TWO_RANKS, json.dumps(cases))
    for name in ("input", "loss"):
        assert not found[name]["error"] and found[name]["equal"] and found[name]["finite"], found[name]
        [(file, told)] = found[name]["files"].items()
        first, second = told["ranks"]
        assert file == "step_000001.json" and second["losses"] == ["nan"] and first["losses"][0] > 0
        assert not set(first["batches"][0]["name"]) & set(second["batches"][0]["name"])
    assert "step 1: the loss is not finite" in found["stop"]["error"]
