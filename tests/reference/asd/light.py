"""Light-ASD and LR-ASD of full size compute what the published networks compute, with weights from a formula."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.light_asd import LightASD
from models.light_keys import light_key, lr_key
from models.lr_asd import LRASD
from models.pretrained import load_pretrained
from tests.reference.asd.networks import (
    close,
    folder,
    formula_cepstra,
    formula_faces,
    formula_weights,
    objects,
    tensor_files,
)

TOLERANCE = {"atol": 5e-5, "rtol": 1e-5}  # README of the numbers
# Class and names, by a tensor that only one network has.
NETWORKS = {
    "model.GRU.gru_forward.weight_ih_l0": (LightASD, light_key),
    "model.fusion.attention.weight": (LRASD, lr_key),
}
DOCUMENT = ("T", "salt", "parameters", "tensors")
OUTPUTS = {
    "out.audio_embed": "audio",
    "out.visual_embed": "video",
    "out.av": "fused",
    "out.logits_av": "logits",
    "out.logits_v": "video_logits",
}


def networks(tensor: str) -> list[dict]:
    """Document of every network that has a tensor; there must be one."""
    found = [content for _, content in objects(*DOCUMENT) if tensor in content["tensors"]]
    assert found, f"no network with {tensor} in {folder()}"
    return found


def outputs_nearest(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of the files of outputs, one per network, the one whose logits are nearest: names of files mean nothing."""
    theirs = next(name for name, ours in OUTPUTS.items() if ours == "logits")
    files = [tensors for _, tensors, _ in tensor_files(*OUTPUTS) if set(tensors) == set(OUTPUTS)]
    assert len(files) == len(objects(*DOCUMENT)), "as many files of outputs as networks"
    logits = found["logits"].detach()
    suited = [file for file in files if file[theirs].numel() == logits.numel()]
    assert suited, f"no outputs of {logits.numel()} logits"
    return min(suited, key=lambda file: float((file[theirs].reshape(logits.shape) - logits).abs().max()))


@pytest.mark.parametrize("tensor", NETWORKS)
def test_small_networks_have_the_published_parameters(tensor: str) -> None:
    kind, our_key = NETWORKS[tensor]
    for content in networks(tensor):
        model = kind()
        published = {our_key(name.removeprefix("model.")): shape for name, shape in content["tensors"].items()}
        assert {name: list(value.shape) for name, value in model.state_dict().items()} == published
        assert sum(parameter.numel() for parameter in model.parameters()) == content["parameters"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("tensor", NETWORKS)
def test_small_networks_compute_what_is_published(tmp_path: Path, tensor: str, dtype: torch.dtype) -> None:
    kind, _ = NETWORKS[tensor]
    for content in networks(tensor):
        path = tmp_path / "weights.model"
        torch.save(formula_weights(content["tensors"], content["salt"]), path)
        model = kind().to(dtype).eval()
        assert len(load_pretrained(model, path).loaded) == len(content["tensors"])
        found = model(formula_faces(content["T"]), formula_cepstra(content["T"]))
        expected = outputs_nearest(found)
        for theirs, ours in OUTPUTS.items():
            close(found[ours].reshape(expected[theirs].shape), expected[theirs], **TOLERANCE)
