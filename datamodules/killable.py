"""A function in a process of its own, which is killed when it does not answer in time."""

import ctypes
import faulthandler
import inspect
import math
import mmap
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from datamodules.errors import MissingBackendError, VideoReadError

QUIET_S = 0.2  # a process that is asked where it is stuck has said everything when it is quiet for so long
PATIENCE_S = 2.0  # after this, one that is stuck inside the kernel is left to it
PR_SET_PDEATHSIG = 1  # prctl(2)
DUMP_SIGNAL = signal.SIGUSR2
# What a terminal or a cluster's scheduler sends to all processes of a job is for the process that trains: it ends this
# one too, and a reader that died of it would look like one that a broken file had killed.
FOR_OTHERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]

CAN_FORK = hasattr(os, "fork")  # not on Windows, where there is no deadline

# Forking while another thread is between making its pipe and forking would hand the pipe to a stranger.
_starting = threading.Lock()


class RemoteTracebackError(Exception):
    """Where in the other process an error was raised, or where it was stuck; the cause of what is raised here."""

    def __str__(self) -> str:
        return f"in the decoding process:\n{self.args[0]}"


def run_here(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function in this process, without a deadline; of a generator, wait for the return value."""
    result = function(*arguments)
    if not isinstance(result, Generator):
        return result
    while True:
        try:
            next(result)
        except StopIteration as end:
            return end.value


class KillableProcess:
    """Runs a function in a forked process, which stays for the next call and is killed when it is stuck.

    The process is forked at the first call, with all that the function refers to, so that only arguments and results
    travel. An array goes through shared memory, which is one copy; the array that is returned lies there and holds
    until the next call. When the function is a generator, each value that it yields is a sign of life, its return
    value is the result, and the deadline holds from one sign to the next.

    A process that crashes (segmentation fault) or is stuck is the fault of the file it was given; one that the system
    kills is not. It dies with the thread that started it (on Linux), whatever happens to that one. Where processes
    cannot be forked (Windows), the function runs in this process and no deadline holds.

    Args:
        function: What to run. It must not use a GPU, nor threads of this process.
        timeout_s: Seconds without an answer after which the process is killed; None to wait for ever.
    """

    def __init__(self, function: Callable[..., Any], timeout_s: float | None) -> None:
        self.function, self.timeout_s = function, timeout_s
        self.pid: int | None = None
        self._pipe: Connection | None = None
        self._trace: int | None = None
        self._memory = mmap.mmap(-1, 1)

    def call(self, *arguments: Any, path: Path, nbytes: int = 0) -> Any:
        """Run the function and wait for its result.

        Args:
            arguments: For the function; pickled.
            path: The file that it looks at, for the message.
            nbytes: Size of the array that it returns, when it returns a large one.

        Raises:
            VideoReadError: When it raises one, does not answer in time, or crashes.
            RuntimeError: When it raises anything else, or the process is killed from outside.
        """
        if not CAN_FORK:
            return run_here(self.function, *arguments)
        if self.pid is None or nbytes > len(self._memory):
            self.close()
            self._start(nbytes)
        try:
            self._pipe.send(arguments)
            while self._pipe.poll(self.timeout_s):
                kind, value, trace = self._pipe.recv()
                if kind == "error":
                    raise value from RemoteTracebackError(trace)
                if kind == "array":
                    return np.frombuffer(self._memory, np.uint8, math.prod(value)).reshape(value)
                if kind == "result":
                    return value
        except (EOFError, ConnectionError):
            raise self._crashed(path) from None
        where = self._kill()
        reason = f"reading it did not come to an end within {self.timeout_s:g} s and was given up"
        raise VideoReadError(path, f"{reason} (datamodule.decode_timeout_s)") from RemoteTracebackError(where)

    def interrupt(self) -> None:
        """Kill the process while another thread waits for its answer; that one's call ends with an error."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process, if there is one; the next call starts another."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            self._end()

    def _start(self, nbytes: int) -> None:
        self._memory = mmap.mmap(-1, max(nbytes, 1))  # the old one goes with the last array in it
        with _starting:
            self._pipe, theirs = multiprocessing.Pipe()
            self._trace, their_trace = os.pipe()
            parent = os.getpid()
            self.pid = os.fork()
            if self.pid == 0:
                self._pipe.close()
                self._serve(theirs, their_trace, parent)
            theirs.close()
            os.close(their_trace)

    def _serve(self, pipe: Connection, trace: int, parent: int) -> NoReturn:
        """What the forked process does; it never returns to the code that it was forked from."""
        try:
            for number in FOR_OTHERS:
                signal.signal(number, signal.SIG_IGN)
            faulthandler.register(DUMP_SIGNAL, file=trace)
            die_with(parent)
            while True:
                pipe.send(self._answer(pipe, pipe.recv()))
        finally:  # the other end is closed, or this process is of no use: without its parent's cleaning up
            os._exit(0)

    def _answer(self, pipe: Connection, arguments: tuple) -> tuple[str, Any, str]:
        try:
            result = self.function(*arguments)
            while inspect.isgenerator(result):
                try:
                    next(result)
                    pipe.send(("alive", None, ""))
                except StopIteration as end:
                    result = end.value
        except (VideoReadError, MissingBackendError) as error:
            return "error", error, traceback.format_exc()
        except Exception as error:  # whatever it is, it has to be raised where it can be seen
            return "error", RuntimeError(f"{type(error).__name__}: {error}"), traceback.format_exc()
        if not isinstance(result, np.ndarray) or result.nbytes > len(self._memory) or result.dtype != np.uint8:
            return "result", result, ""
        np.frombuffer(self._memory, np.uint8, result.size).reshape(result.shape)[...] = result
        return "array", result.shape, ""

    def _crashed(self, path: Path) -> Exception:
        """Tell what a process died of that has closed its pipe."""
        status = self._end()
        if status is not None and os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
            return VideoReadError(path, f"its decoder crashed ({signal.Signals(os.WTERMSIG(status)).name})")
        return RuntimeError(f"{path}: the process that read it was killed from outside; is the memory used up?")

    def _kill(self) -> str:
        """Kill the process, and return where it was stuck."""
        os.kill(self.pid, DUMP_SIGNAL)
        told, wait = b"", PATIENCE_S
        while select.select([self._trace], [], [], wait)[0] and (part := os.read(self._trace, mmap.PAGESIZE)):
            told, wait = told + part, QUIET_S
        os.kill(self.pid, signal.SIGKILL)
        self._end()
        return told.decode(errors="replace") or "it does not tell where"

    def _end(self) -> int | None:
        """Give back what belongs to a process that is dead or about to be; its exit status if it has one."""
        status, until = None, time.monotonic() + PATIENCE_S
        while status is None and time.monotonic() < until:
            pid, found = os.waitpid(self.pid, os.WNOHANG)
            status = found if pid else None
            if status is None:
                time.sleep(PATIENCE_S / 1000)
        self._pipe.close()
        os.close(self._trace)
        self.pid = None
        return status


def die_with(parent: int) -> None:
    """Have the system kill this process when its parent ends, also where it is stuck and would not notice."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended already
        os._exit(0)
