"""Checkpoints that stand alone: they carry the config they were trained with, and are opened safely."""

import pickle
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning import __version__ as lightning_version

from core.build import build
from core.errors import wrong
from core.targets import CORE_KEYS

KEPT = ("name", "task", "model", "datamodule", "optim", "scheduler", "seed", "monitor")
FOLDER = "checkpoints"


class CheckpointError(ValueError):
    """A file that is no checkpoint of this project, or one that does not suit."""


class ConfigInCheckpoint(Callback):
    """Write the composed config, as plain containers, and the versions of what wrote it into every checkpoint.

    Args:
        config: Composed config as plain containers.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = {key: config[key] for key in KEPT if key in config}
        self.config["versions"] = {"torch": str(torch.__version__), "lightning": lightning_version}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["config"] = self.config


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Open a checkpoint of this project without executing anything stored in it; tensors stay on disk until used.

    Raises:
        FileNotFoundError: When there is no such file.
        CheckpointError: When the file is damaged, holds objects other than tensors and plain values, or was not written
            by this project.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: holds objects other than tensors and plain values, which are not loaded since they can run code"
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read as a checkpoint ({str(error).splitlines()[0]})") from error
    lacking = [key for key in ("state_dict", "config") if not isinstance(checkpoint, dict) or key not in checkpoint]
    lacking += [f"config.{key}" for key in ("task", "model") if not lacking and key not in checkpoint["config"]]
    if lacking:
        has = ", ".join(list(checkpoint)[:8]) if isinstance(checkpoint, dict) else type(checkpoint).__name__
        raise CheckpointError(
            f"{path}: has no {' and no '.join(lacking)} (it has: {has}), so it was not written by this project;\n"
            "  weights of other projects are loaded into a model with model.pretrained=FILE"
        )
    return checkpoint


def load_task(path: str | Path) -> LightningModule:
    """Rebuild a trained task from its checkpoint alone, on the CPU and in evaluation mode.

    Args:
        path: A checkpoint written by a run of this project.

    Raises:
        FileNotFoundError: When there is no such file.
        CheckpointError: For a file that is damaged, foreign or does not suit the classes of today.
        ConfigError: When the file names a class outside ``models`` and ``tasks``.
    """
    checkpoint = read_checkpoint(path)
    config = checkpoint["config"]
    network = {name: value for name, value in config["model"].items() if name not in CORE_KEYS["model"]}
    model = build(network, "model", trusted=("models.",))
    task = build(config["task"], "task", trusted=("tasks.",), model=model)
    try:
        task.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        raise CheckpointError(f"{path}: its weights do not suit {config['task']['_target_']}: {error}") from error
    return task.eval()


def resolve_checkpoint(ckpt_path: str | None, run: str | Path, mode: str) -> Path | None:
    """Find the file that ``ckpt_path`` means.

    Args:
        ckpt_path: A file; ``last`` or ``best`` of the run folder; or None.
        run: Run folder.
        mode: What will be done; only ``fit`` can do without a checkpoint that is not there, by starting fresh.

    Returns:
        The file, or None to start without one.

    Raises:
        ConfigError: When a file is needed that does not exist, and when a training would overwrite a finished one.
    """
    folder = Path(run, FOLDER)
    if ckpt_path is None:
        preempted = any(Path(run).glob("hpc_ckpt_*.ckpt"))  # a requeued batch job, which Lightning continues by itself
        if mode == "fit" and (folder / "last.ckpt").exists() and not preempted:
            problem = f"{run} holds a run already; add ckpt_path=last to continue it, or take a new name"
            raise wrong("run_id", Path(run).name, problem)
        return None
    if ckpt_path not in ("last", "best"):
        if not Path(ckpt_path).is_file() and "://" not in ckpt_path:
            raise wrong("ckpt_path", ckpt_path, "no such file", ("last", "best", "a file"))
        return Path(ckpt_path)
    path = folder / f"{ckpt_path}.ckpt"
    if path.exists():
        return path
    if mode == "fit" and ckpt_path == "last":
        return None
    there = sorted(str(one) for one in folder.glob("*.ckpt"))
    raise wrong(
        "ckpt_path",
        ckpt_path,
        f"{path} does not exist; name a file, or the run folder with run_id=NAME",
        there,
    )
