"""All ranks of a job run the same config: each writes down which one it has, and none runs when they differ."""

import hashlib
import json
import os
import socket
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from core.errors import ConfigError, plain

FILE = "ranks.jsonl"
_MOST_NAMED = 3  # keys in the message


def config_hash(config: dict[str, Any]) -> str:
    """SHA-256 of a resolved config, in hexadecimal digits; the order of its keys does not count."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class OneConfig(Callback):
    """Write the hash of this rank's config into ``ranks.jsonl`` in the run folder; compare it with the first rank's.

    A line per rank and start: ``rank``, ``world_size``, ``config`` (``config_hash``), ``mode``, ``host``, ``process``.

    Args:
        config: Resolved config of this process as plain containers.

    Raises:
        ConfigError: On all ranks, when one has another config than the first; it names the keys that differ.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        mine = config_hash(self.config)
        self._write_down(trainer, mine)
        if trainer.world_size > 1 and len(set(_of_all_ranks(trainer, mine))) > 1:
            raise ConfigError(_difference(_of_all_ranks(trainer, self.config)))

    def _write_down(self, trainer: Trainer, mine: str) -> None:
        line = {"rank": trainer.global_rank, "world_size": trainer.world_size, "config": mine}
        line |= {"mode": self.config["mode"], "host": socket.gethostname(), "process": os.getpid()}
        path = Path(self.config["paths"]["run"], FILE)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:  # one write: lines of several ranks do not mix
            file.write(json.dumps(line) + "\n")


def _of_all_ranks(trainer: Trainer, value: Any) -> list[Any]:
    values: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(values, value)
    return values


def _difference(configs: list[dict[str, Any]]) -> str:
    first = dict(_leaves(configs[0], ""))
    rank, other = next((rank, config) for rank, config in enumerate(configs) if config != configs[0])
    found = dict(_leaves(other, ""))
    keys = [key for key in sorted({*first, *found}) if first.get(key, ...) != found.get(key, ...)]
    named = [f"{key}={_spelt(found, key)} (rank 0: {_spelt(first, key)})" for key in keys[:_MOST_NAMED]]
    more = f" and {len(keys) - _MOST_NAMED} more" if len(keys) > _MOST_NAMED else ""
    return (
        f"rank {rank} of {len(configs)} has another config than rank 0: {', '.join(named)}{more}\n"
        "  start all ranks with one command and in one environment"
    )


def _leaves(node: Any, key: str) -> Any:
    """Dotted key and value of everything in a config that is no mapping."""
    if isinstance(node, dict) and node:
        for name, child in node.items():
            yield from _leaves(child, f"{key}.{name}" if key else str(name))
    else:
        yield key, node


def _spelt(values: dict[str, Any], key: str) -> str:
    return plain(values[key]) if key in values else "not set"
