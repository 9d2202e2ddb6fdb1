"""What imported classes take, with the arguments that their constructors hand on to those of base classes."""

import inspect
from collections.abc import Callable
from itertools import takewhile

from hydra.utils import get_object


def constructors(target: str) -> list[Callable]:
    """The function that ``target`` means; of a class, its constructor and those that it hands ``**kwargs`` on to."""
    found = get_object(target)
    if not inspect.isclass(found):
        return [found]
    chain = [vars(one)["__init__"] for one in found.__mro__[:-1] if "__init__" in vars(one)]
    open_ones = list(takewhile(takes_more, chain))
    return chain[: len(open_ones) + 1] or [takes_nothing]


def takes_nothing() -> None:
    """In place of the constructor of a class that has none."""


def real_parameters(target: str) -> dict[str, inspect.Parameter]:
    """Parameters by name, without ``self`` and without ``**kwargs``; the nearest constructor decides on a default."""
    found: dict[str, inspect.Parameter] = {}
    for constructor in constructors(target):
        found = {**inspect.signature(constructor).parameters, **found}
    return {name: one for name, one in found.items() if one.kind is not one.VAR_KEYWORD and name != "self"}


def takes_more(function: Callable) -> bool:
    """Whether a function has ``**kwargs``."""
    return any(one.kind is one.VAR_KEYWORD for one in inspect.signature(function).parameters.values())
