"""Config files say what the classes say: no key that nobody takes, no default written down twice with two values."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.command_line.check import check_overrides
from core.command_line.targets import CORE_KEYS, RESERVED
from core.command_line.zoo import CONF, choices
from core.errors import PROJECT, ConfigError
from tests.constructors import constructors, real_parameters, takes_more

FILES = sorted(path.relative_to(CONF) for path in CONF.rglob("*.yaml"))
LEFT_TO_THE_USER = "???"
AUTOENCODERS = ("models.focusmae.FocusMAE", "models.masked_autoencoder.MaskedAutoencoder")
SWITCHED = ("callbacks", "debug", "logger", "optim", "scheduler")
SWITCHES = [f"{group}={name}" for group in SWITCHED for name in choices(group)]


def nodes(content: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and content of every node with a target, however deep."""
    if isinstance(content, dict):
        if "_target_" in content:
            yield key, content
        for name, child in content.items():
            yield from nodes(child, f"{key}.{name}" if key else name)


def values(node: dict[str, Any]) -> dict[str, Any]:
    """What a node gives to its target, without the keys that Hydra and core take out."""
    taken = {"defaults", *RESERVED, *(name for names in CORE_KEYS.values() for name in names)}
    return {name: value for name, value in node.items() if name not in taken}


def check_names(node: dict[str, Any]) -> None:
    target = node["_target_"]
    is_open = takes_more(constructors(target)[-1])
    assert is_open or values(node).keys() <= real_parameters(target).keys()


def built_here() -> list[tuple[str, dict[str, Any]]]:
    """Every node of every config file that has a target: ``file: key`` and content."""
    found = ((path, node) for path in FILES for node in nodes(yaml.safe_load((CONF / path).read_text())))
    return [(f"{path}: {key}", node) for path, (key, node) in found]


NODES = built_here()
OURS = [(place, node) for place, node in NODES if node["_target_"].partition(".")[0] in PROJECT]
BASES = [(place, node) for place, node in OURS if not place.startswith("model/backbone/")]  # settings of some weights


def chain(path: Path) -> dict[str, Any]:
    """Content of a file joined with that of the files it builds on."""
    content = yaml.safe_load(path.read_text()) or {}
    bases = [base for base in content.get("defaults", ()) if isinstance(base, str) and base != "_self_"]
    joined: dict[str, Any] = {}
    for base in bases:
        joined |= chain(path.with_name(f"{base}.yaml"))
    return joined | {name: value for name, value in content.items() if name != "defaults"}


TARGETS = {name: chain(CONF / "model" / f"{name}.yaml")["_target_"] for name in choices("model")}
PRETRAINED_BY_THE_TASK = [name for name, target in TARGETS.items() if target in AUTOENCODERS]
DETECTORS = [name for name, target in TARGETS.items() if target in ("models.mil.MIL", "models.rtfm.RTFM")]


@pytest.mark.parametrize(("place", "node"), NODES, ids=[place for place, _ in NODES])
def test_every_key_is_a_parameter(place: str, node: dict[str, Any]) -> None:
    check_names(node)


@pytest.mark.parametrize("group", ["model", "datamodule"])
def test_every_key_of_a_variant_is_a_parameter(group: str) -> None:
    for name in choices(group):
        check_names(chain(CONF / group / f"{name}.yaml"))


@pytest.mark.parametrize(("place", "node"), BASES, ids=[place for place, _ in BASES])
def test_a_base_file_repeats_the_defaults_of_the_class(place: str, node: dict[str, Any]) -> None:
    parameters = real_parameters(node["_target_"])
    for name, value in values(node).items():
        if isinstance(value, str) and ("${" in value or value == LEFT_TO_THE_USER):
            continue
        if isinstance(value, dict) and "_target_" in value:
            continue  # a node of its own
        value = tuple(value) if isinstance(value, list) else value
        default = parameters[name].default
        assert default is not inspect.Parameter.empty, f"{place}.{name} has no default to repeat"
        assert value == default and isinstance(value, bool) == isinstance(default, bool), f"{place}.{name}"


@pytest.mark.parametrize("choice", SWITCHES)
def test_every_part_suits_the_task(choice: str) -> None:
    check_overrides(["task=focusmae", choice])


@pytest.mark.parametrize("name", PRETRAINED_BY_THE_TASK)
def test_every_autoencoder_suits_the_task(name: str) -> None:
    check_overrides(["task=focusmae", f"model={name}"])


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_suits_the_task(name: str) -> None:
    check_overrides(["task=vad", f"model={name}", f"datamodule.features={CONF}"])


@pytest.mark.parametrize(
    ("override", "parts"),
    {
        "model.diim=3": ("no such key", "'model.dim'"),
        "+model.diim=3": ("models.focusmae.FocusMAE has no such parameter", "'model.dim'"),
        "model.dim=wide": ("expected a whole number",),
        "model.positions=lerned": ("one of sinusoid, learned", "'learned'"),
        "+model.mask=tube": ("models.focusmae.FocusMAE has no such parameter",),
        "+model.decoder_mask=running_cell": ("models.focusmae.FocusMAE has no such parameter",),
    }.items(),
)
def test_what_focusmae_takes_by_way_of_its_base_class_is_checked_by_name_and_type(
    override: str, parts: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as error:
        check_overrides(["task=focusmae", override])
    assert str(error.value).startswith(override.lstrip("+"))
    for part in parts:
        assert part in str(error.value)
