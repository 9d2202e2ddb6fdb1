"""Whole command lines: all ranks of a job share a folder and a config, the jobs of a sweep share nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from core.processes.one_config import config_hash
from tests.toy_project import isolated, make_project, run_python

pytestmark = pytest.mark.slow
TWO_RANKS = ("trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_epochs=1")
ON_CPU = ("trainer.accelerator=cpu", "trainer.max_epochs=1")

# A callback that writes what each rank ended with: its config and its parameters.
WITNESS = '''
"""Says what a rank ended with."""
from pathlib import Path
import torch
from lightning import Callback

class Witness(Callback):
    def __init__(self, folder: str, lr: float) -> None:
        self.folder, self.lr = Path(folder), lr
    def on_fit_end(self, trainer, pl_module) -> None:
        seen = {"lr": self.lr, "weights": dict(pl_module.state_dict()), "drawn": torch.rand(1)}
        torch.save(seen, self.folder / f"rank{trainer.global_rank}.pt")
'''
WITNESS_CONFIG = """# what each rank ended with
witness:
  _target_: callbacks.witness.Witness
  folder: ${paths.run}
  lr: ${optim.lr}
"""

FAILURE = '''
"""Fails in two jobs of a sweep, once as a fault and once in words; the next takes longer than Lightning watches for."""
import time
from lightning import Callback

class Failure(Callback):
    def __init__(self, lr: float) -> None:
        self.lr = lr
    def on_fit_start(self, trainer, pl_module) -> None:
        if self.lr == 0.1:
            if trainer.is_global_zero:
                raise RuntimeError("the first rank fails")
            time.sleep(300)
        if self.lr == 0.2:
            raise ValueError("failure.lr=0.2: not today")
        time.sleep(8)
'''
FAILURE_CONFIG = '# fails once\nfailure: {_target_: callbacks.failure.Failure, lr: "${optim.lr}"}\n'


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_project(tmp_path_factory.mktemp("project"))
    for name, code, config in (("witness", WITNESS, WITNESS_CONFIG), ("failure", FAILURE, FAILURE_CONFIG)):
        (folder / "callbacks" / f"{name}.py").write_text(code)
        (folder / "conf" / "callbacks" / f"{name}.yaml").write_text(config)
    toy = (folder / "conf" / "task" / "toy.yaml").read_text()
    (folder / "conf" / "task" / "other.yaml").write_text(toy.replace("name: toy", "name: other"))
    return folder


def folders(logs: Path) -> list[Path]:
    return sorted(path.parent for path in logs.rglob("config.yaml"))


def jobs(project: Path, logs: str, *arguments: str, task: str | None = "toy", **variables: str) -> list[Path]:
    """Run a command line; return the run folders it made."""
    line = ["callbacks=[default,witness]", f"paths.logs={logs}", *([f"task={task}"] if task else [])]
    first, last = (arguments[:1], arguments[1:]) if arguments[:1] == ("-m",) else ((), arguments)
    done = run_python(project, "train.py", *first, *line, *last, **variables)
    assert done.returncode == 0, done.stderr
    return folders(project / logs)


def check_ranks(job: Path, world_size: int = 2) -> float:
    """All ranks of a job ran with its config and ended with equal parameters; returns the learning rate."""
    config = OmegaConf.to_container(OmegaConf.load(job / "config.yaml"))
    lines = [json.loads(line) for line in (job / "ranks.jsonl").read_text().splitlines()]
    assert sorted(line["rank"] for line in lines) == list(range(world_size))
    assert {(line["world_size"], line["config"]) for line in lines} == {(world_size, config_hash(config))}
    ranks = [torch.load(job / f"rank{rank}.pt", weights_only=True) for rank in range(world_size)]
    assert {rank["lr"] for rank in ranks} == {config["optim"]["lr"]}
    for other in ranks[1:]:
        assert all(torch.equal(ranks[0]["weights"][name], other["weights"][name]) for name in ranks[0]["weights"])
        assert not torch.equal(ranks[0]["drawn"], other["drawn"])  # streams of their own
    assert {"metrics.csv", "train.log", "checkpoints"} <= {path.name for path in job.iterdir()}
    assert len(list(job.rglob("*.ckpt"))) == 2
    assert not list(job.rglob(".hydra"))
    return config["optim"]["lr"]


def test_two_ranks_share_one_folder_and_one_config(project: Path) -> None:
    [job] = jobs(project, "single", "optim.lr=0.02", *TWO_RANKS)
    assert check_ranks(job) == 0.02
    assert (job / "train.log").read_text().count("epoch 1/1") == 1


def test_each_job_of_a_sweep_has_its_folder_and_its_ranks(project: Path) -> None:
    found = jobs(project, "first", "-m", "optim.lr=0.1,0.01", *TWO_RANKS)
    assert [check_ranks(job) for job in found] == [0.1, 0.01]


def test_a_sweep_may_be_over_the_number_of_ranks_and_the_flag_may_stand_at_the_end(project: Path) -> None:
    one, two, again = jobs(project, "last", "trainer.devices=1,2,1", *ON_CPU, "-m")
    check_ranks(one, world_size=1)
    check_ranks(two, world_size=2)
    check_ranks(again, world_size=1)
    configs = [json.loads((job / "ranks.jsonl").read_text().splitlines()[0])["config"] for job in (one, two, again)]
    assert len(set(configs)) == 3  # the run folder is part of it


def test_a_search_over_a_number_and_the_task_runs_its_jobs_in_parallel_processes(project: Path) -> None:
    search = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=3")
    search += ("hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=1")
    parallel = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")  # the third job starts later than the others
    space = ("optim.lr=tag(log,interval(1e-3,1e-1))", "task=toy,other")
    found = jobs(project, "search", "-m", *search, *parallel, *space, *TWO_RANKS, task=None)
    assert [path.name.partition("_")[0] for path in found] == ["0", "1", "2"]
    assert len({path.parent for path in found}) == 1
    assert {path.name.partition("_")[2] for path in found} == {"toy", "other"}
    rates = [check_ranks(job) for job in found]
    assert len(set(rates)) == 3 and all(1e-3 <= rate <= 1e-1 for rate in rates)
    results = OmegaConf.load(found[0].parent / "optimization_results.yaml")
    assert results.best_params["optim.lr"] in rates


def test_torchrun_makes_one_folder_with_one_config(project: Path) -> None:
    line = ["task=toy", "callbacks=[default,witness]", "paths.logs=torchrun", *TWO_RANKS]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = run_python(project, *launcher, "train.py", *line, RUN_ID="together")
    assert done.returncode == 0, done.stderr
    assert folders(project / "torchrun") == [project / "torchrun" / "toy" / "together"]
    check_ranks(project / "torchrun" / "toy" / "together")


def test_ranks_with_different_configs_refuse_to_train(project: Path, tmp_path: Path) -> None:
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29417", "TORCHELASTIC_RUN_ID": "differ"}
    processes = []
    for rank, rate in enumerate(("0.1", "0.2")):  # as from two shells with slightly different command lines
        line = [sys.executable, "train.py", "task=toy", f"paths.logs={tmp_path}", *TWO_RANKS, f"optim.lr={rate}"]
        environment = isolated(project, RANK=str(rank), LOCAL_RANK=str(rank), **together)
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(line, cwd=project, env=environment, **pipes))
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [1, 1]
    for text in said:
        assert "rank 1 of 2 has another config than rank 0: optim.lr=0.2 (rank 0: 0.1)" in text, text
    assert not list(tmp_path.rglob("*.ckpt"))
    lines = [json.loads(line) for line in (tmp_path / "toy" / "differ" / "ranks.jsonl").read_text().splitlines()]
    assert len({line["config"] for line in lines}) == 2


def test_a_job_that_fails_takes_its_ranks_along_and_not_the_other_jobs(project: Path) -> None:
    line = ["-m", "task=toy", "optim.lr=0.1,0.2,0.01", "callbacks=[default,failure,witness]", *TWO_RANKS]
    done = run_python(project, "train.py", *line, "paths.logs=fails", timeout=120)  # waits for all that hold its output
    crashed, refused, good = folders(project / "fails")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"job {crashed} failed: RuntimeError: the first rank fails"
    assert f"job {refused} failed: failure.lr=0.2: not today\n" in done.stderr + done.stdout
    assert "in on_fit_start" in (crashed / "train.log").read_text()
    assert "[rank1]" not in done.stderr
    assert not list(crashed.glob("rank*.pt")) + list(refused.glob("rank*.pt"))
    assert check_ranks(good) == 0.01


def test_a_search_in_the_wrong_direction_is_refused(project: Path) -> None:
    search = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=1", "task=toy", "monitor.mode=max"]
    done = run_python(project, "train.py", *search, "optim.lr=interval(0.1,0.2)", "paths.logs=wrong", *ON_CPU)
    assert done.returncode == 1
    assert "monitor.mode=max of val/loss needs hydra.sweeper.direction=maximize" in done.stderr.splitlines()[-1]
