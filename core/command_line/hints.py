"""Whether a plain value from a config can be meant for an annotated parameter, and how to say what could."""

import collections.abc
import inspect
from enum import Enum
from os import PathLike
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from core.errors import plain

_SEQUENCES = (
    list,
    set,
    frozenset,
    collections.abc.Sequence,
    collections.abc.Iterable,
    collections.abc.Collection,
    collections.abc.MutableSequence,
)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_OBJECT = "an object (_target_: ...)"
_WORDS = {
    NoneType: "null",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}


class Instance:
    """Stands for a class that is known by name only: it takes an object, never a number or text."""


def fits(value: Any, hint: Any) -> bool:
    """Whether ``value`` can be meant for ``hint``.

    Whole numbers fit ``float``, lists fit tuples, text fits paths; a mapping with ``_target_`` will be an object and
    fits everything but the plain types. An annotation that says nothing is fitted by everything.

    Args:
        value: Plain value: None, bool, int, float, str, list, dict.
        hint: A type or annotation, evaluated.
    """
    origin, arms = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(value, arm) for arm in arms)
    if origin is Annotated:
        return fits(value, arms[0])
    if origin is Literal:
        return any(type(value) is type(arm) and value == arm for arm in arms)
    if hint is None or hint is NoneType:
        return value is None
    if hint in (bool, str):
        return isinstance(value, hint)
    if hint in (int, float, complex):
        return isinstance(value, int if hint is int else (int, float)) and not isinstance(value, bool)
    if isinstance(value, dict) and "_target_" in value:
        return True
    kind = origin or hint
    if kind is tuple:
        return _fits_tuple(value, arms)
    if kind in _SEQUENCES:
        return isinstance(value, list | tuple) and (not arms or all(fits(element, arms[0]) for element in value))
    if kind in _MAPPINGS:
        return isinstance(value, dict) and (len(arms) < 2 or all(fits(element, arms[1]) for element in value.values()))
    if kind is collections.abc.Callable:
        return not isinstance(value, bool | int | float | str | list | NoneType)
    if not inspect.isclass(kind) or kind in (Any, object):  # typing.Any is a class since Python 3.11
        return True
    if issubclass(kind, PathLike):
        return isinstance(value, str | PathLike)
    if issubclass(kind, Enum):
        return isinstance(value, kind) or value in {member.value for member in kind}
    return not isinstance(value, bool | int | float | str | NoneType)


def _fits_tuple(value: Any, arms: tuple) -> bool:
    if not isinstance(value, list | tuple):
        return False
    if not arms:
        return True
    if len(arms) == 2 and arms[1] is Ellipsis:
        return all(fits(element, arms[0]) for element in value)
    return len(value) == len(arms) and all(fits(element, arm) for element, arm in zip(value, arms, strict=True))


def choices_of(hint: Any) -> list[Any]:
    """Values that ``hint`` lists one by one: literals, members of an enum, true and false; empty when it does not."""
    if get_origin(hint) in (Union, UnionType):
        return [choice for arm in get_args(hint) for choice in choices_of(arm)]
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    if hint is bool:
        return [True, False]
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return [member.value for member in hint]
    return [None] if hint in (None, NoneType) else []


def spell(hint: Any) -> str:
    """Say in words what fits ``hint``, as the end of "expected ...": ``a whole number or null``."""
    origin, arms = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _spell_union(arms)
    if origin is Literal:
        return f"one of {', '.join(plain(arm) for arm in arms)}"
    if origin is tuple and arms:
        if arms[-1] is Ellipsis:
            return f"a list, each {spell(arms[0])}"
        return f"a list of {len(arms)} ({', '.join(spell(arm) for arm in arms)})"
    kind = NoneType if hint is None else origin or hint
    if kind in _WORDS:
        return _WORDS[kind]
    if kind in _SEQUENCES or kind is tuple:
        return f"a list, each {spell(arms[0])}" if arms else "a list"
    if kind in _MAPPINGS:
        return "a mapping"
    if kind is Any or kind is object:
        return "anything"
    if inspect.isclass(kind) and issubclass(kind, PathLike):
        return "a path"
    return _OBJECT


def _spell_union(arms: tuple) -> str:
    listed = [value for arm in arms if get_origin(arm) is Literal for value in get_args(arm)]
    words = [spell(arm) for arm in arms if get_origin(arm) is not Literal]
    if float in arms:
        words = [word for word in words if word != _WORDS[int]]
    if len(words) + len(listed) > 1:
        words = [word for word in words if word != _OBJECT] or words  # who types an override types a plain value
    if listed:
        words.insert(0, f"one of {', '.join(dict.fromkeys(plain(value) for value in listed))}")
    return " or ".join(dict.fromkeys(words))
