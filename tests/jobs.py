"""A command of the toy project as it runs: wait for something, send it signals, see what it leaves behind."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from tests.toy_project import processes_of, start_python

DEADLINE_S = 120
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "train.py")


class Job:
    """One command line after the other; whatever is left of them is killed in the end.

    Args:
        project: Folder of the project.
        folder: For run folders and what is printed.
    """

    def __init__(self, project: Path, folder: Path) -> None:
        self.project, self.logs, self.printed = project, folder / "logs", folder / "printed.txt"
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process is not None:
            for process in self.processes():
                os.kill(process, signal.SIGKILL)
            self.process.wait()

    def start(self, *arguments: str, **variables: str) -> None:
        """Start ``python train.py`` on the CPU."""
        self._start("train.py", *arguments, **variables)

    def start_torchrun(self, *arguments: str) -> None:
        """Start ``torchrun --nproc-per-node 2 train.py`` as run ``torchrun``."""
        self._start(*TORCHRUN, *arguments, "trainer.devices=2", RUN_ID="torchrun")

    def _start(self, *arguments: str, **variables: str) -> None:
        fixed = "trainer.accelerator=cpu", f"paths.logs={self.logs}", "trainer.log_every_n_steps=1"
        self.process = start_python(self.project, self.printed, *arguments, *fixed, **variables)

    def wait(self, until: Callable[[], bool]) -> None:
        """Wait for something that is to happen while the command runs."""
        end = time.monotonic() + DEADLINE_S
        while not until():
            assert self.process.poll() is None and time.monotonic() < end, self.said()
            time.sleep(0.05)

    def wait_for(self, file: Path) -> None:
        self.wait(file.exists)

    def code(self) -> int:
        """Exit code, once there is one."""
        return self.process.wait(DEADLINE_S)

    def said(self) -> str:
        """What was printed."""
        return self.printed.read_text()

    def left_after(self, seconds: float) -> list[int]:
        """Processes that are still there when the command has ended and so much time has passed."""
        end = time.monotonic() + seconds
        while self.processes() and time.monotonic() < end:
            time.sleep(0.1)
        return self.processes()

    def processes(self) -> list[int]:
        """Processes of the command that live, oldest first."""
        return processes_of(self.printed)
