"""One function for many files, each in a process that can be killed."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import get_ident
from typing import Any

from datamodules.errors import VideoReadError
from datamodules.killable import KillableProcess
from datamodules.video_index import progress


def for_each(
    function: Callable[..., Any],
    calls: Mapping[Path, tuple],
    processes: int,
    timeout_s: float | None,
    done: str = "looked at",
) -> Iterator[tuple[Path, Any]]:
    """Call a function for every file in several processes, and show how far it is; leaving early ends the processes.

    Args:
        function: What to call, mostly a generator that yields while it goes on (``KillableProcess``).
        calls: Its arguments by the file that it is about.
        processes: Files that are worked on at the same time, at least one and at most one per processor core.
        timeout_s: Seconds without a sign of life after which a file is given up; None for never.
        done: What has been done to a file, for the progress.

    Yields:
        Each file, in the order in which they are done, with the result of the call, or the ``VideoReadError`` that it
        raised or that its process was stuck or crashed with.
    """
    started: dict[int, KillableProcess] = {}

    def call(path: Path) -> Any:
        process = started.setdefault(get_ident(), KillableProcess(function, timeout_s))
        try:
            return process.call(*calls[path], path=path)
        except VideoReadError as error:
            return error

    pool = ThreadPoolExecutor(max(1, min(processes, os.cpu_count() or 1)), thread_name_prefix="video")
    try:
        running = {pool.submit(call, path): path for path in calls}
        with progress(len(calls), done) as advance:
            for future in as_completed(running):
                advance()
                yield running[future], future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in started.values():
            process.interrupt()
        pool.shutdown()
        for process in started.values():
            process.close()
