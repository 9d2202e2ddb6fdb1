"""Turn a config node into an object, with errors that name the config key. The only caller of Hydra's instantiate."""

import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from core.command_line.signature import signature
from core.command_line.targets import RESERVED, TRUSTED, check_values, targets, unknown_parameter, untrusted
from core.errors import ConfigError, is_message, nearest, wrong

# What constructors raise when a value does not suit them; anything else is a fault of the program.
_REFUSALS = (ValueError, TypeError, FileNotFoundError, ModuleNotFoundError, MisconfigurationException)


def build(
    node: DictConfig | Mapping[str, Any], key: str, /, *, trusted: tuple[str, ...] = TRUSTED, **extra: Any
) -> Any:
    """Instantiate ``node`` with plain Python containers.

    Targets, names and plain types are checked against what is really imported, which includes what the check of the
    command line (``core/command_line/check.py``) cannot see.

    Args:
        node: Config node with a ``_target_``.
        key: Dotted path of the node, used in messages.
        trusted: Prefixes of the targets that may be built.
        **extra: Arguments that are objects rather than configuration: a model, callbacks.

    Raises:
        ConfigError: For an untrusted or missing target, an unknown parameter, a value of the wrong type, an
            interpolation that is still there, and for a value that the constructor refuses.
    """
    node = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else dict(node)
    if "_target_" not in node:
        raise wrong(f"{key}._target_", ..., "missing; it names the class to build")
    _refuse_interpolations(node, key)
    found = {place: find(target, place, trusted) for place, target in targets(node, key)}
    for place, factory in found.items():
        _check_arguments(place, _at(node, place[len(key) :]), factory, extra if place == key else {})
    try:
        return instantiate(node, _convert_="all", **extra)
    except InstantiationException as error:
        cause = error.__cause__
        if cause is not None and is_message(cause):
            raise cause from None
        if isinstance(cause, _REFUSALS):
            raise ConfigError(_with_key(key, node, str(cause))) from cause
        raise


def _refuse_interpolations(node: Any, key: str) -> None:
    """A node is resolved before it is built; what Hydra would resolve now could bring in targets nobody has checked."""
    if isinstance(node, str) and "${" in node:
        raise wrong(key, node, "an interpolation, in a config that has been resolved")
    if isinstance(node, Mapping):
        for name, child in node.items():
            _refuse_interpolations(name, key)
            _refuse_interpolations(child, f"{key}.{name}")
    elif isinstance(node, (list, tuple)):
        for index, child in enumerate(node):
            _refuse_interpolations(child, f"{key}.{index}")


def find(target: str, key: str, trusted: tuple[str, ...] = TRUSTED) -> Any:
    """Import what ``target`` names, if it is defined in a trusted package.

    The module of the object that was found is checked as well: a dotted path can walk out of a trusted module through
    what that module imports.

    Raises:
        ConfigError: For a target that is untrusted or does not exist.
    """
    if not target.startswith(trusted):
        raise untrusted(key, target, trusted)
    try:
        found = get_object(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise wrong(f"{key}._target_", target, f"cannot be imported ({error})", near=_near(target)) from error
    if not f"{getattr(found, '__module__', '')}.".startswith(trusted):
        raise untrusted(key, target, trusted)
    return found


def _near(target: str) -> str | None:
    module, _, name = target.rpartition(".")
    try:
        names = vars(get_object(module))
    except (ImportError, AttributeError, ValueError, TypeError):
        return None
    near = nearest(name, names)
    return near and f"{module}.{near}"


def _at(node: Any, place: str) -> dict[str, Any]:
    """The part of ``node`` at a dotted place that begins with a dot; the node itself for an empty place."""
    for name in place.split(".")[1:]:
        node = node[int(name)] if isinstance(node, (list, tuple)) else node[name]
    return node


def _check_arguments(key: str, node: dict[str, Any], factory: Any, extra: Mapping[str, Any]) -> None:
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # compiled code does not tell
        return
    values = {name: value for name, value in node.items() if name not in RESERVED}
    try:
        hints = get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    except (NameError, TypeError):  # annotations that exist for type checkers only
        hints = {}
    is_open = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    read = signature(node["_target_"]) if is_open else None  # follows what a constructor hands on to its base class
    if read is not None and not read.is_open:
        parameters, is_open = read.parameters, False
        hints = {**{name: parameter.hint for name, parameter in read.parameters.items()}, **hints}
    for name in () if is_open else (*values, *extra):
        if name not in parameters:
            free = [one for one in parameters if one not in extra]
            raise unknown_parameter(key, name, values.get(name, ...), node["_target_"], free)
    check_values(key, values, hints)


def _with_key(key: str, node: Mapping[str, Any], text: str) -> str:
    """Put the key before a constructor's message, joined where the message begins with the parameter's name."""
    if text.startswith(f"{key.partition('.')[0]}."):
        return text
    return f"{key}.{text}" if text.partition(":")[0] in node else f"{key}: {text}"
