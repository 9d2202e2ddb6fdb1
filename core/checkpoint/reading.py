"""Opening checkpoints safely, and finding those of a run."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.checkpoint.sums import CheckpointError, CheckpointNotFoundError, open_safely, verify
from core.command_line.targets import CORE_KEYS
from core.errors import primary_process, wrong

if TYPE_CHECKING:
    from lightning import LightningModule

FOLDER = "checkpoints"
BATCH_JOB = "hpc_ckpt_*.ckpt"  # in the run folder: what Lightning saves when SLURM takes a job away

log = logging.getLogger(__name__)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Open a checkpoint of this project without executing anything stored in it; tensors stay on disk until used.

    Raises:
        CheckpointNotFoundError: When there is no such file.
        CheckpointError: When the file is truncated or altered, holds objects other than tensors and plain values, or
            was not written by this project.
    """
    verify(path)
    return read_unverified(path)


def read_unverified(path: str | Path) -> dict[str, Any]:
    """Like ``read_checkpoint``, at once: the file is not compared with its sum.

    Raises:
        CheckpointNotFoundError: When there is no such file.
        CheckpointError: When the file cannot be opened, holds objects, or was not written by this project.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointNotFoundError(f"{path}: no such checkpoint")
    checkpoint = open_safely(path)
    if lacking := _lacking(checkpoint):
        has = ", ".join(map(str, list(checkpoint)[:8])) if isinstance(checkpoint, dict) else type(checkpoint).__name__
        raise CheckpointError(
            f"{path}: has no {' and no '.join(lacking)} (it has: {has}), so it was not written by this project;\n"
            "  weights of other projects are loaded into a model with model.pretrained=FILE"
        )
    return checkpoint


def _lacking(checkpoint: Any) -> list[str]:
    """Keys that a checkpoint of this project has, each a dictionary, and this one has not."""
    lacking = [key for key in ("state_dict", "config") if not _has(checkpoint, key)]
    return lacking or [f"config.{key}" for key in ("task", "model") if not _has(checkpoint["config"], key)]


def _has(node: Any, key: str) -> bool:
    return isinstance(node, dict) and isinstance(node.get(key), dict)


def load_task(path: str | Path) -> "LightningModule":
    """Rebuild a trained task from its checkpoint alone, on the CPU and in evaluation mode.

    Args:
        path: A checkpoint written by a run of this project.

    Raises:
        CheckpointNotFoundError: When there is no such file.
        CheckpointError: For a file that is damaged, foreign or does not suit the classes of today.
        ConfigError: When the file names a class outside ``models`` and ``tasks``.
    """
    from core.build import build  # with Lightning and Hydra, which those who only look into a file need not wait for

    checkpoint = read_checkpoint(path)
    config = checkpoint["config"]
    network = {name: value for name, value in config["model"].items() if name not in CORE_KEYS["model"]}
    model = build(network, "model", trusted=("models.",))
    task = build(config["task"], "task", trusted=("tasks.",), model=model)
    task.on_load_checkpoint(checkpoint)  # as Lightning does: what a task knows beside its weights
    try:
        task.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        raise CheckpointError(f"{path}: its weights do not suit {config['task']['_target_']}: {error}") from error
    return task.eval()


def resolve_checkpoint(ckpt_path: str | None, run: str | Path, mode: str) -> Path | None:
    """Find the file that ``ckpt_path`` means, and check it.

    Args:
        ckpt_path: A file; None; ``best`` of the run folder, by the value that each file records of itself; or ``last``,
            which is the newest whole file of the run folder, whatever its name: damaged ones are passed over with a
            warning.
        run: Run folder.
        mode: What will be done; only ``fit`` can do without a checkpoint that is not there, by starting fresh. A batch
            job that was preempted continues by itself.

    Returns:
        The file, or None to start without one.

    Raises:
        ConfigError: When a file is needed that does not exist, and when a training would overwrite a finished one.
        CheckpointError: When the file that was named, or every file that could be ``last``, is damaged.
    """
    run, folder = Path(run), Path(run, FOLDER)
    files = sorted(folder.glob("*.ckpt"))
    preempted = sorted(run.glob(BATCH_JOB))
    if ckpt_path is None:
        if mode == "fit" and files and not preempted:
            problem = f"{run} holds a run already; add ckpt_path=last to continue it, or take a new name"
            raise wrong("run_id", run.name, problem)
        return newest_whole([*files, *preempted]) if mode == "fit" and preempted else None
    if ckpt_path not in ("last", "best"):
        if not Path(ckpt_path).is_file():
            raise wrong("ckpt_path", ckpt_path, "no such file", ("last", "best", "a file"))
        verify(ckpt_path)
        return Path(ckpt_path)
    if ckpt_path == "last" and [*files, *preempted]:
        return newest_whole([*files, *preempted])
    if ckpt_path == "best" and (files := [file for file in files if file.stem.partition("-")[0] == "best"]):
        return best_of(files)
    if mode == "fit" and ckpt_path == "last":
        return None
    raise wrong(
        "ckpt_path",
        ckpt_path,
        f"{folder / f'{ckpt_path}.ckpt'} does not exist; name a file, or the run folder with run_id=NAME",
        [str(file) for file in sorted(folder.glob("*.ckpt"))],
    )


def newest_whole(files: Iterable[Path]) -> Path:
    """The file of the latest step among those that are whole; of equal ones ``last.ckpt``, which is written later.

    Raises:
        CheckpointError: When none is whole; a training must not begin anew over what may still be saved.
    """
    opened, damaged = [], []
    for file in files:
        try:
            opened.append((int(read_unverified(file)["global_step"]), file.stem == "last", file))
        except (CheckpointError, CheckpointNotFoundError, KeyError, TypeError, ValueError) as error:
            damaged.append(_pass_over(file, error))
    for _, _, file in sorted(opened, reverse=True):
        try:
            verify(file)
        except (CheckpointError, CheckpointNotFoundError) as error:
            damaged.append(_pass_over(file, error))
        else:
            return file
    raise CheckpointError(
        "ckpt_path=last: no checkpoint of this run is whole; start anew under another run_id\n  " + "\n  ".join(damaged)
    )


def _pass_over(file: Path, error: Exception) -> str:
    reason = str(error) if isinstance(error, (CheckpointError, CheckpointNotFoundError)) else f"{file}: has no step"
    if primary_process():
        log.warning("warning: ckpt_path=last passes over a file: %s", reason)
    return reason


def best_of(files: list[Path]) -> Path:
    """The file with the best value of the metric that its run monitored, checked.

    Raises:
        CheckpointError: When it is damaged, or one of several does not say its value.
    """
    best = files[0]
    if len(files) > 1:
        best = min(files, key=lambda file: _badness(file, read_unverified(file)))
    verify(best)
    return best


def _badness(file: Path, checkpoint: dict[str, Any]) -> float:
    """Value of the monitored metric when the file was written, with its sign turned where more is better."""
    monitor = checkpoint["config"].get("monitor") or {}
    for state in (checkpoint.get("callbacks") or {}).values():
        if state.get("monitor") == monitor.get("metric") and state.get("current_score") is not None:
            return float(state["current_score"]) * (-1 if monitor.get("mode") == "max" else 1)
    raise CheckpointError(f"{file}: does not say how good it is; name the file that is meant")
