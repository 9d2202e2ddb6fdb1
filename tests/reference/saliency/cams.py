"""Grad-CAM and its kin in three dimensions, against torchcam, captum and closed forms, batched."""

import pytest
import torch

from models.saliency import SaliencySpec, evidence_of
from tests.reference.saliency.numbers import close, staged_networks

TOLERANCE, RELATIVE = 1e-6, 1e-4
# What stored maps are called, the method, and whether they keep what is positive alone.
STORED = {
    "torchcam_gradcam_": ("grad_cam", True),
    "torchcam_layercam_": ("layer_cam", True),
    "torchcam_xgradcam_": ("xgrad_cam", True),
    "captum_gradcam_signed_": ("grad_cam", False),
    "formula_gradcampp_": ("grad_cam_pp", True),
}


@pytest.mark.parametrize("prefix", STORED)
def test_maps_of_the_family_of_grad_cam_are_the_stored_ones(prefix: str) -> None:
    method, positive = STORED[prefix]
    compared = 0
    for model, given in staged_networks():
        for key in [key for key in given if key.startswith(prefix)]:
            layer = key.removeprefix(prefix)
            evidence = evidence_of(model, given["input"], given["class_index"], method, layer)
            evidence = evidence.positive() if positive else evidence
            assert close(evidence.maps[layer], given[key], TOLERANCE, RELATIVE), key
            compared += 1
    assert compared


def test_activations_of_a_stage_and_gradients_of_the_class_are_the_stored_ones() -> None:
    compared = 0
    for model, given in staged_networks():
        for key in [key for key in given if key.startswith("activations_")]:
            layer, kept = key.removeprefix("activations_"), []
            hook = model.get_submodule(layer).register_forward_hook(lambda *call, kept=kept: kept.append(call[-1]))
            logits = model(given["input"])
            hook.remove()
            chosen = logits.gather(1, given["class_index"].unsqueeze(1)).sum()
            (gradients,) = torch.autograd.grad(chosen, kept[0])
            assert close(kept[0].detach(), given[key], TOLERANCE, RELATIVE)
            assert close(gradients, given[f"gradients_{layer}"], TOLERANCE, RELATIVE)
            compared += 1
    assert compared


def test_the_class_activation_map_is_exact_evidence_at_the_last_stage() -> None:
    for model, given in staged_networks():
        [key] = [key for key in given if key.startswith("torchcam_cam_")]
        spec = SaliencySpec({"clip": key.removeprefix("torchcam_cam_")}, head="pooled_linear", classifier="fc")
        evidence = evidence_of(model, given["input"], given["class_index"], spec=spec)
        assert evidence.method == "tube"
        assert close(evidence.maps["clip"], given[key], TOLERANCE, RELATIVE)
        assert evidence.completeness_error().max() < TOLERANCE


def test_grad_cam_of_a_mean_pooled_layer_is_the_tube_over_its_cells() -> None:
    for model, given in staged_networks():
        [key] = [key for key in given if key.startswith("torchcam_cam_")]
        layer = key.removeprefix("torchcam_cam_")
        signed = evidence_of(model, given["input"], given["class_index"], "grad_cam", layer).maps[layer]
        assert close(signed * signed[0].numel(), given[key], TOLERANCE, RELATIVE)
