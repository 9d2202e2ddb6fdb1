"""Check a composed config without importing what it names, so that a wrong one is answered at once."""

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from core.command_line.compatibility import (
    STEPS,
    WITHOUT_TASK,
    check_data_can_be_prepared,
    check_data_suits_task,
    check_model_suits_task,
    check_task_has_mode,
)
from core.command_line.files import check_can_be_made, check_file, check_paths
from core.command_line.hints import spell
from core.command_line.overrides import check_choices, composed, jobs, parse
from core.command_line.requirements import check_requirements, hint_of
from core.command_line.signature import locate, signature, source
from core.command_line.targets import (
    CORE_KEYS,
    RESERVED,
    SUPPLIED,
    TOP_LEVEL,
    TRUSTED,
    check_values,
    settings,
    unknown_parameter,
    untrusted,
)
from core.errors import PROJECT, nearest, wrong

PLAIN = {
    "name": str,
    "mode": Literal[(*STEPS, *WITHOUT_TASK)],
    "seed": int,
    "run_id": str | int,
    "ckpt_path": str | None,
    "compile": bool,
    "nonfinite": Literal["stop", "skip"],
    "next": list[str],
}
BUILT = ("datamodule", "model", "task", "optim", "scheduler", "trainer")
BUILT_BY_NAME = ("callbacks", "logger")
IN_RUN_FOLDER = ("last", "best")
LARGEST_SEED = 2**32 - 1  # of NumPy's generators
_NO_FOLDER = "<run folder>"  # stands for the run folder, which is not known before the job starts


def check_overrides(overrides: list[str], multirun: bool = False) -> None:
    """Check a command line before any of its jobs starts.

    Args:
        overrides: Arguments in Hydra's grammar, without flags.
        multirun: Whether ``-m`` was given.

    Raises:
        ConfigError: For the first thing that is wrong.
    """
    parsed = parse(overrides)
    for job in jobs(parsed, multirun):
        typed = parse(job)
        check_choices(typed)
        check_config(composed(job), {override.key_or_group: override.value() for override in typed})


def check_config(cfg: DictConfig, typed: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Check the config of one job: keys, missing values, plain types, targets, and whether its parts fit together.

    Args:
        cfg: The composed config.
        typed: Values of the command line by key: where values contradict each other, these are complained about.

    Raises:
        ConfigError: For the first thing that is wrong.
    """
    raw = OmegaConf.to_container(cfg)
    for key, value in raw.items():
        if key not in TOP_LEVEL and value:  # an empty node is what is left of "experiment: none"
            raise wrong(key, value, "no such top-level key", TOP_LEVEL)
    missing = next(_missing(raw, ""), None)
    if missing is not None:
        raise wrong(missing, ..., f"missing; give it as {missing}=VALUE{_expected(raw, missing)}")
    _check_monitor(raw.get("monitor"))
    check_data_suits_task(raw, typed)
    check_model_suits_task(raw, typed)
    config = _resolved(cfg)
    for key, hint in PLAIN.items():
        check_values("", {key: config[key]} if key in config else {}, {key: hint})
    _check_seed(config.get("seed"))
    _check_run_id(config.get("run_id"))
    _check_resume(config)
    check_task_has_mode(config)
    check_data_can_be_prepared(config, typed)
    for part in BUILT:
        node = config.get(part)
        if isinstance(node, dict) and ("_target_" in node or part in ("task", "model", "datamodule", "trainer")):
            own = {name: node[name] for name in CORE_KEYS.get(part, ()) if name in node}
            _check_core_keys(part, own)
            _check_node(
                part, {name: value for name, value in node.items() if name not in own}, typed, SUPPLIED.get(part, ())
            )
    for part in BUILT_BY_NAME:
        for name, node in (config.get(part) or {}).items():
            if not isinstance(node, dict):
                raise wrong(f"{part}.{name}", node, "expected a mapping with _target_")
            _check_node(f"{part}.{name}", node, typed)
    check_file("ckpt_path", config.get("ckpt_path"), IN_RUN_FOLDER)
    check_can_be_made("paths.logs", config["paths"]["logs"])


def _missing(node: Any, key: str) -> Iterator[str]:
    """Dotted keys of the values that a config leaves to the user (``???``)."""
    if node == "???":
        yield key
    elif isinstance(node, dict):
        for name, child in node.items():
            yield from _missing(child, f"{key}.{name}" if key else str(name))


def _expected(config: dict[str, Any], key: str) -> str:
    """What the parameter of a missing value takes, as the end of a message."""
    node, (*path, name) = config, key.split(".")
    for step in path:
        node = node[step]
    takes = signature(str(node["_target_"])) if "_target_" in node else None
    parameter = takes and takes.parameters.get(name)
    return f" (expected {spell(parameter.hint)})" if parameter else ""


def _resolved(cfg: DictConfig) -> dict[str, Any]:
    """Plain containers with all interpolations resolved; the run folder, unknown before a job starts, as a word."""
    cfg = cfg.copy()
    if "hydra:" in str(OmegaConf.to_container(cfg).get("paths", {}).get("run")):
        with open_dict(cfg):
            cfg.paths.run = _NO_FOLDER
    try:
        return OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raw = OmegaConf.to_container(cfg)
        for name in str(error.full_key).split("."):
            raw = raw.get(name, ...) if isinstance(raw, dict) else ...
        reason = str(error).splitlines()[0]
        if str(raw).startswith("${monitor.") and "monitor" not in cfg:
            reason = "this task measures nothing to choose checkpoints by; leave default out of callbacks=[...]"
        raise wrong(str(error.full_key), raw, reason[:1].lower() + reason[1:]) from None


def _check_run_id(run_id: Any) -> None:
    if run_id is not None and (str(run_id) in ("", ".", "..") or "/" in str(run_id) or "\\" in str(run_id)):
        raise wrong("run_id", run_id, "expected the name of one folder, without slashes")


def _check_seed(seed: int | None) -> None:
    if seed is not None and not 0 <= seed <= LARGEST_SEED:
        raise wrong("seed", seed, f"expected a whole number from 0 to {LARGEST_SEED}")


def _check_resume(config: dict[str, Any]) -> None:
    override = (config.get("resume") or {}).get("override", [])
    check_values("resume", {"override": override}, {"override": list[str]})
    possible = settings(config)
    for key in override:
        if key not in possible:
            raise wrong("resume.override", key, "not a setting of the optimizer or the schedule", possible)


def _check_monitor(monitor: Any) -> None:
    if monitor is None:
        return
    if not isinstance(monitor, dict) or {"metric", "mode"} - monitor.keys():
        raise wrong("monitor", monitor, "expected a mapping; set its two keys", ("monitor.metric", "monitor.mode"))
    check_values("monitor", monitor, {"metric": str, "mode": Literal["min", "max"]})


def _check_core_keys(part: str, own: dict[str, Any]) -> None:
    check_values(part, own, {"pretrained": str | None, "reference_batch": int | None})
    if own.get("reference_batch") is not None and own["reference_batch"] < 1:
        raise wrong(f"{part}.reference_batch", own["reference_batch"], "expected a positive whole number or null")
    check_file(f"{part}.pretrained", own.get("pretrained"))


def _check_node(key: str, node: dict[str, Any], typed: Collection[str], supplied: tuple[str, ...] = ()) -> None:
    """Check one node with a target, and those inside it."""
    target = node.get("_target_")
    if target is None:
        raise wrong(f"{key}._target_", ..., "missing; it names the class to build")
    if not isinstance(target, str) or not target.startswith(TRUSTED):
        raise untrusted(key, str(target))
    values = {name: value for name, value in node.items() if name not in RESERVED}
    takes = signature(target)
    if takes is None:
        _check_exists(key, target)
    else:
        free = [name for name in takes.parameters if name not in supplied]
        for name, value in values.items():
            if name not in takes.parameters and not takes.is_open:
                raise unknown_parameter(key, name, value, target, free)
        check_values(key, values, {name: hint_of(takes, name) for name in values if name in takes.parameters})
        check_requirements(key, values, takes, typed)
        required = (name for name in free if takes.parameters[name].required and name not in values)
        lacking = None if node.get("_partial_") or "_args_" in node else next(required, None)
        if lacking is not None:
            hint = takes.parameters[lacking].hint
            raise wrong(f"{key}.{lacking}", ..., f"missing; {target} needs it (expected {spell(hint)})")
    check_paths(key, values, target)
    for name, child in values.items():
        for place, inner in _inner_nodes(f"{key}.{name}", child):
            _check_node(place, inner, typed)


def _inner_nodes(key: str, value: Any) -> Iterator[tuple[str, dict]]:
    if isinstance(value, dict) and "_target_" in value:
        yield key, value
    elif isinstance(value, dict):
        for name, child in value.items():
            yield from _inner_nodes(f"{key}.{name}", child)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _inner_nodes(f"{key}.{index}", child)


def _check_exists(key: str, target: str) -> None:
    """Refuse a target of the project that is not in its source; other packages are left to the start of the job."""
    if target.partition(".")[0] not in PROJECT or locate(target) is not None:
        return
    module, _, name = target.rpartition(".")
    where = source(module)
    near = nearest(name, where.names) if where else None
    raise wrong(f"{key}._target_", target, "no such class", near=near and f"{module}.{near}")
