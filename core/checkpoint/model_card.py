"""A model card from what a checkpoint holds, and nothing else."""

from collections.abc import Iterable, Mapping
from typing import Any

from core.errors import plain

SAMPLE = "sample"  # datamodule.root of generated data
INPUT = (
    *("num_frames", "frame_step", "step_s", "image_size", "in_channels", "sample_rate", "num_classes"),
    *("resize", "crop", "normalization"),
)
DATA = ("root", "list_file", "seed", "val_fraction", "eval_clips", "repeat", "clips_per_video", "batch_size")
_USE = """```python
import json
from pathlib import Path
from safetensors.torch import load_file
from core.build import build

model = build(json.loads(Path("config.json").read_text())["model"], "model", trusted=("models.",))
model.load_state_dict(load_file("model.safetensors"))
```"""


def model_card(config: Mapping[str, Any], *, source: str, digest: str, left_out: list[str]) -> str:
    """Compose the card in Markdown; what the checkpoint does not say is said to be unknown.

    Args:
        config: Content of ``config.json``.
        source: Name of the checkpoint file.
        digest: Its SHA-256.
        left_out: Names of tensors of the task that are no part of the network.
    """
    task, model, data = config["task"], config["model"], config.get("datamodule") or {}
    parts = [
        f"# {config.get('name') or _class(task)}: {_class(model)}",
        f"Weights of `{model.get('_target_')}`, trained with `{task.get('_target_')}`. "
        "Written from a checkpoint; what it does not record is not said here.",
        "## Use",
        _USE,
        "## Source",
        _table(_source(config, source, digest)),
        "## Input",
        "The settings that decide what the network takes. A clip that was prepared in another way gives other results.",
        _table(_settings({"model": model, "datamodule": data}, INPUT)),
        "## Training data",
        _training_data(data),
        _table([("class", f"`{data.get('_target_', 'unknown')}`"), *_settings({"datamodule": data}, DATA)]),
        "## Training",
        _table([*_all(config, "optim"), *_all(config, "scheduler"), *_all(config, "task")]),
        "## Results",
        *_results(config),
        "## Limits",
        "\n".join(f"- {limit}" for limit in _limits(config, data, left_out)),
    ]
    return "\n\n".join(parts) + "\n"


def _source(config: Mapping[str, Any], source: str, digest: str) -> list[tuple[str, Any]]:
    versions = ", ".join(f"{name} {version}" for name, version in (config.get("versions") or {}).items())
    rows = [
        ("checkpoint", f"`{source}`"),
        ("SHA-256 of the checkpoint", f"`{digest}`"),
        ("step", config.get("global_step")),
        ("epoch, counted from 0", config.get("epoch")),
        ("seed", config.get("seed")),
        ("initial weights", f"`{config['pretrained']}`" if config.get("pretrained") else "random"),
        ("versions", versions or None),
    ]
    return [(name, "not recorded" if value is None else value) for name, value in rows]


def _training_data(data: Mapping[str, Any]) -> str:
    if not data:
        return "The checkpoint does not say what it was trained on."
    if data.get("root") == SAMPLE:
        return "**Generated sample data**, made to try the code: these weights know nothing of the real world."
    return "As the run was told; the checkpoint does not hold the data nor a list of it."


def _results(config: Mapping[str, Any]) -> list[str]:
    metrics, monitor = config.get("metrics") or {}, config.get("monitor") or {}
    if not metrics:
        return ["The checkpoint holds no metrics."]
    aim = {"min": "less is better", "max": "more is better"}.get(monitor.get("mode"), "")
    chosen = f" The run chose its best checkpoint by `{monitor['metric']}`, {aim}." if monitor.get("metric") else ""
    words = (
        "Last values that the training run had logged when the checkpoint was written; `val/` is its own validation."
    )
    return [words + chosen, _table([(f"`{name}`", f"{value:.6g}") for name, value in sorted(metrics.items())])]


def _limits(config: Mapping[str, Any], data: Mapping[str, Any], left_out: list[str]) -> Iterable[str]:
    yield "Known of these weights is what stands above. No other evaluation is recorded in the checkpoint."
    if data.get("root") == SAMPLE:
        yield "Trained on generated data: not for use."
    if not any(name.startswith("test/") for name in config.get("metrics") or {}):
        yield "The checkpoint records no result on a test set."
    if config.get("pretrained"):
        yield f"Training began from `{config['pretrained']}`, whose licence and data apply to these weights as well."
    yield "The checkpoint records no licence, neither of the weights nor of the training data: ask who made them."
    if left_out:
        names = ", ".join(f"`{name}`" for name in left_out)
        yield f"Not exported, since they belong to the task and not to the network: {names}."


def _class(node: Mapping[str, Any]) -> str:
    return str(node.get("_target_", "unknown")).rpartition(".")[2]


def _settings(nodes: Mapping[str, Mapping[str, Any]], names: tuple[str, ...]) -> list[tuple[str, Any]]:
    return [(f"`{key}.{name}`", node[name]) for name in names for key, node in nodes.items() if name in node]


def _all(config: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    return [(f"`{key}.{name}`", value) for name, value in (config.get(key) or {}).items() if name != "_partial_"]


def _table(rows: Iterable[tuple[str, Any]]) -> str:
    lines = [f"| {name} | {_cell(value)} |" for name, value in rows]
    return "\n".join(["| | |", "|---|---|", *lines])


def _cell(value: Any) -> str:
    return plain(value).replace("|", "\\|").replace("\n", " ")
