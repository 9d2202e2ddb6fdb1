"""The ranks that Lightning starts on a node: none outlives another, and the error that is raised is the first one."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from lightning import Trainer
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher, _SubprocessScriptLauncher

from core.processes.other_rank import GRACE_S, LOOK_S, STARTER_VARIABLE, failure_file, is_consequence, leave_at_once
from core.processes.signals import Stopped, request

FAREWELL_S = 60.0  # for ranks to end that were asked to
_ASKED = {code: number for number in (signal.SIGTERM, signal.SIGINT) for code in (-number, Stopped(number).code)}


class RankError(RuntimeError):
    """Another rank failed, and this one only because of it.

    Args:
        text: Which, and of what.
        consequence: Whether that one failed because of yet another.
    """

    def __init__(self, text: str, consequence: bool = False) -> None:
        super().__init__(text)
        self.consequence = consequence


@contextmanager
def together(trainer: Trainer, folder: str | Path) -> Iterator[None]:
    """Start, watch and end the other ranks of this node with what runs within.

    Args:
        trainer: Not yet running.
        folder: Run folder.

    Raises:
        RankError: When another rank failed first; it says of what.
        Stopped: When another rank was ended by a signal before it could agree with this one.
    """
    launcher = trainer.strategy.launcher
    if isinstance(launcher, _SubprocessScriptLauncher):
        arguments = launcher.cluster_environment, launcher.num_processes, launcher.num_nodes
        launcher = trainer.strategy._launcher = WatchedRanks(folder, *arguments)
    try:
        yield
        if isinstance(launcher, WatchedRanks):
            launcher.see_off()
    except BaseException as error:
        first = None
        if isinstance(launcher, WatchedRanks):
            first = launcher.end(error)
        elif isinstance(launcher, _MultiProcessingLauncher):
            first = _end_forked(launcher, error)
        elif is_consequence(error):
            first = RankError(f"the connection to another rank is lost, which says why: {str(error).splitlines()[0]}")
        if first is None:
            raise
        raise first from None


class WatchedRanks(_SubprocessScriptLauncher):
    """Lightning's launcher with another watch.

    Lightning's kills this process, too, without a word and with whatever else it was to do, as soon as another rank
    ends with an error. This one gives it time to fail by itself, and ends it only where it is stuck.

    Args:
        folder: Run folder.
        arguments: Of Lightning's launcher.
    """

    def __init__(self, folder: str | Path, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.folder = folder
        self.ranks: list[subprocess.Popen] = []
        self._over = False

    def _call_children_scripts(self) -> None:
        for rank in range(1, self.num_processes):
            failure_file(self.folder, rank).unlink(missing_ok=True)
        os.environ[STARTER_VARIABLE] = str(os.getpid())
        super()._call_children_scripts()
        del os.environ[STARTER_VARIABLE]
        self.ranks, self.procs = self.procs, []  # Lightning's own watch finds nobody
        threading.Thread(target=self._watch, daemon=True).start()

    def end(self, error: BaseException) -> BaseException | None:
        """End the other ranks because of ``error``; return the one that came before it, if there was one."""
        self._over = True
        first = None
        if isinstance(error, Stopped):
            for rank in self.ranks:
                rank.send_signal(signal.SIGTERM)
            self._wait(FAREWELL_S, lambda: all(rank.poll() is not None for rank in self.ranks))
        elif is_consequence(error):
            self._wait(GRACE_S, lambda: any(not _is_consequence(failure) for failure in self._failures()))
            first = next((failure for failure in self._failures() if not _is_consequence(failure)), None)
        self._kill()
        return first

    def see_off(self) -> None:
        """Wait for the other ranks, which may still be at work: in a prediction nobody waits for anybody.

        Raises:
            RankError: When one of them failed.
        """
        self._wait(math.inf, lambda: all(rank.poll() is not None for rank in self.ranks))
        failures = self._failures()
        self._over = True
        self._kill()
        if failures:
            raise failures[0]

    def _watch(self) -> None:
        while not self._over and not any(rank.poll() for rank in self.ranks):
            sleep(LOOK_S)
        self._wait(GRACE_S, lambda: self._over)
        if self._over or request.leaving:
            return
        first = self._failures()[0]
        self._kill()
        if not isinstance(first, Stopped):
            print(first, file=sys.stderr)
        leave_at_once(first.code if isinstance(first, Stopped) else 1)

    def _failures(self) -> list[BaseException]:
        """What the ranks failed of that have ended by now; last those that failed because of others."""
        found = [self._failure(number, rank) for number, rank in enumerate(self.ranks, 1) if rank.poll()]
        return sorted(found, key=_is_consequence)

    def _failure(self, number: int, process: subprocess.Popen) -> BaseException:
        code = process.returncode
        if code in _ASKED:
            return Stopped(_ASKED[code])
        name = f"rank {self.cluster_environment.node_rank() * self.num_processes + number}"
        file = failure_file(self.folder, number)
        if file.exists():
            told = json.loads(file.read_text(encoding="utf-8"))
            return RankError(f"{name} failed:\n{told['text']}", told["consequence"])
        if code < 0:
            hint = "; the system does so when the memory is used up" if code == -signal.SIGKILL else ""
            return RankError(f"{name} (process {process.pid}) was killed by {signal.Signals(-code).name}{hint}")
        return RankError(f"{name} (process {process.pid}) ended with exit code {code}")

    @staticmethod
    def _wait(longest_s: float, over: Callable[[], bool]) -> None:
        until = monotonic() + longest_s
        while monotonic() < until and not over():
            sleep(LOOK_S / 10)

    def _kill(self) -> None:
        for number, rank in enumerate(self.ranks, 1):
            rank.kill()
            rank.wait()
            failure_file(self.folder, number).unlink(missing_ok=True)


def _is_consequence(failure: BaseException) -> bool:
    return isinstance(failure, RankError) and failure.consequence


def _end_forked(launcher: _MultiProcessingLauncher, error: BaseException) -> BaseException | None:
    """Pass on to forked ranks that the job is to end; all ranks are forked, and torch ends them when one fails."""
    ranks = [rank for rank in launcher.procs if rank.is_alive()]
    for rank in ranks:
        rank.terminate()
    until = monotonic() + (FAREWELL_S if isinstance(error, Stopped) else 0)
    for rank in ranks:
        rank.join(max(0.0, until - monotonic()))
        rank.kill()
    asked = [_ASKED[rank.exitcode] for rank in launcher.procs if rank.exitcode in _ASKED]
    return Stopped(asked[0]) if asked and not isinstance(error, Stopped) else None
