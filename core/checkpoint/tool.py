"""What can be asked of a checkpoint on the command line: ``python -m core.checkpoint show|export``."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from core.atomic import write_file
from core.checkpoint.model_card import model_card
from core.checkpoint.reading import read_checkpoint, read_unverified
from core.checkpoint.sums import CheckpointError, digest_of, recorded_sums, sum_file, verify
from core.checkpoint.writing import save_error
from core.command_line.targets import CORE_KEYS
from core.errors import ConfigError, readable, until_read

NETWORK = "model."  # where a task keeps its network
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
_WIDTH = 10  # columns of the names


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a file that is damaged or cannot be used ends it with exit code 1."""
    parser = argparse.ArgumentParser(
        prog="python -m core.checkpoint", description="Look into checkpoints of this project."
    )
    commands = parser.add_subparsers(required=True, metavar="show|export")
    show_it = commands.add_parser("show", help="print what is in a checkpoint, and whether it is whole")
    show_it.add_argument("file", type=Path, metavar="FILE")
    show_it.set_defaults(command=lambda given: show(given.file))
    export_it = commands.add_parser("export", help=f"write {WEIGHTS}, {CONFIG} and {CARD}, a model card")
    export_it.add_argument("file", type=Path, metavar="FILE")
    export_it.add_argument("folder", type=Path, metavar="FOLDER", nargs="?", help="default: FILE without its suffix")
    export_it.add_argument("--overwrite", action="store_true", help="replace files of an earlier export")
    export_it.set_defaults(command=lambda given: print(export(given.file, given.folder, given.overwrite)))
    given = parser.parse_args(arguments)
    with readable(), until_read():
        given.command(given)


def show(path: Path) -> None:
    """Print what is in a checkpoint; whether it is whole comes last, since the whole file must be read for that.

    Raises:
        CheckpointNotFoundError: When there is no such file.
        CheckpointError: When it cannot be opened, was not written by this project, or is altered.
    """
    checkpoint = read_unverified(path)
    print(path)
    for name, text in facts(checkpoint):
        print(f"  {name:<{_WIDTH}}  {text}")
    print(f"  {'size':<{_WIDTH}}  {path.stat().st_size:,} bytes", flush=True)
    verify(path)
    sums = sum_file(path).name
    whole = f"whole, as {sums} records" if recorded_sums(path) else f"it opens; there is no {sums} to compare it with"
    print(f"  {'validity':<{_WIDTH}}  {whole}")


def facts(checkpoint: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a checkpoint says of itself: name and text; the name is empty where a line continues the one before."""
    config = checkpoint["config"]
    weights = network_of(checkpoint)
    parameters = f"{sum(tensor.numel() for tensor in weights.values()):,} values in {len(weights)} tensors"
    rows = [
        ("task", " ".join(str(part) for part in (config.get("name"), config["task"].get("_target_")) if part)),
        ("model", f"{config['model'].get('_target_')}, {parameters}"),
    ]
    if data := config.get("datamodule"):
        root = f", root={data['root']}" if "root" in data else ""
        rows.append(("data", f"{data.get('_target_')}{root}"))
    rows.append(("step", str(checkpoint.get("global_step", "not recorded"))))
    rows.append(("epoch", f"{checkpoint['epoch']}, counted from 0" if "epoch" in checkpoint else "not recorded"))
    values = [f"{name} {value:.6g}" for name, value in sorted(metrics_of(checkpoint).items())]
    rows += list(zip(["metrics", *[""] * len(values)], values or ["none recorded"], strict=False))
    versions = ", ".join(f"{name} {version}" for name, version in (config.get("versions") or {}).items())
    return [*rows, ("versions", versions or "not recorded")]


def metrics_of(checkpoint: Mapping[str, Any]) -> dict[str, float]:
    """Values that were logged last when the checkpoint was written; none in files of earlier versions."""
    stored = checkpoint.get("metrics")
    return {str(name): float(value) for name, value in stored.items()} if isinstance(stored, dict) else {}


def network_of(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Weights of the network under the names that it has on its own."""
    weights = checkpoint["state_dict"]
    return {name.removeprefix(NETWORK): tensor for name, tensor in weights.items() if name.startswith(NETWORK)}


def export(path: Path, folder: Path | None = None, overwrite: bool = False) -> Path:
    """Write the network of a checkpoint for others: weights, config and a model card.

    Args:
        path: The checkpoint.
        folder: Where to; by default beside the checkpoint, under its name without the suffix.
        overwrite: Replace files of an earlier export.

    Returns:
        The folder.

    Raises:
        CheckpointNotFoundError: When there is no such file.
        CheckpointError: When it is damaged, or holds no network.
        ConfigError: When the folder holds an export already.
        SaveError: When a file cannot be written.
    """
    from safetensors.torch import save

    checkpoint = read_checkpoint(path)
    network = network_of(checkpoint)
    if not network:
        raise CheckpointError(f"{path}: has no weights under {NETWORK!r}, so there is no network to export")
    folder = path.with_suffix("") if folder is None else folder
    for name in (WEIGHTS, CONFIG, CARD):
        if (folder / name).exists() and not overwrite:
            raise ConfigError(f"{folder / name} exists already; name another folder, or add --overwrite")
    left_out = sorted(name for name in checkpoint["state_dict"] if not name.startswith(NETWORK))
    config = exported_config(checkpoint)
    card = model_card(config, source=path.name, digest=digest_of(path), left_out=left_out)
    # Copies, since tensors that share memory cannot be told apart in this format.
    weights = save({name: tensor.clone().contiguous() for name, tensor in network.items()}, {"format": "pt"})
    _write(folder / WEIGHTS, weights)
    _write(folder / CONFIG, (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode())
    _write(folder / CARD, card.encode())
    return folder


def exported_config(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """What ``config.json`` holds: the stored config, step, epoch and metrics; ``model`` can be built as it is."""
    config = dict(checkpoint["config"])
    config["model"] = {name: value for name, value in config["model"].items() if name not in CORE_KEYS["model"]}
    config["pretrained"] = checkpoint["config"]["model"].get("pretrained")
    config |= {name: checkpoint.get(name) for name in ("global_step", "epoch")}
    return config | {"metrics": metrics_of(checkpoint)}


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content)
    except OSError as error:
        raise save_error(path, error, f"{len(content):,}", "; name another folder") from error
    print(f"{path}: {len(content):,} bytes", file=sys.stderr)
