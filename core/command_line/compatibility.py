"""Whether the parts of a config fit together: the task's mode, its data, its model."""

from collections.abc import Mapping
from typing import Any

import yaml

from core.command_line.signature import class_literal, classes_of, defines, is_subclass, signature
from core.command_line.zoo import CONF, choices
from core.errors import wrong

WITHOUT_TASK = ("check", "prepare")  # modes for the data alone
STEPS = {"fit": "training_step", "validate": "validation_step", "test": "test_step", "predict": "predict_step"}


def check_task_has_mode(config: dict[str, Any]) -> None:
    """Refuse a mode whose step the task does not define; Lightning would refuse it after everything is built."""
    task = config["task"].get("_target_", "")
    able = [mode for mode, step in STEPS.items() if defines(task, step) is not False]
    if config["mode"] not in (*able, *WITHOUT_TASK):
        raise wrong("mode", config["mode"], f"{task} has no {STEPS[config['mode']]}", able)


def check_data_can_be_prepared(config: dict[str, Any], typed: Mapping[str, Any]) -> None:
    """Refuse ``mode=prepare`` where the datamodule makes nothing, or is told nothing to make."""
    data = config.get("datamodule", {})
    if config["mode"] != "prepare":
        return
    options = products(data)
    if not options:
        able = [name for name in choices("datamodule") if products({"_target_": _target_of("datamodule", name)})]
        problem = "has nothing that mode=prepare could make"
        raise wrong("datamodule", _choice("datamodule", data.get("_target_", ""), typed), problem, able)
    if all(data.get(option) is None for option in options):
        problem = "nothing to make is named; set one of these to a file or folder"
        raise wrong("mode", "prepare", problem, [f"datamodule.{option}" for option in options])


def products(datamodule: Mapping[str, Any]) -> tuple[str, ...]:
    """Options of a datamodule that name what ``mode=prepare`` makes: the literal ``prepares`` of its class."""
    return class_literal(datamodule.get("_target_") or "", "prepares") or ()


def check_data_suits_task(config: dict[str, Any], typed: Mapping[str, Any]) -> None:
    """Compare what the task's batches need with what the datamodule's batches hold."""
    task, data = (config.get(part, {}).get("_target_") for part in ("task", "datamodule"))
    needs = class_literal(task, "needs") if task else None
    provides = class_literal(data, "provides") if data else None
    if needs is None or provides is None:
        return
    lacking = [key for key in needs if key not in provides]
    if lacking:
        suited = [name for name in choices("datamodule") if _provides(_target_of("datamodule", name), needs)]
        problem = f"batches lack {', '.join(lacking)}, which {task} needs"
        raise wrong("datamodule", _choice("datamodule", data, typed), problem, suited)


def check_model_suits_task(config: dict[str, Any], typed: Mapping[str, Any]) -> None:
    """Compare the class of the model with the annotation of the task's ``model``."""
    task, model = (signature(config.get(part, {}).get("_target_", "")) for part in ("task", "model"))
    parameter = task and task.parameters.get("model")
    wanted = classes_of(parameter.annotation, parameter.source) if parameter else None
    if wanted is None or model is None or model.returns is None or _is_any(model.returns, wanted):
        return
    suited = [name for name in choices("model") if _is_wanted(_target_of("model", name), wanted)]
    problem = f"{model.target} is no {' or '.join(wanted)}, which {task.target} needs"
    raise wrong("model", _choice("model", model.target, typed), problem, suited)


def _provides(target: str | None, needs: tuple[str, ...]) -> bool:
    return target is not None and set(needs) <= set(class_literal(target, "provides") or ())


def _is_wanted(target: str | None, wanted: list[str]) -> bool:
    takes = signature(target) if target else None
    return takes is not None and takes.returns is not None and _is_any(takes.returns, wanted)


def _is_any(target: str, wanted: list[str]) -> bool:
    """Whether ``target`` is one of the wanted classes; what source text cannot tell is allowed."""
    return any(is_subclass(target, ancestor) is not False for ancestor in wanted)


def _target_of(group: str, name: str) -> str | None:
    """Target of a config file, its own or that of the file it builds on."""
    path = CONF / group / f"{name}.yaml"
    node = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}
    if "_target_" in node:
        return node["_target_"]
    bases = [base for base in node.get("defaults", ()) if isinstance(base, str) and base != "_self_"]
    return _target_of(group, bases[0]) if bases else None


def _choice(group: str, target: str, typed: Mapping[str, Any]) -> str:
    """The config of a group with this target: the typed one, else the shortest name; without one, the target itself."""
    names = [name for name in choices(group) if _target_of(group, name) == target]
    return typed[group] if typed.get(group) in names else min(names, key=len, default=target)
