"""The process that decodes: it is kept, killed when it is stuck, and takes no blame that is not its file's."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from datamodules import killable
from datamodules.errors import VideoReadError
from datamodules.killable import KillableProcess, RemoteTracebackError

TIMEOUT_S = 1.5


def spin(*_: object) -> None:
    while True:
        pass


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not is_alive(pid)


def test_a_process_is_used_again_until_it_is_stuck_and_then_replaced() -> None:
    process = KillableProcess(lambda stuck: spin() if stuck else os.getpid(), TIMEOUT_S)
    first = process.call(False, path=Path("a"))
    assert process.call(False, path=Path("a")) == first == process.pid
    with pytest.raises(VideoReadError, match="a: reading it did not come to an end") as caught:
        process.call(True, path=Path("a"))
    assert isinstance(caught.value.__cause__, RemoteTracebackError) and "in spin" in str(caught.value.__cause__)
    assert not is_alive(first)
    second = process.call(False, path=Path("a"))
    assert second != first
    process.close()
    assert not is_alive(second)


def test_arrays_of_any_size_come_back_whole() -> None:
    process = KillableProcess(lambda n: np.arange(n, dtype=np.uint8).reshape(-1, 2), TIMEOUT_S)
    for size in (100, 250, 40, 200):
        returned = process.call(size, path=Path("a"), nbytes=size)
        np.testing.assert_array_equal(returned, np.arange(size).reshape(-1, 2))
    np.testing.assert_array_equal(process.call(254, path=Path("a")), np.arange(254).reshape(-1, 2))
    process.close()


def signs_of_life(count: int, pause_s: float) -> Iterable[None]:
    for _ in range(count):
        time.sleep(pause_s)
        yield
    return count


def test_the_deadline_holds_from_one_sign_of_life_to_the_next() -> None:
    process = KillableProcess(signs_of_life, TIMEOUT_S)
    assert process.call(8, TIMEOUT_S / 4, path=Path("a")) == 8
    with pytest.raises(VideoReadError):
        process.call(1, 10 * TIMEOUT_S, path=Path("a"))
    process.close()


def test_signals_to_the_whole_job_do_not_make_a_file_look_broken() -> None:
    process = KillableProcess(os.getpid, TIMEOUT_S)
    pid = process.call(path=Path("a"))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
        os.kill(pid, number)
    assert process.call(path=Path("a")) == pid
    os.kill(pid, signal.SIGKILL)  # what the system does when memory is short
    with pytest.raises(RuntimeError, match="killed from outside") as caught:
        process.call(path=Path("a"))
    assert not isinstance(caught.value, VideoReadError)


def test_an_error_in_the_process_that_is_not_of_the_file_is_no_bad_data() -> None:
    process = KillableProcess(lambda: 1 / 0, TIMEOUT_S)
    with pytest.raises(RuntimeError, match="ZeroDivisionError") as caught:
        process.call(path=Path("a"))
    assert not isinstance(caught.value, VideoReadError)
    process.close()


def start_and_get_stuck(pids: "multiprocessing.Queue[int]") -> None:
    process = KillableProcess(lambda stuck: spin() if stuck else os.getpid(), 600.0)
    pids.put(process.call(False, path=Path("a")))
    time.sleep(0.1)
    process.call(True, path=Path("a"))


def test_a_stuck_process_dies_with_the_worker_that_is_killed() -> None:
    context = multiprocessing.get_context("fork")
    pids = context.Queue()
    worker = context.Process(target=start_and_get_stuck, args=(pids,))
    worker.start()
    pid = pids.get(timeout=30)
    time.sleep(0.3)
    assert is_alive(pid)
    worker.kill()
    worker.join()
    assert gone_within(pid, 5.0)


def test_where_nothing_can_be_forked_the_function_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def steps(number: int) -> Iterable[int]:
        yield from range(3)
        return number, os.getpid()

    monkeypatch.setattr(killable, "CAN_FORK", False)
    process = KillableProcess(steps, TIMEOUT_S)
    assert process.call(7, path=Path("a")) == (7, os.getpid())
    assert process.pid is None
    assert KillableProcess(abs, TIMEOUT_S).call(-2, path=Path("a")) == 2
