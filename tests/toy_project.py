"""A zoo of toys in ``tests/toy``: one task, two datamodules and four models that train in a second.

Tests use it in two ways: as a project of its own, the frame's own files beside the toys, for what happens on the
command line; and with its folders added to the packages of the same names, within a process.
"""

import contextlib
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

REPOSITORY = Path(__file__).resolve().parents[1]
TOYS = REPOSITORY / "tests" / "toy"
FRAME = ("train.yaml", "trainer", "callbacks", "logger", "paths", "debug", "experiment/none.yaml")
MARK = "TOY_JOB"  # variable by which processes are found that belong to a command
PACKAGES = ("models", "tasks", "datamodules", "callbacks")


def make_project(folder: Path) -> Path:
    """Lay out a project in ``folder``: the frame of this repository, and the toys as its models, tasks and data."""
    shutil.copy(REPOSITORY / "train.py", folder)
    for package in ("core", "callbacks"):
        shutil.copytree(REPOSITORY / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(TOYS, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for module in ("loading", "loader_workers", "killable", "errors"):
        shutil.copy(REPOSITORY / "datamodules" / f"{module}.py", folder / "datamodules")
    for package in PACKAGES:
        (folder / package / "__init__.py").touch()
    for name in FRAME:
        source, target = REPOSITORY / "conf" / name, folder / "conf" / name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            target.parent.mkdir(exist_ok=True)
            shutil.copy(source, target)
    return folder


def run_python(
    project: Path, *arguments: str, timeout: int = 300, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Python in a project and wait for it."""
    command, environment = [sys.executable, *arguments], isolated(project, **variables)
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=timeout)


def start_python(project: Path, printed: Path, *arguments: str, **variables: str) -> subprocess.Popen:
    """Start Python in a project, in a session of its own; what it prints goes to a file, which also marks it."""
    command, environment = [sys.executable, *arguments], isolated(project, **variables, **{MARK: str(printed)})
    with printed.open("w") as file:
        return subprocess.Popen(
            command, cwd=project, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )


def processes_of(printed: Path) -> list[int]:
    """Processes that live and that a process of `start_python` has started, in whatever session; itself too."""
    found, mark = [], f"{MARK}={printed}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is not ours
            if mark in process.joinpath("environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return sorted(found)


def isolated(project: Path, **variables: str) -> dict[str, str]:
    """Environment of a process in a project, without the variables with which an outer job would speak to it."""
    private = ("VIDZOO_", "SLURM_", "RUN_ID", "RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_", "PL_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(private)}
    return environment | {"PYTHONPATH": str(project), "CUDA_VISIBLE_DEVICES": "", **variables}


def run_script(project: Path, script: str, *arguments: str, **variables: str) -> object:
    """Run a script in a project and return the JSON of its last line of output.

    Raises:
        AssertionError: When the script fails.
    """
    done = run_python(project, "-c", script, *arguments, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def add_toys() -> None:
    """Make the toys importable as ``models.toy_network`` and so on in this process."""
    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        if str(TOYS / package) not in path:
            path.append(str(TOYS / package))


def toy_config(run: Path, *overrides: str) -> DictConfig:
    """Compose the config of a toy job on one CPU with ``run`` as its run folder, resolved."""
    return job_config(run, f"hydra.searchpath=[file://{TOYS / 'conf'}]", "task=toy", *overrides)


def job_config(run: Path, *overrides: str) -> DictConfig:
    """Compose the config of a job on one CPU with ``run`` as its run folder, resolved."""
    fixed = ["trainer.accelerator=cpu", "trainer.devices=1", f"run_id={run.name}", f"paths.run={run}"]
    with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):
        cfg = compose("train", [*fixed, *overrides])
    return OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))


def trouble(moment: str, count: int = 1, what: str = "SIGTERM", rank: int = 0, name: str = "trouble") -> str:
    """Override that puts a `Trouble` into a job; its ``name`` only tells several of them apart."""
    node = f"_target_:callbacks.toy_trouble.Trouble,moment:{moment},count:{count},what:{what},rank:{rank}"
    return f"+callbacks.{name}={{{node}}}"
