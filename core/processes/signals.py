"""SIGTERM, SIGUSR1 and Ctrl-C: a request to end, answered orderly and told by the exit code.

Nothing but the standard library is imported, so that a process listens before it loads torch.
"""

import atexit
import logging
import multiprocessing.util  # its own cleaning up at exit has to be registered before ours, which then comes first
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType

from core.errors import primary_process

ASKING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
REQUEUE = getattr(signal, "SIGUSR1", None)  # sbatch --signal=SIGUSR1@120
SECOND_THOUGHT_S = 1.0  # torchrun passes on a Ctrl-C that the terminal has sent already: not a second one

log = logging.getLogger(__name__)


class Stopped(SystemExit):
    """A signal ended the run before it was finished: exit code 143, after Ctrl-C 130.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM))
        self.number = number


class Request:
    """What this process was asked by signals.

    Attributes:
        number: The first signal, 0 while there was none.
        deferred: Whether ``number`` is looked at after every step; elsewhere a signal ends the process where it is.
        leaving: Whether the process is on its way out; further signals change nothing.
    """

    def __init__(self) -> None:
        self.number = 0
        self.deferred = self.leaving = False
        self._listener = self._asked_at = 0

    @property
    def listening(self) -> bool:
        """Whether this process, and not one that it was forked from, answers signals here."""
        return self._listener == os.getpid()

    def listen(self) -> None:
        """Answer signals from now on; to be called in the main thread."""
        self._listener = os.getpid()
        for number in ASKING:
            signal.signal(number, self._receive)

    def listen_if_forked(self) -> None:
        """Answer signals in a rank that was forked from a process that does."""
        if self._listener and not self.listening:
            self.listen()

    def check(self) -> None:
        """End the process if it was asked to.

        Raises:
            Stopped: When there was a signal.
        """
        if self.number:
            self.leave(self.number)

    def leave(self, number: int) -> None:
        """End the process because of a signal that this rank or another one got.

        Raises:
            Stopped: Always.
        """
        self.number, self.deferred, self.leaving = number, False, True
        raise Stopped(number)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if not self.listening:  # a worker that was just forked: signals to a whole job are for the process that trains
            return
        again = bool(self.number) and monotonic() - self._asked_at > SECOND_THOUGHT_S
        if number == signal.SIGINT and again:
            self.leave(number)
        if self.number or self.leaving:
            return
        self.number, self._asked_at = number, monotonic()
        if not self.deferred:
            self.leave(number)
        if primary_process():  # written past Python's streams, which may be in the middle of a line
            hint = "; Ctrl-C once more ends it at once" if number == signal.SIGINT else ""
            os.write(2, f"{signal.Signals(number).name}: the training ends after this step{hint}\n".encode())


request = Request()


@contextmanager
def answering_signals() -> Iterator[None]:
    """Answer signals within, and have a batch job of SLURM queued again that was ended by SIGUSR1.

    Raises:
        Stopped: When a signal ended what ran within.
    """
    request.listen()
    atexit.register(_kill_workers)
    try:
        yield
    except Stopped as stopped:
        from core.run_id import batch_job

        job = batch_job()
        if job is not None and stopped.number == REQUEUE and primary_process():
            queue_again(job)
        raise


def queue_again(job: str) -> None:
    """Ask SLURM to put ``job`` back into its queue; it keeps its id, and with it its run folder."""
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
        problem = done.stderr.strip() if done.returncode else ""
    except OSError as error:
        problem = str(error)
    if problem:
        log.error("job %s is not queued again: scontrol requeue: %s", job, problem)
    else:
        log.warning("job %s is queued again", job)


def _kill_workers() -> None:
    """Kill loader workers that are left; they ignore SIGTERM, with which Python would wait for them for ever."""
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would complain
    for process in multiprocessing.active_children():
        process.kill()
