"""Loader workers: how they are started and ended, and what all loaders that have some are made with."""

import atexit
import multiprocessing
import signal
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import Dataset

from datamodules.killable import FOR_OTHERS


def loading_options(data: Dataset, num_workers: int, collate: Callable[[list], Any]) -> dict[str, Any]:
    """Arguments that all loaders share, by keyword: Lightning rebuilds the loader of ``predict`` from them."""
    return {
        "dataset": data,
        "num_workers": num_workers,
        "persistent_workers": num_workers > 0,
        "collate_fn": collate,
        "worker_init_fn": leave_signals_to_the_main_process,
        "multiprocessing_context": start_of_workers() if num_workers else None,
        "pin_memory": torch.cuda.is_available(),
    }


def leave_signals_to_the_main_process(worker: int) -> None:
    """Let a loader worker go on after a signal that reaches all processes of a job: the main one decides."""
    for number in FOR_OTHERS:
        signal.signal(number, signal.SIG_IGN)


@atexit.register
def end_forgotten_workers() -> None:
    """Kill the loader workers that are still there when the program ends, because something holds their loader.

    Python ends such processes by a signal that these ignore, and would wait for them for ever.
    """
    forgotten = [process for process in multiprocessing.active_children() if process.daemon]
    if forgotten and hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would complain of workers that are killed
    for process in forgotten:
        process.kill()


def start_of_workers() -> str | None:
    """How loader workers are started: None for the usual way.

    In a process of joblib, which runs a job of a sweep, the usual way is joblib's own, and that starts nothing else.
    """
    possible = multiprocessing.get_all_start_methods()
    return None if multiprocessing.get_start_method() in possible else possible[0]
