"""Finds the reference numbers of saliency by what files hold, and builds the networks they belong to."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.conftest import fixtures_root

LOGIT_TOLERANCE = 1e-6


def folder() -> Path:
    return fixtures_root() / "saliency"


def array_files(*keys: str) -> list[tuple[Path, dict[str, Tensor]]]:
    """Every npz file that holds all of ``keys``; there must be one."""
    found = [(path, dict(np.load(path, allow_pickle=False))) for path in sorted(folder().glob("*.npz"))]
    suited = [(path, arrays) for path, arrays in found if set(keys) <= set(arrays)]
    assert suited, f"no arrays {keys} in {folder()}"
    return [(path, {name: torch.as_tensor(array) for name, array in arrays.items()}) for path, arrays in suited]


def arrays(*keys: str) -> list[dict[str, Tensor]]:
    return [found for _, found in array_files(*keys)]


def weights(*keys: str) -> list[dict[str, Tensor]]:
    """Every state dict that holds all of ``keys``; there must be one."""
    found = [load_file(path) for path in sorted(folder().glob("*.safetensors"))]
    suited = [tensors for tensors in found if set(keys) <= set(tensors)]
    assert suited, f"no weights {keys} in {folder()}"
    return suited


def close(found: Tensor, expected: Tensor, tolerance: float, relative: float = 0.0) -> bool:
    """Whether no element is off by more than ``tolerance``, or ``relative`` times the largest one."""
    allowed = max(tolerance, relative * float(expected.abs().max()))
    return found.shape == expected.shape and float((found.double() - expected.double()).abs().max()) <= allowed


def convolution(weight: Tensor, bias: Tensor, before: tuple[int, ...], after: tuple[int, ...]) -> nn.Sequential:
    """A convolution that maps clips of one size to another, padded by half its kernel, and a ReLU in place."""
    kernel = tuple(weight.shape[2:])
    stride = tuple(-(-large // small) for large, small in zip(before, after, strict=True))
    padding = tuple(side // 2 for side in kernel)
    layer = nn.Conv3d(weight.shape[1], weight.shape[0], kernel, stride, padding)
    layer.load_state_dict({"weight": weight, "bias": bias})
    return nn.Sequential(layer, nn.ReLU(inplace=True))


class Staged(nn.Module):
    """Stages of convolutions, their mean, a linear map."""

    def __init__(self, state: dict[str, Tensor], sizes: list[tuple[int, ...]]) -> None:
        super().__init__()
        self.stages = len(sizes) - 1
        for stage in range(1, len(sizes)):
            pair = (state[f"stage{stage}.0.{part}"] for part in ("weight", "bias"))
            self.add_module(f"stage{stage}", convolution(*pair, sizes[stage - 1], sizes[stage]))
        self.fc = nn.Linear(*state["fc.weight"].shape[::-1])
        self.fc.load_state_dict({"weight": state["fc.weight"], "bias": state["fc.bias"]})

    def forward(self, video: Tensor) -> Tensor:
        for stage in range(1, self.stages + 1):
            video = self.get_submodule(f"stage{stage}")(video)
        return self.fc(video.mean((2, 3, 4)))


def staged_networks() -> list[tuple[Staged, dict[str, Tensor]]]:
    """Every set of numbers of a network with stages, and the network whose logits are the stored ones."""
    found = []
    for given in arrays("input", "logits", "class_index", "activations_stage2"):
        stages = sorted(key for key in given if key.startswith("torchcam_gradcam_stage"))
        sizes = [tuple(given["input"].shape[2:]), *(tuple(given[key].shape[1:]) for key in stages)]
        networks = [Staged(state, sizes) for state in weights("stage1.0.weight", "stage2.0.weight", "fc.weight")]
        fitting = [each for each in networks if close(each(given["input"]).detach(), given["logits"], LOGIT_TOLERANCE)]
        assert fitting, "no weights give the stored logits"
        found.append((fitting[0], given))
    return found
