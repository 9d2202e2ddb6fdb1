"""What the command line answers before a job starts: the zoo, or one message about what is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.toy_project import make_project, run_python, run_script

# Checks every command line of a list in one process; says what each was answered and whether torch was imported for it.
CHECK_ALL = """
import json, sys
from core.command_line.check import check_overrides
from core.errors import ConfigError
answers = []
for line in json.loads(sys.argv[1]):
    multirun, line = "-m" in line, [part for part in line if part != "-m"]
    try:
        check_overrides(line, multirun)
        answers.append("")
    except ConfigError as error:
        answers.append(str(error))
print(json.dumps({"answers": answers, "heavy": sorted({"torch", "lightning", "numpy"} & set(sys.modules))}))
"""
RIGHT = [
    "task=toy",
    "experiment=toy_longer",
    "task=toy model=deep_autoencoder",
    "task=toy ~task.weight task._target_=tasks.toy_task.Rehearsal",
    "task=toy trainer.devices=2 trainer.devices=[0,1] trainer.accelerator=cpu trainer.precision=bf16-mixed",
    "task=toy logger=[csv,tensorboard] callbacks=[default] debug=fast",
    "task=toy datamodule=clips_elsewhere datamodule.root=/data",
    "task=toy optim.lr=1 optim.weight_decay=0 optim.reference_batch=256 +optim.fused=null",
    "task=toy +trainer.min_epochs=2 trainer.max_time=00:12:00:00 trainer.limit_val_batches=0.5",
    "task=toy ckpt_path=last run_id=first_try seed=3 compile=true mode=validate",
    "-m task=toy optim.lr=0.1,0.2 model=autoencoder,deep_autoencoder seed=range(0,3)",
    "-m task=toy model=glob(*autoencoder,exclude=wide*) ~callbacks.throughput",
]
# command line: key and value as typed, further words of the answer, the nearest right name
WRONG = {
    "task=toy model.hiden=3": ("model.hiden=3", "no such key", "hidden, activation", "'model.hidden'"),
    "task=toy modle.hidden=3": ("modle.hidden=3", "no such key", "model", "'model.hidden'"),
    "task=toy lr=0.1": ("lr=0.1", "no such key", "optim", "'optim.lr'"),
    "tasks=toy": ("tasks=toy", "no such key", "task", "'task'"),
    "task=toy ~sead": ("sead", "no such key", "seed", "'seed'"),
    "task=toy +sead=1": ("sead=1", "no such top-level key", "seed", "'seed'"),
    "task=toy +model.hiden=1": ("model.hiden=1", "no such parameter", "hidden, activation", "'model.hidden'"),
    "task=toy +trainer.acelerator=cpu": ("trainer.acelerator=cpu", "no such", "devices", "'trainer.accelerator'"),
    "task=toy model=deep_autoencoder +model.hiden=1": ("model.hiden=1", "DeepAutoencoder has no", "", "'model.hidden'"),
    "task=toy model=deep_autoencoder model.hidden=x": ("model.hidden=x", "expected", "a whole number", ""),
    "task=toy model.dropout=0.5": ("model.dropout=0.5", "taken by", "Autoencoder", "'+model.dropout'"),
    "task=toy +seed=1": ("+seed=1", "already", "leave out", "'seed'"),
    "task=toy model.hidden=wide": ("model.hidden=wide", "expected", "a whole number", ""),
    "task=toy seed=1.5": ("seed=1.5", "expected", "a whole number", ""),
    "task=toy optim.lr=fast": ("optim.lr=fast", "expected", "a number", ""),
    "task=toy optim.betas=[0.9]": ("optim.betas=[0.9]", "expected", "a list of 2 (a number, a number)", ""),
    "task=toy trainer.max_epochs=two": ("trainer.max_epochs=two", "expected", "a whole number or null", ""),
    "task=toy model.hidden=7": ("model.hidden=7", "expected", "hidden % 2 == 0", ""),
    "task=toy +model.dropout=1 model=deep_autoencoder": ("model.dropout=1", "expected", "0 <= dropout < 1", ""),
    "task=toy trainer.devices=two": ("trainer.devices=two", "expected", "indices such as [0,1]", ""),
    "task=toy trainer.devices=[]": ("trainer.devices=[]", "expected", "-1 for all", ""),
    "task=toy trainer.accelerator=gpuu": ("trainer.accelerator=gpuu", "one of", "auto, cpu, gpu", "'gpu'"),
    "task=toy trainer.strategy=dpp": ("trainer.strategy=dpp", "one of", "auto, ddp", "'ddp'"),
    "task=toy trainer.profiler=simpel": ("trainer.profiler=simpel", "one of", "simple, advanced", "'simple'"),
    "task=toy trainer.max_epochs=-2": ("trainer.max_epochs=-2", "expected", "max_epochs >= -1", ""),
    "task=toy optim.lr=-1": ("optim.lr=-1", "expected", "lr >= 0", ""),
    "task=toy optim.betas=[0.9,2]": ("optim.betas=[0.9, 2]", "expected", "0 <= betas < 1", ""),
    "-m task=toy seed=1,2 model.hidden=8,9": ("model.hidden=9", "expected", "hidden % 2 == 0", ""),
    "task=toy trainer.limit_val_batches=1.5": ("trainer.limit_val_batches=1.5", "expected", "<= 1", ""),
    "task=toy trainer.max_time=2h": ("trainer.max_time=2h", "expected", "DD:HH:MM:SS", ""),
    "task=toy callbacks.last.interval_s=-1": ("callbacks.last.interval_s=-1", "expected", "interval_s >= 0", ""),
    "task=toy paths.logs=train.py/logs": ("paths.logs=train.py/logs", "train.py is no folder", "", ""),
    "task=toy seed=-1": ("seed=-1", "expected", "from 0 to", ""),
    "task=toy compile=ture": ("compile=ture", "expected", "true or false", "'true'"),
    "task=toy model.activation=rely": ("model.activation=rely", "one of", "relu, gelu", "'relu'"),
    "task=toy trainer.precision=16-mixd": ("trainer.precision=16-mixd", "one of", "bf16-mixed", "'16-mixed'"),
    "task=toy mode=tset": ("mode=tset", "one of", "fit, validate, test, predict", "'test'"),
    "task=toy ~task.weight task._target_=tasks.toy_task.Rehearsal mode=test": ("mode=test", "no test_step", "fit", ""),
    "task=toy monitor.mode=mix": ("monitor.mode=mix", "one of", "min, max", "'min'"),
    "task=toy monitor=val/loss": ("monitor=val/loss", "mapping", "monitor.metric, monitor.mode", ""),
    "task=toy ~monitor": ("callbacks.best.monitor", "leave default out", "", ""),
    "task=tou": ("task=tou", "no such config", "toy", "'toy'"),
    "task=toy model=autoencodr": ("model=autoencodr", "no such config", "classifier", "'autoencoder'"),
    "task=toy callbacks=[default,panls]": ("callbacks=panls", "no such config", "default, features, none", "'panels'"),
    "task=toy callbacks.panels.num_clips=2": ("callbacks.panels.num_clips=2", "not chosen", "[default,panels]", ""),
    "task=toy logger.wandb.offline=true": ("logger.wandb.offline=true", "not chosen", "logger=[csv,wandb]", ""),
    "task=toy callbacks.panel.num_clips=2": ("callbacks.panel.num_clips=2", "no such key", "best, last", ""),
    "task=toy logger=null": ("logger=null", "choose none", "csv, none, tensorboard, wandb", "'logger=none'"),
    "model=autoencoder": ("task", "missing", "task=NAME", ""),
    "task=toy datamodule=clips_elsewhere": ("datamodule.root", "missing", "expected text", ""),
    "task=toy optim._target_=os.system": ("optim._target_=os.system", "trusted", "models, datamodules", ""),
    "task=toy model._target_=modles.toy_network.Autoencoder": ("model._target_=modles", "trusted", "torch", "'models'"),
    "task=toy model._target_=models.toy_network.Autoencodr": ("model._target_=", "no such class", "", "Autoencoder'"),
    "task=toy datamodule=sounds": ("datamodule=sounds", "lack video, index", "clips, clips_elsewhere", "Restoration"),
    "task=toy model=classifier": ("model=classifier", "is no models.toy_network.Autoencoder", "deep_autoencoder", ""),
    "task=toy model=broad_classifier": ("model=broad_classifier: models.", "is no", "wide_autoencoder", ""),
    "task=toy ckpt_path=lst": ("ckpt_path=lst", "no such file", "last, best, a file", "'last'"),
    "task=toy ckpt_path=trian.py": ("ckpt_path=trian.py", "no such file", "last, best", "'train.py'"),
    "task=toy model.pretrained=weights.pt": ("model.pretrained=weights.pt", "no such file", "", ""),
    "task=toy optim.reference_batch=0": ("optim.reference_batch=0", "positive whole number", "null", ""),
    "task=toy run_id=a/b": ("run_id=a/b", "one folder", "without slashes", ""),
    "task=toy optim.lr=0.1,0.2": ("optim.lr=0.1,0.2", "-m", "optim.lr=[0.1,0.2]", ""),
    "task=toy model.hidden=[1": ("model.hidden=[1", "cannot be read", "quote", ""),
    "toy": ("toy", "KEY=VALUE", "task=...", "'task=toy'"),
    "-m task=toy hydra/sweeper=optuna +hydra.sweeper.params.optim.lr=interval(0.1,0.2)": (
        "hydra.sweeper.params.optim.lr=",
        "to the key itself",
        "",
        "'optim.lr'",
    ),
    "-m task=toy hydra/sweeper=optuna hydra.sweeper.n_trials=two": ("Error merging", "n_trials=two", "Integer", ""),
    "-m task=toy optim.lr=0.1,0.2,high": ("optim.lr=high", "expected", "a number", ""),
    "-m task=toy model.hidden=4,8 model=autoencoder,autoencodr": ("model=autoencodr", "", "", "'autoencoder'"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def checked(project: Path) -> dict:
    lines = [line.split() for line in [*WRONG, *RIGHT]]
    return run_script(project, CHECK_ALL, json.dumps(lines))


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_override_is_answered_with_key_value_possibilities_and_nearest_name(checked: dict, line: str) -> None:
    answer = checked["answers"][list(WRONG).index(line)]
    assert answer.startswith(WRONG[line][0])
    for part in WRONG[line][1:]:
        assert part in answer
    assert "did you mean" in answer or "'" not in WRONG[line][-1]
    assert len(answer.splitlines()) <= 2


@pytest.mark.parametrize("line", RIGHT)
def test_a_right_command_line_passes(checked: dict, line: str) -> None:
    assert checked["answers"][len(WRONG) + RIGHT.index(line)] == ""


def test_nothing_is_imported_to_answer(checked: dict) -> None:
    assert checked["heavy"] == []


def test_the_program_prints_one_message_and_fails(project: Path) -> None:
    for line in ("task=toy model.hiden=3", "task=toy --device 3", "task=toy model.hidden=3 -m seed=1,x"):
        done = run_python(project, "train.py", *line.split())
        assert done.returncode == 1
        assert done.stdout == ""
        assert 1 <= len(done.stderr.splitlines()) <= 2
        assert "Traceback" not in done.stderr
    assert not (project / "logs").exists()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["task=toy", "-h"]], ids=["alone", "help", "help with a task"])
def test_help_is_the_zoo_also_without_a_task(project: Path, arguments: list[str]) -> None:
    done = run_python(project, "train.py", *arguments)
    assert done.returncode == 0
    for line in (
        "tasks  (task=NAME)",
        "toy  Restoration of noise",
        "autoencoder       two layers",
        "anomaly_report default features none panels",
    ):
        assert line in done.stdout


def test_help_may_be_read_in_part(repository: Path) -> None:
    command = f"{sys.executable} train.py --help | true"
    done = subprocess.run(["sh", "-c", command], cwd=repository, capture_output=True, text=True)
    assert done.stderr == ""


def test_processes_started_together_are_told_to_share_a_name(project: Path) -> None:
    done = run_python(project, "train.py", "task=toy", WORLD_SIZE="2", RANK="0", LOCAL_RANK="0")
    assert done.returncode == 1
    assert done.stderr.startswith("RUN_ID: missing")
