"""Whole command lines: several processes and jobs share what they should share, and nothing else."""

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from tests.toy_project import make_project, run_python, run_script

pytestmark = pytest.mark.slow
TWO_RANKS = ("trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_epochs=1")

# A callback that writes what each rank ended with: its config and its parameters.
WITNESS = '''
"""Says what a rank ended with."""
import os
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


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_project(tmp_path_factory.mktemp("project"))
    (folder / "callbacks" / "witness.py").write_text(WITNESS)
    (folder / "conf" / "callbacks" / "witness.yaml").write_text(WITNESS_CONFIG)
    return folder


def jobs(project: Path, logs: str, *arguments: str) -> list[Path]:
    """Run a command line; return the run folders it made."""
    line = ["task=toy", "callbacks=[default,witness]", *TWO_RANKS, f"paths.logs={logs}"]
    first, last = (arguments[:1], arguments[1:]) if arguments[:1] == ("-m",) else ((), arguments)
    done = run_python(project, "train.py", *first, *line, *last)
    assert done.returncode == 0, done.stderr
    return sorted(path.parent for path in (project / logs).rglob("config.yaml"))


def check_ranks(job: Path) -> float:
    """Both ranks of a job ran with its config and ended with equal parameters; returns the learning rate."""
    one, two = (torch.load(job / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    lr = OmegaConf.load(job / "config.yaml").optim.lr
    assert one["lr"] == two["lr"] == lr
    assert all(torch.equal(one["weights"][name], two["weights"][name]) for name in one["weights"])
    assert not torch.equal(one["drawn"], two["drawn"])  # streams of their own
    assert {"metrics.csv", "train.log", "checkpoints"} <= {path.name for path in job.iterdir()}
    assert not list(job.rglob(".hydra"))
    return lr


def test_two_ranks_share_one_folder_and_one_config(project: Path) -> None:
    [job] = jobs(project, "single", "optim.lr=0.02")
    assert check_ranks(job) == 0.02
    assert len(list((project / "single").rglob("*.ckpt"))) == 2
    assert (job / "train.log").read_text().count("Starting with 2 processes") == 1


@pytest.mark.parametrize(
    "arguments",
    [("-m", "optim.lr=0.1,0.01"), ("optim.lr=0.1,0.01", "-m")],
    ids=["-m first", "-m last"],
)
def test_each_job_of_a_sweep_has_its_folder_and_its_ranks(project: Path, arguments: tuple[str, ...]) -> None:
    logs = f"sweep{arguments.index('-m')}"
    found = jobs(project, logs, *arguments)
    assert [check_ranks(job) for job in found] == [0.1, 0.01]
    assert len(list((project / logs).rglob("*.ckpt"))) == 4


FAILURE = '''
"""Fails in the first job of a sweep, on its first rank; the second job takes longer than Lightning needs to notice."""
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
        time.sleep(8)
'''


def test_a_job_that_fails_takes_its_ranks_along_and_not_the_next_job(project: Path) -> None:
    (project / "callbacks" / "failure.py").write_text(FAILURE)
    config = '# fails once\nfailure: {_target_: callbacks.failure.Failure, lr: "${optim.lr}"}\n'
    (project / "conf" / "callbacks" / "failure.yaml").write_text(config)
    line = ["-m", "task=toy", "optim.lr=0.1,0.01", "callbacks=[default,failure,witness]", *TWO_RANKS]
    done = run_python(project, "train.py", *line, "paths.logs=fails", timeout=120)  # waits for all that hold its output
    assert "the first rank fails" in done.stderr
    assert "[rank1]" not in done.stderr
    first, second = sorted(path.parent for path in (project / "fails").rglob("config.yaml"))
    assert not list(first.glob("rank*.pt"))
    assert check_ranks(second) == 0.01


RESUME = """
import json, sys
from pathlib import Path
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from core import run_id
from core.run import run

FIXED = ["task=toy", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp_fork", "run_id=x",
         "trainer.log_every_n_steps=1", "callbacks.last.interval_s=0", "trainer.max_epochs=4"]

def job(name, *overrides):
    with initialize_config_dir(str(Path("conf").absolute()), version_base="1.3"):
        cfg = compose("train", [*FIXED, f"paths.run={Path(name).absolute()}", *overrides])
    run(OmegaConf.create(OmegaConf.to_container(cfg, resolve=True)))
    return torch.load(f"{name}/checkpoints/last.ckpt", weights_only=True)

straight = job("straight")
cuts = {}
for steps in (6, 7):  # an epoch of two ranks has three steps
    assert job(f"cut{steps}", f"trainer.max_steps={steps}")["global_step"] == steps
    continued = job(f"cut{steps}", "ckpt_path=last")
    assert continued["global_step"] == straight["global_step"] == 12
    cuts[steps] = all(torch.equal(continued["state_dict"][n], t) for n, t in straight["state_dict"].items())
print(json.dumps(cuts))
"""


def test_two_ranks_that_are_cut_continue_bit_by_bit(project: Path) -> None:
    assert run_script(project, RESUME) == {"6": True, "7": True}
