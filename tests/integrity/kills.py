"""Train in processes that kill themselves, for tests/integrity/test_resume.py.

``python -m tests.integrity.kills JOBS``, JOBS in JSON: a list of ``{"run", "overrides", "kill"}``, made one after the
other. ``kill`` is null or ``[hook, epoch, batch]``: where the first rank sends SIGKILL to all processes of the job, its
ranks, loader workers and decoders. Prints a JSON list of exit codes, -9 for a killed one.

The jobs are forked from one process that has imported everything and done nothing, which saves seconds for each.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

import core.run
from tests.toy_project import job_config

DIARY = "diary.jsonl"
make_trainer = core.run.make_trainer


class Diary(Callback):
    """Write down what a rank trains on, a line of JSON per step, and kill at a given moment."""

    def __init__(self, run: Path, kill: list[Any] | None) -> None:
        self.path, self.kill = run / DIARY, kill

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: dict, batch_idx: int) -> None:
        line = {"step": trainer.global_step, "epoch": trainer.current_epoch, "rank": trainer.global_rank}
        line |= {"world_size": trainer.world_size, "index": batch["index"].tolist()}
        line |= {
            "frames": batch["frames"].tolist(),
            "pixels": float(batch["video" if "video" in batch else "faces"].double().sum()),
        }
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        self._at("train_batch_end", trainer, rest[-1])

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._at("train_epoch_start", trainer)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        self._at("validation_batch_end", trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._at("train_epoch_end", trainer)

    def _at(self, hook: str, trainer: Trainer, batch: int = 0) -> None:
        if trainer.is_global_zero and self.kill == [hook, trainer.current_epoch, batch]:
            os.killpg(0, signal.SIGKILL)


def one(run: str, overrides: list[str], kill: list[Any] | None) -> int:
    """Run one job in a process group of its own; return its exit code."""
    folder = Path(run)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)

        def with_diary(config: dict[str, Any]) -> Trainer:
            trainer = make_trainer(config)
            trainer.callbacks.insert(0, Diary(folder, kill))  # before the callback that saves
            return trainer

        core.run.make_trainer = with_diary
        try:
            core.run.run(job_config(folder, *overrides))
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    torch.set_num_threads(1)
    codes = [one(**job) for job in json.loads(sys.argv[1])]
    print(json.dumps(codes))
