"""Which classes a config may name, and what is said about names and values that do not suit them."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from core.command_line.hints import choices_of, fits, spell
from core.errors import ConfigError, nearest, plain, wrong

TRUSTED = (
    "models.",
    "datamodules.",
    "metrics.",
    "tasks.",
    "callbacks.",
    "core.",
    "torch.",
    "lightning.",
    "torchmetrics.",
)
TOP_LEVEL = (
    *("name", "mode", "seed", "run_id", "ckpt_path", "compile", "test_after_fit", "nonfinite", "monitor"),
    *("next", "paths", "task", "datamodule", "model", "optim", "scheduler", "trainer", "callbacks", "logger", "resume"),
)
RESERVED = {"_target_", "_partial_", "_args_", "_convert_", "_recursive_"}  # keys with which Hydra builds
SUPPLIED = {"task": ("model", "optimizer", "scheduler"), "trainer": ("callbacks", "logger")}  # by core/run.py
CORE_KEYS = {"model": ("pretrained",), "optim": ("reference_batch",)}  # taken out by core/run.py


def settings(config: Mapping[str, Any]) -> list[str]:
    """Keys of the optimizer and the schedule that a continued run may change (``resume.override``)."""
    groups = {group: config.get(group) or {} for group in ("optim", "scheduler")}
    hidden = RESERVED | {*CORE_KEYS["optim"]}
    return [f"{group}.{name}" for group, node in groups.items() for name in node if name not in hidden]


def targets(node: Any, key: str) -> Iterator[tuple[str, str]]:
    """Key and target of every ``_target_`` in a plain config, however deep."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield key, str(node["_target_"])
        for name, child in node.items():
            yield from targets(child, f"{key}.{name}")
    elif isinstance(node, (list, tuple)):
        for index, child in enumerate(node):
            yield from targets(child, f"{key}.{index}")


def untrusted(key: str, target: str, trusted: tuple[str, ...] = TRUSTED) -> ConfigError:
    """The error of a target outside the packages that may be built from."""
    names = [prefix.rstrip(".") for prefix in trusted]
    top = target.partition(".")[0]
    return wrong(f"{key}._target_", target, "outside the trusted packages", names, nearest(top, names))


def unknown_parameter(key: str, name: str, value: Any, target: str, parameters: Collection[str]) -> ConfigError:
    """The error of a name that the target does not take."""
    near = nearest(name, parameters)
    return wrong(f"{key}.{name}", value, f"{target} has no such parameter", parameters, near and f"{key}.{near}")


def wrong_type(key: str, value: Any, hint: Any) -> ConfigError:
    """The error of a value that does not suit its parameter."""
    choices = choices_of(hint)
    near = nearest(plain(value), [plain(choice) for choice in choices]) if isinstance(value, str) else None
    text = f"expected {spell(hint)}"
    return ConfigError(f"{key}={plain(value)}: {text}{f'; did you mean {near!r}?' if near else ''}")


def check_values(key: str, node: Mapping[str, Any], hints: Mapping[str, Any]) -> None:
    """Compare the values of a node with the annotations of the parameters they are for.

    Raises:
        ConfigError: For the first value that does not fit.
    """
    for name, value in node.items():
        if name in hints and not fits(value, hints[name]):
            raise wrong_type(f"{key}.{name}" if key else name, value, hints[name])
