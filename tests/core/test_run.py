"""One job within a process: modes, loggers, warnings, and a run that is cut and continued."""

import csv
import logging
import os
import re
import warnings
from pathlib import Path

import pytest
import torch

from core.checkpoint import read_checkpoint
from core.command_line.overrides import composed
from core.errors import ConfigError
from core.outcome import DivergedError
from core.run import run
from tests.toy_project import add_toys, toy_config

add_toys()
FEW = ("trainer.max_epochs=2", "trainer.log_every_n_steps=2")


@pytest.fixture(autouse=True)
def leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):  # set by seed_everything
        monkeypatch.setenv(name, os.environ.get(name, "0"))


def columns(folder: Path) -> dict[str, list[str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows if row[name]] for name in rows[0]}


def state(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_training_returns_its_best_value_and_leaves_a_whole_run_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = run(toy_config(tmp_path, *FEW))
    found = columns(tmp_path)
    assert value == pytest.approx(min(float(one) for one in found["val/loss"]))
    assert {"train/loss", "val/loss", "lr-AdamW", "perf/clips_per_s", "data/wait_share"} <= found.keys()
    kept = [f"{name}.ckpt{suffix}" for name in ("best", "last") for suffix in ("", ".sha256")]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == kept
    shown = re.sub(r"\s+", " ", capsys.readouterr().out)
    for part in ("weight: 1.0", "GFLOPs per clip", "val/loss", "mode=test ckpt_path=", "ckpt_path=last"):
        assert part in shown
    assert "\x1b" not in shown


def test_the_initial_weights_depend_on_the_seed_alone(tmp_path: Path) -> None:
    nothing = ("trainer.max_epochs=1", "optim.lr=0", "optim.weight_decay=0")
    run(toy_config(tmp_path / "a", *nothing))
    run(toy_config(tmp_path / "b", *nothing, "callbacks=default", "datamodule.length=8"))
    run(toy_config(tmp_path / "c", *nothing, "seed=1"))
    a, b, c = (state(tmp_path / name / "checkpoints" / "last.ckpt") for name in "abc")
    assert same(a, b)
    assert not same(a, c)


@pytest.mark.parametrize("mode", ["validate", "test", "predict"])
def test_the_other_modes_use_a_checkpoint_and_return_nothing(tmp_path: Path, mode: str) -> None:
    run(toy_config(tmp_path / "fit", "trainer.max_epochs=1"))
    best = tmp_path / "fit" / "checkpoints" / "best.ckpt"
    assert run(toy_config(tmp_path / "eval", f"mode={mode}", f"ckpt_path={best}")) is None
    if mode != "predict":
        stage = {"validate": "val", "test": "test"}[mode]
        measured = float(columns(tmp_path / "eval")[f"{stage}/loss"][0])
        assert measured == pytest.approx(float(columns(tmp_path / "fit")["val/loss"][0]), rel=1e-5)


@pytest.mark.parametrize("logger", ["csv", "tensorboard"])
def test_an_evaluation_in_the_folder_of_a_training_leaves_its_metrics_as_they_are(tmp_path: Path, logger: str) -> None:
    run(toy_config(tmp_path, f"logger={logger}", "trainer.max_epochs=1"))
    trained = (tmp_path / "metrics.csv").read_bytes()
    run(toy_config(tmp_path, f"logger={logger}", "mode=validate", "ckpt_path=best"))
    assert (tmp_path / "metrics.csv").read_bytes() == trained
    assert "val/loss" in (tmp_path / "metrics_validate.csv").read_text()


def test_a_training_can_end_with_a_test_of_its_best_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    worse = ("trainer.max_epochs=3", "monitor.mode=max")  # the loss falls, so the first is the best
    run(toy_config(tmp_path, *worse, "test_after_fit=true"))
    found = columns(tmp_path)
    assert float(found["test/loss"][0]) == pytest.approx(float(found["val/loss"][0]), rel=1e-5)
    assert float(found["test/loss"][0]) != pytest.approx(float(found["val/loss"][-1]), rel=1e-3)
    assert f"test        test/loss {float(found['test/loss'][0]):.5g}" in capsys.readouterr().out


@pytest.mark.parametrize("logger", ["none", "tensorboard", "[csv,tensorboard]"])
def test_metrics_are_in_a_file_whatever_loggers_are_chosen_but_none(tmp_path: Path, logger: str) -> None:
    run(toy_config(tmp_path, f"logger={logger}", "trainer.max_epochs=1", "trainer.log_every_n_steps=1"))
    assert (tmp_path / "metrics.csv").exists() == (logger != "none")
    assert (tmp_path / "tensorboard").is_dir() == ("tensorboard" in logger)


@pytest.mark.parametrize(
    "switches",
    [
        ("debug=fast",),
        ("debug=overfit", "trainer.max_epochs=2"),
        ("debug=profile",),
        ("callbacks=none", "logger=none"),
        ("+trainer.enable_checkpointing=false", "trainer.enable_progress_bar=false"),
        ("compile=true", "trainer.fast_dev_run=true"),
    ],
    ids=" ".join,
)
def test_switches_work_together(tmp_path: Path, switches: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: None)  # a compiler is not what is tested here
    monkeypatch.chdir(tmp_path)
    run(toy_config(tmp_path, *switches))
    assert (tmp_path / "fit-profile.txt").exists() == ("debug=profile" in switches)


def test_two_and_two_epochs_are_four_bit_by_bit(tmp_path: Path) -> None:
    run(toy_config(tmp_path / "straight", "trainer.max_epochs=4"))
    run(toy_config(tmp_path / "cut", "trainer.max_epochs=2"))
    run(toy_config(tmp_path / "cut", "trainer.max_epochs=4", "ckpt_path=last"))
    assert same(*(state(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("straight", "cut")))
    straight, cut = columns(tmp_path / "straight"), columns(tmp_path / "cut")
    assert straight["val/loss"] == cut["val/loss"]


@pytest.mark.parametrize("steps", [7, 8, 12])
def test_a_run_cut_anywhere_continues_exactly(tmp_path: Path, steps: int) -> None:
    often = ("trainer.max_epochs=3", "trainer.log_every_n_steps=1", "callbacks.last.interval_s=0")  # after each batch
    run(toy_config(tmp_path / "straight", *often))
    run(toy_config(tmp_path / "cut", *often, f"trainer.max_steps={steps}"))
    assert read_checkpoint(tmp_path / "cut" / "checkpoints" / "last.ckpt")["global_step"] == steps
    run(toy_config(tmp_path / "cut", *often, "ckpt_path=last"))
    assert same(*(state(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("straight", "cut")))


def test_the_last_checkpoint_is_that_of_the_end_also_when_nothing_improves(tmp_path: Path) -> None:
    run(toy_config(tmp_path, "trainer.max_epochs=3", "monitor.mode=max"))  # the loss falls, so the first is the best
    best, last = (read_checkpoint(tmp_path / "checkpoints" / f"{name}.ckpt") for name in ("best", "last"))
    assert (best["epoch"], last["epoch"]) == (0, 2)


def test_a_run_is_not_overwritten_and_starts_fresh_where_there_is_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    run(toy_config(tmp_path, "trainer.max_epochs=1", "ckpt_path=last"))
    assert "starting fresh" in caplog.text
    with pytest.raises(ConfigError, match="ckpt_path=last"):
        run(toy_config(tmp_path, "trainer.max_epochs=1"))


def test_what_has_no_effect_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(toy_config(tmp_path, "trainer.max_epochs=1"))
    run(toy_config(tmp_path, "trainer.max_epochs=2", "ckpt_path=last", "optim.lr=0.5"))
    assert "optim.lr=0.5 has no effect" in caplog.text
    assert float(columns(tmp_path)["lr-AdamW"][-1]) == 0.01


def test_a_monitored_metric_that_is_not_logged_is_answered_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"monitor.metric=val/los: no such metric is logged; did you mean 'val/loss'"):
        run(toy_config(tmp_path, "trainer.max_epochs=1", "monitor.metric=val/los"))


@pytest.mark.parametrize("switch", ["trainer.max_epochs=1", "+trainer.enable_checkpointing=false"])
def test_a_training_without_one_finite_monitored_value_fails(tmp_path: Path, switch: str) -> None:
    diverging = ("trainer.max_epochs=1", "optim.lr=1e30", "nonfinite=skip", "test_after_fit=true", switch)
    with pytest.raises(DivergedError, match=r"^monitor.metric=val/loss: .* best is (inf|nan); lower optim.lr"):
        run(toy_config(tmp_path, *diverging))
    assert "test/loss" not in columns(tmp_path)


def test_a_value_that_the_optimizer_refuses_is_answered_before_the_data_is_touched(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="optim: Invalid learning rate: -1"):
        run(toy_config(tmp_path, "optim.lr=-1.0"))


def test_the_rate_is_scaled_to_the_batch_over_accumulation(tmp_path: Path) -> None:
    batch = ("optim.reference_batch=4", "trainer.accumulate_grad_batches=3", "trainer.log_every_n_steps=1")
    run(toy_config(tmp_path, "trainer.max_epochs=1", *batch))
    assert float(columns(tmp_path)["lr-AdamW"][-1]) == pytest.approx(0.01 * 2 * 3 / 4)
    assert read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["config"]["optim"]["lr"] == 0.01


@pytest.mark.slow
def test_wandb_works_offline_without_an_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    run(toy_config(tmp_path, "trainer.max_epochs=1", "logger=[csv,wandb]", "logger.wandb.offline=true"))
    import wandb

    wandb.finish()
    assert list(tmp_path.glob("wandb/offline-run-*"))
    assert (tmp_path / "metrics.csv").exists()


def test_what_a_datamodule_calls_exact_reaches_the_task_unrounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datamodules.toy_clips import Clips
    from tasks.toy_task import Restoration

    seen, step = set(), Restoration.training_step

    def watched(self: Restoration, batch: dict, batch_idx: int) -> torch.Tensor:
        seen.add(batch["video"].dtype)
        return step(self, batch | {"video": batch["video"].bfloat16()}, batch_idx)

    monkeypatch.setattr(Restoration, "training_step", watched)
    low = ("trainer.precision=bf16-true", "trainer.limit_train_batches=1", "trainer.limit_val_batches=0")
    for exact, dtype in (((), torch.bfloat16), (("video",), torch.float32)):
        monkeypatch.setattr(Clips, "exact", exact, raising=False)
        run(toy_config(tmp_path / str(len(exact)), "trainer.max_epochs=1", *low, "callbacks=none", "monitor=null"))
        assert seen == {dtype}
        seen.clear()


def test_lightning_says_what_is_news_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        run(toy_config(tmp_path / "a", "trainer.max_epochs=1"))
    said = [record.getMessage() for record in caplog.records if record.name.startswith("lightning")]
    assert [text for text in said if not torch.cuda.is_available() or "GPU" not in text] == []
    caplog.clear()
    best = tmp_path / "a" / "checkpoints" / "best.ckpt"
    with caplog.at_level(logging.INFO), warnings.catch_warnings():
        warnings.filterwarnings("error", message="The dirpath has changed")
        run(toy_config(tmp_path / "c", "mode=test", f"ckpt_path={best}"))
    assert [text for text in caplog.messages if str(best) in text] == [
        f"Loaded model weights from the checkpoint at {best}"
    ]
    caplog.clear()
    with caplog.at_level(logging.INFO):
        run(toy_config(tmp_path / "b", "trainer.max_epochs=2", "trainer.max_steps=3"))
    assert "`Trainer.fit` stopped: `max_steps=3` reached." in caplog.messages


@pytest.mark.parametrize("job", ("task=classify model=mfnet_tiny", "task=fbil datamodule.normalization=zero_one"))
def test_pixels_that_do_not_suit_the_model_are_refused_before_any_data_is_made(tmp_path: Path, job: str) -> None:
    folders = [f"paths.{name}={tmp_path / name}" for name in ("data", "logs", "run")]
    with pytest.raises(ValueError, match=r"^datamodule\.normalization=\w+: a mean of .*choose the normalization"):
        run(composed([*job.split(), *folders, "trainer.accelerator=cpu"]))
    assert not (tmp_path / "data").exists()
