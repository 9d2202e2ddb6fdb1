"""The linear heads of ACAR-Net and PyTorchVideo give the published numbers, each with its own scale of boxes."""

import torch
from torch import Tensor

from models.action_losses import action_scores
from models.linear_roi_head import LinearRoIHead
from tests.prefixes import stripped
from tests.reference.fbil.numbers import numbered, tensor_files

TOLERANCE = 1e-5  # README of the numbers
CELL = 16  # pixels; likewise
HEADS = {
    "acar_linear.": {"scale": "cells"},
    "pytorchvideo.": {"scale": "pixels"},
}


def wanted(tensors: dict[str, Tensor]) -> bool:
    return {"in.rois_normalised", "in.rois_pixels"} <= set(tensors)


@torch.no_grad()
def test_linear_heads_give_the_published_numbers() -> None:
    for path, tensors in tensor_files(wanted, "linear heads"):
        features = [tensor for _, tensor in sorted(numbered(tensors, "in.features.").items())]
        rois = tensors["in.rois_normalised"]
        ratio = tensors["in.rois_pixels"][:, 1:] / rois[:, 1:]
        width, height = (ratio[:, axis::2].nanmean().round().int().item() for axis in (0, 1))
        size = torch.tensor([[height, width]]).expand(len(features[0]), 2)
        assert features[0].shape[-2:] == (-(-height // CELL), -(-width // CELL))
        for prefix, settings in HEADS.items():
            state = {name.rpartition(".")[2]: tensor for name, tensor in stripped(tensors, f"{prefix}state.").items()}
            widths = [each.shape[1] for each in features]
            head = LinearRoIHead(widths, len(state["weight"]), bias="bias" in state, stride=CELL, **settings)
            head.classifier.load_state_dict(state)
            logits = head(features, rois[:, 1:], rois[:, 0].long(), size, (height, width))["logits"]
            outputs = {"logits": logits, "scores": action_scores(logits, 0)}
            for name, expected in stripped(tensors, f"{prefix}out.").items():
                assert torch.allclose(outputs[name], expected, atol=TOLERANCE, rtol=0), f"{path.name}: {prefix}{name}"
