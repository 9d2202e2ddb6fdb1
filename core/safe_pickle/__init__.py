"""Reads pickles of arrays and plain values without unpickling them: nothing that they name is imported or called.

A pickle is a program for a small machine, and unpickling runs it. Here a machine of our own runs it (``machine.py``),
which knows containers, texts and numbers, and the few names with which every generation of numpy writes its arrays;
what they stand for it makes by itself (``arrays.py``). Any other name or instruction is refused.
"""

from typing import Any

from core.safe_pickle.arrays import RefusedError
from core.safe_pickle.machine import Machine

__all__ = ["BrokenError", "RefusedError", "loads"]


class BrokenError(ValueError):
    """Bytes that are no pickle, or not all of one; the message says where it went wrong."""


def loads(data: bytes) -> Any:
    """Read a pickle of containers, texts, numbers and numpy arrays of numbers, of any protocol.

    Returns:
        What ``pickle.loads(data, encoding="latin1")`` would return; ordered dictionaries are plain ones.

    Raises:
        RefusedError: When it names anything else, or holds arrays of anything else; nothing of it was run.
        BrokenError: When it is no pickle or ends too early.
    """
    try:
        return Machine(data).run()
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise BrokenError(str(error)) from error
