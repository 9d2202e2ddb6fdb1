"""What values must satisfy beside their type, before anything is imported.

A parameter of the project says it in its annotation: ``mask_ratio: Annotated[float, "0 < mask_ratio < 1"]``, or with
other parameters of the same call: ``num_heads: Annotated[int, "dim % num_heads == 0"]``. What other packages demand
stands here.
"""

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from itertools import product
from typing import Any, Literal

from core.command_line.hints import Instance
from core.command_line.signature import Signature
from core.errors import wrong

TRAINER = "lightning.pytorch.trainer.trainer.Trainer"
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps", "tpu")
STRATEGIES = (
    *("auto", "ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false", "ddp_spawn", "ddp_fork"),
    *(f"ddp_{start}_find_unused_parameters_{x}" for start in ("spawn", "fork", "notebook") for x in ("true", "false")),
    *("ddp_notebook", "fsdp", "fsdp_cpu_offload", "single_device", "xla", "xla_debug", "single_xla", "single_tpu"),
    *("deepspeed", *(f"deepspeed_stage_{stage}" for stage in ("1", "2", "2_offload", "3", "3_offload"))),
    "deepspeed_stage_3_offload_nvme",
)
PROFILERS = ("simple", "advanced", "pytorch", "xla")
_HINTS = {
    TRAINER: {
        "accelerator": Literal[ACCELERATORS] | Instance,
        "strategy": Literal[STRATEGIES] | Instance,
        "profiler": Literal[PROFILERS] | Instance | None,
        "gradient_clip_algorithm": Literal["norm", "value"] | None,
    },
}
_SHARES = ("limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches", "overfit_batches")
_REQUIREMENTS = {  # by the start of the target's dotted path
    TRAINER: {
        "num_nodes": "num_nodes >= 1",
        "max_epochs": "max_epochs >= -1",
        "max_steps": "max_steps >= -1",
        "accumulate_grad_batches": "accumulate_grad_batches >= 1",
        "gradient_clip_val": "gradient_clip_val >= 0",
        "fast_dev_run": "fast_dev_run >= 0",
        "val_check_interval": "0 < val_check_interval <= 1 or val_check_interval > 1 and val_check_interval % 1 == 0",
        "check_val_every_n_epoch": "check_val_every_n_epoch >= 1",
        "log_every_n_steps": "log_every_n_steps >= 0",
        **{name: f"0 <= {name} <= 1 or {name} > 1 and {name} % 1 == 0" for name in _SHARES},
    },
    "torch.optim.": {
        "lr": "lr >= 0",
        "betas": "0 <= betas < 1",
        "eps": "eps >= 0",
        "momentum": "momentum >= 0",
        "weight_decay": "weight_decay >= 0",
    },
}
_DEVICES = re.compile(r"auto|-1|\d+(,\d+)*,?")
_DURATION = re.compile(r"\d+:\d\d:\d\d:\d\d")


def hint_of(takes: Signature, name: str) -> Any:
    """The annotation of a parameter, or what is known to be narrower."""
    return _HINTS.get(takes.target, {}).get(name, takes.parameters[name].hint)


def check_requirements(key: str, values: Mapping[str, Any], takes: Signature, typed: Collection[str] = ()) -> None:
    """Compare the values of a node with the conditions on its parameters.

    A condition is that of a parameter which is set: None meets it. What is an object, or has a default that is not
    written out, is left to the start. A list meets a condition when each of its elements does.

    Args:
        key: Dotted key of the node.
        values: Values of the node, of the right types.
        takes: What the node's target takes.
        typed: Keys of the command line: of values that contradict each other, theirs is named first.

    Raises:
        ConfigError: For the first condition that does not hold.
    """
    for name, text in _conditions(takes):
        names, condition = _compiled(text)
        used = {one: values.get(one, takes.parameters[one].default_value) for one in (name, *names)}
        if not used.keys() & values.keys():
            continue  # only defaults
        if not all(eval(condition, {}, case) for case in _cases(used)):
            first = next((one for one in used if f"{key}.{one}" in typed), name)
            rest = ", ".join(f"{key}.{one}={used[one]}" for one in used if one != first)
            raise wrong(f"{key}.{first}", used[first], f"expected {text}{f' with {rest}' if rest else ''}")
    if takes.target == TRAINER:
        _check_devices(f"{key}.devices", values.get("devices", "auto"))
        _check_duration(f"{key}.max_time", values.get("max_time"))


def _conditions(takes: Signature) -> Iterator[tuple[str, str]]:
    known = next((texts for start, texts in _REQUIREMENTS.items() if takes.target.startswith(start)), {})
    for name, parameter in takes.parameters.items():
        text = known.get(name) or parameter.requirement
        if text is not None:
            yield name, text


@cache
def _compiled(text: str) -> tuple[list[str], Any]:
    """Names in a condition, in order, and its code; conditions come from source text, never from a config."""
    tree = ast.parse(text, mode="eval")
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return list(dict.fromkeys(names)), compile(tree, "condition", "eval")


def _cases(used: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every combination of the elements of lists; none where a value is no number or text."""
    elements = [value if isinstance(value, list | tuple) else [value] for value in used.values()]
    for case in product(*elements):
        if all(isinstance(value, int | float | str) for value in case):
            yield dict(zip(used, case, strict=True))


def _check_devices(key: str, value: Any) -> None:
    if isinstance(value, str):
        right = _DEVICES.fullmatch(value.replace(" ", ""))
    elif isinstance(value, list):
        right = value and min(value) >= 0
    else:
        right = value == -1 or value >= 1
    if not right:
        raise wrong(key, value, "expected their number, a list of their indices such as [0,1], -1 for all, or auto")


def _check_duration(key: str, value: Any) -> None:
    if isinstance(value, str) and not _DURATION.fullmatch(value):
        raise wrong(key, value, "expected days, hours, minutes and seconds as DD:HH:MM:SS, such as 00:08:00:00")
