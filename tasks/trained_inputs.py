"""Whether a model is fed as in its training: what differs is refused, or named."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from lightning import LightningDataModule
from torch import nn

TOLERANCE = 1e-4  # of means and standard deviations of pixels in [0, 1]: far below a grey level


def require_normalisation(data: LightningDataModule | None, model: nn.Module, key: str) -> None:
    """Refuse pixels that are normalised otherwise than a model says that its are.

    Args:
        data: Makes batches; says with which ``mean`` and ``std``, (3,) each, where it knows.
        model: Says the same of itself in ``mean`` and ``std``, where they matter to its weights.
        key: Its config key, for messages.

    Raises:
        ValueError: When both say it and they differ.
    """
    for name in ("mean", "std"):
        theirs, ours = getattr(data, name, None), getattr(model, name, None)
        if theirs is None or ours is None:
            continue
        theirs, ours = torch.as_tensor(theirs), torch.as_tensor(ours)
        if not torch.allclose(theirs, ours.to(theirs), atol=TOLERANCE):
            raise ValueError(
                f"datamodule.normalization={data.hparams.get('normalization')}: a {name} of {shown(theirs)}, but the "
                f"weights of {key} were trained with {shown(ours)}; choose the normalization of these, or set "
                f"{key}.mean and {key}.std for weights of your own"
            )


def shown(statistics: torch.Tensor) -> list[float]:
    """Numbers as they would be typed, not as float32 keeps them."""
    return [float(f"{value:.6g}") for value in statistics.tolist()]


def warn_of_other_inputs(
    checkpoint: dict[str, Any], data: LightningDataModule | None, options: Sequence[str], log: logging.Logger
) -> None:
    """Name options of the datamodule that are others than those of the training that wrote a checkpoint.

    Args:
        checkpoint: As a task's ``on_load_checkpoint`` gets it.
        data: Of today.
        options: Which options matter.
        log: Of the task.
    """
    trained, now = checkpoint.get("config", {}).get("datamodule", {}), getattr(data, "hparams", {})
    for name in options:
        value = now.get(name)
        if value is not None and trained.get(name, value) != value:
            problem = "these weights were trained with %s, and what they say may be worthless; set datamodule.%s=%s"
            log.warning(f"datamodule.%s=%s: {problem}", name, value, trained[name], name, trained[name])
