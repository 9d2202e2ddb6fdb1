"""How features are made: what decides the numbers of a file, beside the video itself."""

import platform
from collections.abc import Mapping
from typing import Any

import torch
from lightning import LightningDataModule, LightningModule, Trainer
from lightning import __version__ as lightning_version
from torch import nn

from callbacks.fingerprints import class_name, structure_sha256, weights_sha256


def network(pl_module: LightningModule) -> nn.Module:
    """The model of a task; the task itself where it has none."""
    model = getattr(pl_module, "model", None)
    return model if isinstance(model, nn.Module) else pl_module


def told_by(datamodule: LightningDataModule | None) -> tuple[dict[str, dict], dict[str, Any]]:
    """Sources of the videos and recipe of the clips, as the datamodule tells them."""
    if not (hasattr(datamodule, "feature_sources") and hasattr(datamodule, "recipe")):
        found = "no datamodule" if datamodule is None else type(datamodule).__name__
        raise ValueError(
            "callbacks.features: expected a datamodule that tells how its clips are made, with recipe() and "
            f"feature_sources(), as datamodule=videos and datamodule=shanghaitech; found {found}"
        )
    return datamodule.feature_sources(), datamodule.recipe()


def versions(pl_module: LightningModule) -> dict[str, str]:
    """What computed: not a part of the recipe, since features are to be the same on all of them."""
    device = pl_module.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    python, torch_version = platform.python_version(), str(torch.__version__)
    return {"python": python, "torch": torch_version, "lightning": lightning_version, "device": name}


def recipe_of(
    trainer: Trainer,
    pl_module: LightningModule,
    step: str,
    data: Mapping[str, Any],
    layer: str | None,
    pool: str,
    dtype: str,
) -> dict[str, Any]:
    """Name everything that decides the numbers of a file.

    Args:
        trainer: Knows the precision.
        pl_module: The task, with the weights that will be used.
        step: Its method that runs the model.
        data: Recipe of the datamodule.
        layer: Of the model, whose output is taken.
        pool: What is kept of the tokens.
        dtype: Of the files.
    """
    model = network(pl_module)
    return {
        "data": data,
        "task": {"class": class_name(pl_module), "step": step},
        "model": {
            "class": class_name(model),
            "weights_sha256": weights_sha256(model),
            "structure_sha256": structure_sha256(model),
            "compiled": getattr(model, "_compiled_call_impl", None) is not None,
            "layer": layer,
            "pool": pool,
        },
        "precision": str(trainer.precision),
        "dtype": dtype,
    }
