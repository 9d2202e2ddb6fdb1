"""The family of Grad-CAM in three dimensions: known maps, frames by themselves, and no constant in any denominator."""

import pytest
import torch

from models.saliency import evidence_of, evidence_of_each
from models.saliency.cams import CAMS, cam
from tests.models.saliency_networks import POOLED, Pooled, Squared, clips


def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    activations, gradients = (torch.randn(2, 5, 3, 4, 6, generator=generator) for _ in range(2))
    return activations.clamp(min=0), gradients


def test_a_map_that_is_known_by_construction_is_found() -> None:
    video = clips()
    maps = evidence_of(Squared(), video, 0, "hires_cam", "seen").maps["seen"]
    assert torch.allclose(maps, 2 * video[:, 0].square() / video[0, 0].numel(), atol=1e-7)


@pytest.mark.parametrize("method", CAMS)
def test_a_clip_has_the_same_map_in_any_batch(method: str) -> None:
    video = clips()
    whole = evidence_of(Pooled(), video, [0, 1, 2], method, "body.0").maps["body.0"]
    for i in range(3):
        alone = evidence_of(Pooled(), video[i : i + 1], i, method, "body.0").maps["body.0"]
        assert torch.allclose(alone[0], whole[i], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["grad_cam", "grad_cam_pp", "xgrad_cam"])
def test_weights_per_frame_are_those_of_each_frame_as_a_clip_of_its_own(method: str) -> None:
    activations, gradients = drawn()
    found = cam(method, activations, gradients, "per_frame")
    for frame in range(activations.shape[2]):
        pair = (each[:, :, frame : frame + 1] for each in (activations, gradients))
        assert torch.allclose(cam(method, *pair)[:, 0], found[:, frame], atol=1e-6)
    assert not torch.allclose(cam(method, activations, gradients), found, atol=1e-2)


@pytest.mark.parametrize("method", [method for method in CAMS if method != "grad_cam_pp"])
def test_tiny_gradients_or_activations_give_the_same_map_on_another_scale(method: str) -> None:
    activations, gradients = (each.double() for each in drawn())
    large, tiny = cam(method, activations, gradients), cam(method, activations, 1e-12 * gradients)
    assert torch.allclose(1e12 * tiny, large, rtol=1e-9)
    assert torch.allclose(1e12 * cam(method, 1e-12 * activations, gradients), large, rtol=1e-9)


def test_grad_cam_pp_is_its_published_formula_even_where_gradients_are_tiny() -> None:
    activations, gradients = (each.double() for each in drawn())
    for scale in (1.0, 1e-9):
        slope = scale * gradients
        weight = slope**2 / (2 * slope**2 + activations.sum((2, 3, 4), keepdim=True) * slope**3)
        expected = ((weight * slope.clamp(min=0)).sum((2, 3, 4), keepdim=True) * activations).sum(1)
        assert torch.allclose(cam("grad_cam_pp", activations, slope), expected, rtol=1e-9, atol=0)


def test_channels_that_are_silent_do_not_spoil_a_map() -> None:
    activations, gradients = drawn()
    activations[:, 2] = 0
    for method in CAMS:
        rest = [0, 1, 3, 4]
        without = cam(method, activations[:, rest], gradients[:, rest])
        assert torch.allclose(cam(method, activations, gradients), without, atol=1e-6)


def test_several_targets_share_a_forward_pass_and_have_their_own_maps() -> None:
    model, video, passes = Pooled(), clips(), []
    handle = model.head.register_forward_hook(lambda *_: passes.append(1))
    found = evidence_of_each(model, video, [0, 2], "layer_cam", spec=POOLED)
    handle.remove()
    assert len(passes) == 1
    for evidence, target in zip(found, (0, 2), strict=True):
        assert torch.equal(evidence.maps["clip"], evidence_of(model, video, target, "layer_cam", spec=POOLED).total())


def test_a_layer_that_the_target_does_not_come_from_is_named() -> None:
    model = Pooled()

    def run(video: torch.Tensor) -> torch.Tensor:
        model(video)
        return video.mean((2, 3, 4)).requires_grad_()

    with pytest.raises(ValueError, match="does not depend on body"):
        evidence_of(model, clips(), 1, "grad_cam", "body", run=run)
    with pytest.raises(ValueError, match="'global' or 'per_frame', found 'frames'"):
        evidence_of(model, clips(), 1, "grad_cam", "body", temporal_weights="frames")
