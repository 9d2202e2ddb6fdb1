"""Extract features in processes that kill themselves, for tests/integrity/test_features.py.

``python -m tests.integrity.extractions JOBS``, JOBS in JSON: a list of ``{"run", "overrides", "kill"}``, made one after
the other. ``kill`` is null or ``[count, moment]``: the first process that comes to write its ``count``-th file sends
SIGKILL to all processes of the job, ``before`` it writes, or when it is ``half`` written. Files come in pairs, array
and sidecar, so that ``before`` an even one is between the two. What the run folder holds after each job is copied to
``<run>_after_<number of the job>``. Prints a JSON list of exit codes, -9 for a killed one.

The jobs are forked from one process that has imported everything and done nothing, which saves seconds for each.
"""

import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

import core.run
from callbacks import feature_files
from core.atomic import replace_file
from tests.toy_project import job_config


class Killer:
    """Writes files as they are written, up to one."""

    def __init__(self, count: int, moment: str) -> None:
        self.left, self.moment = count, moment

    def __call__(self, path: Path, write: Callable[[BinaryIO], object]) -> None:
        self.left -= 1
        if self.left == 0 and self.moment == "before":
            os.killpg(0, signal.SIGKILL)
        replace_file(path, self.half(write) if self.left == 0 else write)

    def half(self, write: Callable[[BinaryIO], object]) -> Callable[[BinaryIO], None]:
        def written_half(file: BinaryIO) -> None:
            whole = io.BytesIO()
            write(whole)
            file.write(whole.getvalue()[: whole.tell() // 2])
            file.flush()
            os.killpg(0, signal.SIGKILL)

        return written_half


def one(run: str, overrides: list[str], kill: list[Any] | None) -> int:
    """Run one job in a process group of its own; return its exit code."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        if kill is not None:
            feature_files.replace_file = Killer(*kill)
        try:
            Path(run).mkdir(exist_ok=True)
            core.run.run(job_config(Path(run), *overrides))
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    torch.set_num_threads(1)
    codes = []
    for number, job in enumerate(json.loads(sys.argv[1])):
        codes.append(one(**job))
        shutil.copytree(job["run"], f"{job['run']}_after_{number}")
    print(json.dumps(codes))
