"""The device that was asked for has to be there."""

import os

import torch
from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator

from core.errors import wrong

_KINDS = {"gpu": (CUDAAccelerator, MPSAccelerator), "cuda": (CUDAAccelerator,), "mps": (MPSAccelerator,)}
_NAMES = {"gpu": "GPU", "cuda": "CUDA device", "mps": "MPS device"}
_HIDES = "CUDA_VISIBLE_DEVICES"


def check_accelerator(name: str) -> None:
    """Refuse a GPU where torch finds none; other accelerators are left to Lightning.

    Raises:
        ConfigError: With what was looked for and how to go on.
    """
    if any(kind.is_available() for kind in _KINDS.get(name, ())) or name not in _KINDS:
        return
    hidden = f" with {_HIDES}={os.environ[_HIDES]!r}" if _HIDES in os.environ else ""
    found = f"torch {torch.__version__} found no {_NAMES[name]}{hidden}"
    raise wrong("trainer.accelerator", name, f"{found}; go on with trainer.accelerator=cpu, or auto for what there is")
