"""Which checkpoint was evaluated, and how it was selected among those of its training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

HIGHEST = {"max": "highest", "min": "lowest"}


def selection(path: str | Path | None, datamodule: object) -> dict[str, Any] | None:
    """Say which checkpoint was evaluated, and how it was selected among those of its training.

    Args:
        path: The file; None where the weights do not come from a checkpoint.
        datamodule: Of the evaluation; asked in ``select_on_test`` whether validation looks at the test split where the
            file does not say it.

    Returns:
        ``path``; ``epoch`` and ``step`` it was written after; ``selected_by`` (``highest val/auc``, None for a file
        that was not selected by a number) with its ``value``; ``selected_on_test``, whether that number was measured
        on the test split. None for no file.
    """
    if path is None:
        return None
    stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True) if Path(path).is_file() else {}
    config = stored.get("config") or {}
    best = best_of(stored.get("callbacks") or {}, Path(path))
    options = config.get("datamodule") or getattr(datamodule, "hparams", {})
    found = {"path": str(path), "epoch": stored.get("epoch"), "step": stored.get("global_step")}
    if best is None:
        return found | {"selected_by": None, "value": None, "selected_on_test": False}
    mode = (config.get("monitor") or {}).get("mode")
    value = None if best["best_model_score"] is None else float(best["best_model_score"])
    chosen = " ".join(filter(None, (HIGHEST.get(mode, "best"), best["monitor"])))
    on_test = options.get("select_on_test") or getattr(datamodule, "select_on_test", False)
    return found | {"selected_by": chosen, "value": value, "selected_on_test": bool(on_test)}


def best_of(callbacks: Mapping[str, Any], path: Path) -> Mapping[str, Any] | None:
    """State of the ``ModelCheckpoint`` that calls a file the best one; None when none does."""
    for state in callbacks.values():
        if isinstance(state, Mapping) and Path(state.get("best_model_path") or ".").name == path.name:
            return state
    return None
