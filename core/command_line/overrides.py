"""Read the overrides of a command line as Hydra will, and say what is wrong with them in the words of the user."""

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import chain
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override, OverrideType, RangeSweep
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from core import run_id  # noqa: F401 registers the resolver that the config uses
from core.command_line.signature import signature
from core.command_line.targets import RESERVED, SUPPLIED, TOP_LEVEL
from core.command_line.zoo import CONF, choices, groups
from core.errors import ConfigError, nearest, wrong

ROOT_CONFIG = "train"
SWEEPER, LAUNCHER, SEARCHED = "hydra/sweeper", "hydra/launcher", "hydra.sweeper.params."
EXTRAS = {"optuna": "sweeps", "joblib": "sweeps", "submitit_slurm": "slurm", "submitit_local": "slurm"}


def parse(overrides: list[str]) -> list[Override]:
    """Parse each override.

    Raises:
        ConfigError: For text that is not ``key=value`` in Hydra's grammar.
    """
    parser = OverridesParser.create()
    parsed = []
    for text in overrides:
        try:
            parsed += parser.parse_overrides([text])
        except HydraException:
            raise _unreadable(text) from None
    return parsed


def _unreadable(text: str) -> ConfigError:
    key, equals, value = text.partition("=")
    if equals:
        return wrong(key, value, f"cannot be read; quote text with special characters: '{key}=\"{value}\"'")
    known = {name: f"{group}={name}" for group in groups() for name in choices(group)}
    near = nearest(key, known)
    return wrong(key, ..., "expected KEY=VALUE", [f"{group}=..." for group in groups()], known.get(near))


def jobs(parsed: list[Override], multirun: bool) -> Iterator[list[str]]:
    """Command lines that together hold every value of a sweep, each value once; one command line without a sweep.

    A value is joined with the first value of the other sweeps, so that the number of command lines grows with the sum,
    not the product, of the numbers of values. The other combinations are checked when their jobs start.

    Raises:
        ConfigError: For several values without ``-m``.
    """
    fixed = [override.input_line for override in parsed if not override.is_sweep_override()]
    sweeps = [override for override in parsed if override.is_sweep_override()]
    if sweeps and not multirun:
        key, _, value = sweeps[0].input_line.partition("=")
        raise wrong(key, value, f"several values make a sweep, which needs -m; a list is written {key}=[{value}]")
    if all(override.key_or_group != SWEEPER for override in parsed):
        for sweep in sweeps:
            if isinstance(sweep.value(), IntervalSweep):
                key, _, value = sweep.input_line.partition("=")
                raise wrong(key, value, f"an interval is searched, which needs {SWEEPER}=optuna")
    values = [[f"{sweep.get_key_element()}={value}" for value in _values(sweep)] for sweep in sweeps]
    first = [options[0] for options in values if options]
    yield fixed + first
    for index, options in enumerate(values):
        for option in options[1:]:
            yield fixed + first[:index] + [option] + first[index + 1 :]


def _values(sweep: Override) -> list[Any]:
    """Values of one sweep; of ranges and intervals only the ends."""
    value = sweep.value()
    if isinstance(value, IntervalSweep):
        return [value.start, value.end]
    if isinstance(value, Glob):
        found = value.filter(choices(sweep.key_or_group)) if sweep.key_or_group in groups() else []
        if not found:
            raise wrong(sweep.key_or_group, sweep.input_line.partition("=")[2], "matches nothing")
        return found
    listed = list(sweep.sweep_string_iterator())
    return [listed[0], listed[-1]] if isinstance(value, RangeSweep) and len(listed) > 1 else listed


def check_choices(parsed: list[Override]) -> None:
    """Refuse choices that a config group does not have.

    Raises:
        ConfigError: Naming the choices of the group.
    """
    if any(override.key_or_group.startswith("hydra.searchpath") for override in parsed):
        return  # configs outside this repository: Hydra knows where
    known = groups()
    for override in parsed:
        group = override.key_or_group
        if group in (SWEEPER, LAUNCHER):
            _check_plugin(group, override.value())
        if group.startswith(SEARCHED):
            key, value = group.removeprefix(SEARCHED), override.input_line.partition("=")[2]
            raise wrong(group, value, "Hydra takes no dotted key there; give the range to the key itself", near=key)
        if group not in known or override.type is OverrideType.DEL:
            continue
        value = override.value()
        names = choices(group)
        for name in value if isinstance(value, list) else [value]:
            if name is None and "none" in names:
                raise wrong(group, None, "to switch it off choose none", names, f"{group}=none")
            if not isinstance(name, str) or name not in names:
                raise wrong(group, name, "no such config", names)


def _check_plugin(group: str, name: str) -> None:
    """Refuse a sweeper or launcher that is not installed, and say how it is had."""
    Plugins.instance()  # makes those that are installed known
    files = ConfigStore.instance().list(group)
    installed = [file.removesuffix(".yaml") for file in files if file.endswith(".yaml")]
    if name not in installed:
        problem = f"is not installed: pip install -e '.[{EXTRAS[name]}]'" if name in EXTRAS else "no such choice"
        raise wrong(group, name, problem, installed)


def composed(overrides: list[str]) -> DictConfig:
    """Compose the config of one job, without Hydra's own node.

    Raises:
        ConfigError: When Hydra refuses, with the reason in the form of all our messages.
    """
    try:
        return _compose(overrides)
    except HydraException as error:
        parsed = parse(overrides)
        if "You must specify 'task'" in str(error):
            _refuse_unknown_beginnings(parsed)
            raise wrong("task", ..., "missing; give one as task=NAME", choices("task")) from None
        _diagnose(parsed)
        reason = f": {str(error.__cause__).splitlines()[0]}" if str(error.__cause__ or "") else ""
        raise ConfigError(f"{' '.join(str(error).split())}{reason}") from error


def _refuse_unknown_beginnings(parsed: list[Override]) -> None:
    """Without a task there is no config to compare with; ``tasks=focusmae`` can be told all the same."""
    names = sorted({*TOP_LEVEL, *groups()})
    for override in parsed:
        key, beginning = override.key_or_group, override.key_or_group.split(".")[0].split("/")[0]
        if beginning not in (*names, "hydra"):
            raise wrong(key, override.input_line.partition("=")[2], "no such key", names, nearest(beginning, names))


def _compose(overrides: list[str]) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(ROOT_CONFIG, overrides)


def _diagnose(parsed: list[Override]) -> None:
    """Find the override that names a key that is not there (or is there already) and raise its message."""
    known = set(groups())
    is_choice = [override.key_or_group in known or "/" in override.key_or_group for override in parsed]
    try:
        base = _compose([one.input_line for one, choice in zip(parsed, is_choice, strict=True) if choice])
    except HydraException:
        return
    for override, choice in zip(parsed, is_choice, strict=True):
        key = override.key_or_group
        if choice or key.split(".")[0] == "hydra":
            continue
        exists = _exists(base, key)
        value = override.input_line.partition("=")[2] if override.type is not OverrideType.DEL else ...
        if override.type is OverrideType.ADD and exists:
            raise wrong(f"+{key}", value, "is in the config already; leave out the '+'", near=key)
        if override.type in (OverrideType.CHANGE, OverrideType.DEL) and not exists:
            raise unknown_key(base, key, value)


def _exists(cfg: DictConfig, key: str) -> bool:
    head, _, name = key.rpartition(".")
    parent = _select(cfg, head)
    return isinstance(parent, DictConfig) and name in parent.keys()  # noqa: SIM118 missing values count as well


def _select(cfg: DictConfig, key: str) -> Any:
    try:
        return OmegaConf.select(cfg, key, default=None) if key else cfg
    except OmegaConfBaseException:
        return None


def unknown_key(cfg: DictConfig, key: str, value: Any) -> ConfigError:
    """The error of a key that ``cfg`` does not have, with the nearest one that it has or could take."""
    head, _, name = key.rpartition(".")
    while head and not isinstance(_select(cfg, head), DictConfig):
        head, _, name = head.rpartition(".")
    parent = _select(cfg, head)
    names = [str(one) for one in parent if one not in RESERVED]
    if not head:
        leaves = dict(_leaves(cfg, ""))
        beginning, _, rest = key.partition(".")
        tops = get_close_matches(beginning, {*names, *groups()})
        near = next((f"{top}.{rest}" for top in tops if rest and _exists(cfg, f"{top}.{rest}")), None)
        near = near or next(iter(tops), None) or leaves.get(name) or leaves.get(nearest(name, leaves) or "")
        return wrong(key, value, "no such key", sorted({*names, *groups()}), near)
    takes = signature(str(parent["_target_"])) if "_target_" in parent else None
    if "_target_" not in parent and (lacking := _lacking(head, name, parent)):
        return wrong(key, value, f"{name} is not chosen; choose it with {head}=[{','.join(lacking)}]")
    if takes is not None:
        if name in takes.parameters and f"{head}.{name}" == key:
            return wrong(key, value, f"taken by {parent['_target_']} but not in the config", near=f"+{key}")
        partial = {"params"} if parent.get("_partial_") else set()
        hidden = {*SUPPLIED.get(head, ()), *partial, *names}
        names += [one for one in takes.parameters if one not in hidden]
    near = nearest(name, names)
    return wrong(key, value, f"{head} has no such key", names, near and f"{head}.{near}")


def _lacking(group: str, name: str, chosen: DictConfig) -> list[str]:
    """What to choose of a group whose choices are joined, as callbacks are, to have ``name`` too; [] for none."""
    configs = {choice: OmegaConf.load(CONF / group / f"{choice}.yaml") for choice in choices(group)}
    adding = [choice for choice, config in configs.items() if name in config]
    present = [choice for choice, config in configs.items() if config and set(config) <= set(chosen)]
    return adding and [*sorted(present, key=lambda choice: choice != "default"), adding[0]]


def _leaves(node: Any, key: str) -> Iterator[tuple[str, str]]:
    """Last name and dotted path of every value in ``node``."""
    if not isinstance(node, DictConfig):
        return iter(())
    own = ((str(name), f"{key}{name}") for name in node)
    below = (_leaves(node._get_node(name), f"{key}{name}.") for name in node)
    return chain(own, *below)
