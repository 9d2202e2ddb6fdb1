"""What Lightning is given so that its checkpoints are whole, safe and stand alone."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning import __version__ as lightning_version
from lightning.fabric.plugins import TorchCheckpointIO

from core.checkpoint.sums import open_safely, verify
from core.checkpoint.writing import probe_folder, remove_checkpoint, write_checkpoint

KEPT = ("name", "task", "model", "datamodule", "optim", "scheduler", "seed", "monitor")


class CheckpointFiles(TorchCheckpointIO):
    """Write, read and remove every checkpoint of a Trainer through ``core/checkpoint/writing.py``.

    A folder is made and probed once; when it is gone later, because a disk was unmounted or somebody removed it, that
    is an error and not a reason to make another one in its place. Addresses such as ``s3://...`` stay with Lightning's
    own class: there are neither folders nor renaming.
    """

    def __init__(self) -> None:
        super().__init__()
        self._folders: set[Path] = set()

    def probe(self, folder: str | Path) -> None:
        """Make ``folder`` and see that it can be written to, unless that was done before.

        Raises:
            SaveError: When it cannot.
        """
        folder = Path(folder).absolute()
        if folder not in self._folders:
            probe_folder(folder)
            self._folders.add(folder)

    def save_checkpoint(
        self, checkpoint: Mapping[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint and its sum.

        Raises:
            SaveError: When it cannot be written.
            CheckpointError: When it holds what could not be loaded safely.
        """
        if storage_options is not None or not _is_local(path):
            super().save_checkpoint(checkpoint, path, storage_options)
        else:
            self.probe(Path(path).parent)
            write_checkpoint(checkpoint, path)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint after it was checked; always in torch's safe mode, whatever ``weights_only`` says.

        Raises:
            FileNotFoundError: When there is no such file.
            CheckpointError: When it is truncated, altered or holds anything but tensors and plain values.
        """
        if not _is_local(path):
            return super().load_checkpoint(path, map_location, weights_only=True)
        verify(path)
        return open_safely(Path(path), mmap=False, map_location=map_location)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint and its sum; also the folder of a sharded one."""
        if not _is_local(path) or Path(path).is_dir():
            super().remove_checkpoint(path)
        else:
            remove_checkpoint(path)


def _is_local(path: str | Path) -> bool:
    return "://" not in os.fspath(path)


class ConfigInCheckpoint(Callback):
    """Write into every checkpoint the composed config, the last values of all metrics and the versions in use.

    Args:
        config: Composed config as plain containers.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = {key: config[key] for key in KEPT if key in config}
        versions = {"torch": str(torch.__version__), "lightning": lightning_version}
        self.config["versions"] = versions | {"python": platform.python_version()}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["config"] = self.config
        checkpoint["metrics"] = {name: float(value) for name, value in trainer.callback_metrics.items()}


def probe_folders(trainer: Trainer, run: str | Path) -> None:
    """See, before any work is done, that the run folder and the folders of checkpoints can be written to.

    Raises:
        SaveError: For the first that cannot.
    """
    files = trainer.strategy.checkpoint_io
    if trainer.fast_dev_run or not isinstance(files, CheckpointFiles):
        return
    files.probe(run)
    for callback in trainer.checkpoint_callbacks:
        place = getattr(callback, "dirpath", None) or getattr(getattr(callback, "path", None), "parent", None)
        if place is not None and _is_local(place):
            files.probe(place)
