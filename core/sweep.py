"""One job among many: a sweep goes on without a job that fails, and its last words are why the first one did."""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode

from core.errors import is_for_users, keep, readable, wrong
from core.sweep_table import show_table

DIRECTIONS = {"min": "minimize", "max": "maximize"}  # of monitor.mode, as Optuna calls them

log = logging.getLogger(__name__)


class JobError(CompactHydraException):
    """A job of a sweep failed. Hydra says which one where the sweep ends; ``reason`` is left to ``last_word``.

    Made of two texts alone, so that it comes back whole from the process of a parallel job.
    """

    def __init__(self, job: str, reason: str) -> None:
        super().__init__(job, reason)
        self.job, self.reason = job, reason

    def __str__(self) -> str:
        return f"job {self.job} failed"


def errors_of_a_job() -> AbstractContextManager[None]:
    """How a job fails: alone it ends the program with its message; in a sweep the other jobs go on."""
    return _errors_of_one_of_many() if is_sweep() else readable(everybody=True)


def is_sweep() -> bool:
    """Whether this job is one of many."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


@contextmanager
def _errors_of_one_of_many() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        job = HydraConfig.get().runtime.output_dir
        if is_for_users(error):
            reason, trace = str(error), None
            keep(error)
        else:
            reason, trace = f"{type(error).__name__}: {error}", error
        log.error("job %s failed: %s", job, reason, exc_info=trace)
        raise JobError(job, reason) from error


def check_direction(monitor: Mapping[str, str] | None) -> None:
    """Refuse a search that would look for the worst: what a job returns is the best value of the monitored metric.

    Raises:
        ConfigError: When ``hydra.sweeper.direction`` is not that of ``monitor.mode``.
    """
    direction = HydraConfig.get().sweeper.get("direction") if is_sweep() else None
    if direction is None or monitor is None:
        return
    found, wanted = getattr(direction, "name", direction), DIRECTIONS[monitor["mode"]]
    if found != wanted:
        problem = f"monitor.mode={monitor['mode']} of {monitor['metric']} needs hydra.sweeper.direction={wanted}"
        raise wrong("hydra.sweeper.direction", found, problem)


@contextmanager
def last_word() -> Iterator[None]:
    """Print what the job, or the first of a sweep that failed, failed of as the last thing; Hydra ends with advice."""
    try:
        yield
    except SystemExit as end:
        error = end.__context__
        if isinstance(error, JobError):
            show_table()  # Hydra tells its callbacks of no end like this
            print(f"{error}: {error.reason}", file=sys.stderr)
        elif isinstance(error, Exception) and not isinstance(error, CompactHydraException) and not is_for_users(error):
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        raise
