"""Errors that are messages to the person at the keyboard: one or two lines, no traceback."""

import dis
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

PROJECT = ("models", "datamodules", "metrics", "tasks", "callbacks", "core")
_MOST_LISTED = 40  # names in one message; longer lists end in an ellipsis

log = logging.getLogger(__name__)


class ConfigError(ValueError):
    """A setting that cannot be used, named by its key as it is typed on the command line."""


def wrong(key: str, value: Any, problem: str, possible: Iterable[Any] = (), near: str | None = None) -> ConfigError:
    """Compose the error of a setting, always in the same form.

    Args:
        key: Dotted key as typed.
        value: What it was set to; ``...`` when the setting has no value.
        problem: What is wrong, as a phrase.
        possible: Everything that would be right, where that can be listed.
        near: The nearest right name; looked for among ``possible`` when None.

    Returns:
        ``key=value: problem; did you mean 'near'?`` and, on a second line, what is possible.
    """
    possible = [plain(choice) for choice in possible]
    typed = "" if value is ... else plain(value)
    if near is None:
        near = nearest(typed, possible) or nearest(key.rpartition(".")[2], possible)
    text = f"{key}{'' if value is ... else '='}{typed}: {problem}"
    if near is not None:
        text += f"; did you mean {near!r}?"
    if possible:
        more = ", ..." if len(possible) > _MOST_LISTED else ""
        text += f"\n  possible: {', '.join(possible[:_MOST_LISTED])}{more}"
    return ConfigError(text)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The most similar of ``names``, or None when none is similar."""
    return next(iter(get_close_matches(name, list(names), n=1)), None)


def plain(value: Any) -> str:
    """Spell a value as it is typed on the command line."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_message(error: BaseException) -> bool:
    """Whether ``error`` was written for users: its class is one of the project's own."""
    return type(error).__module__.partition(".")[0] in PROJECT


def is_worded(error: BaseException) -> bool:
    """Whether ``error`` is a ``ValueError`` or ``FileNotFoundError`` that a ``raise`` statement of the project wrote.

    The same classes come out of calls that went wrong, such as ``int("x")``: those are faults of the program.
    """
    origin = error.__traceback__
    if origin is None or not isinstance(error, (ValueError, FileNotFoundError)):
        return False
    while origin.tb_next is not None:
        origin = origin.tb_next
    package = origin.tb_frame.f_globals.get("__name__", "").partition(".")[0]
    return package in PROJECT and origin.tb_frame.f_code.co_code[origin.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def is_for_users(error: BaseException) -> bool:
    """Whether the message of ``error`` is enough on the screen; ``HYDRA_FULL_ERROR=1`` asks for more."""
    return (is_message(error) or is_worded(error)) and os.environ.get("HYDRA_FULL_ERROR") != "1"


def keep(error: BaseException) -> None:
    """Write ``error`` with its traceback into the job's log file, and not on the screen."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            trace = (type(error), error, error.__traceback__)
            handler.emit(log.makeRecord(log.name, logging.ERROR, "", 0, str(error), (), trace))


def primary_process() -> bool:
    """Whether this process speaks for the job, by the variables of torchrun, SLURM and Lightning."""
    ranks = (os.environ.get(name, "0") for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK"))
    return all(rank == "0" for rank in ranks)


@contextmanager
def readable(everybody: bool = False) -> Iterator[None]:
    """End the program with the message alone when an error was written for users.

    The traceback goes to the job's log file; ``HYDRA_FULL_ERROR=1`` brings it to the screen.

    Args:
        everybody: Whether processes other than the first speak as well; not where all find the same error.
    """
    try:
        yield
    except Exception as error:
        if not is_for_users(error):
            raise
        keep(error)
        if everybody or primary_process():
            print(error, file=sys.stderr)
        sys.exit(1)


@contextmanager
def until_read() -> Iterator[None]:
    """Stop printing without a word when nobody reads on, as in ``| head``."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # Python would complain once more when it closes the stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
