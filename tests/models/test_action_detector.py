"""A detector: clips of several sizes do not touch each other, and a batch without actors is one like others."""

from typing import Any

import pytest
import torch

from models.action_detector import ActionDetector
from models.actor_head import ActorHead
from models.fbil import FBILHead
from models.linear_roi_head import LinearRoIHead
from models.slowfast import SlowFast

SIZES = torch.tensor([[64, 96], [48, 70], [64, 80]])
CLIP = torch.tensor([0, 0, 1, 2])
ROIS = torch.tensor([[0.1, 0.1, 0.5, 0.9], [0.4, 0.3, 0.9, 1.0], [0.6, 0.0, 1.0, 0.9], [0.2, 0.2, 0.3, 0.8]])
FBIL = {"dim": 16, "num_heads": 2, "ffn_dim": 24, "encoder_depth": 1, "foreground_depth": 1, "background_depth": 1}


def make_backbone() -> SlowFast:
    torch.manual_seed(0)
    backbone = SlowFast(base_width=8, layers=(1, 1, 1, 1), alpha=4)
    generator = torch.Generator().manual_seed(1)
    for name, tensor in backbone.state_dict().items():
        if "bn" in name and tensor.is_floating_point():  # norms that do something, so that zeros do not stay zeros
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return backbone


def make_detector(head: type[ActorHead] = FBILHead, **options: Any) -> ActionDetector:
    backbone = make_backbone()
    options |= FBIL if head is FBILHead else {}
    return ActionDetector(backbone, head(backbone.widths, 5, **options), num_frames=8)


def batch() -> dict[str, torch.Tensor]:
    video = torch.randn(3, 3, 8, 64, 96, generator=torch.Generator().manual_seed(2))
    for clip, (height, width) in zip(video, SIZES.tolist(), strict=True):
        clip[..., height:, :] = clip[..., width:] = 0
    return {"video": video, "rois": ROIS, "clip": CLIP, "size": SIZES, "noise": torch.rand(3, 2, 4, 6)}


def alone(given: dict[str, torch.Tensor], i: int) -> dict[str, torch.Tensor]:
    height, width = SIZES[i].tolist()
    rows, columns = -(-height // 16), -(-width // 16)
    return {
        "video": given["video"][i : i + 1, ..., :height, :width],
        "rois": ROIS[i == CLIP],
        "clip": CLIP[i == CLIP] - i,
        "size": SIZES[i : i + 1],
        "noise": given["noise"][i : i + 1, ..., :rows, :columns],
    }


@pytest.mark.parametrize("head", [FBILHead, LinearRoIHead])
@torch.no_grad()
def test_an_actor_gets_the_same_logits_in_any_batch(head: type[ActorHead]) -> None:
    detector, given = make_detector(head).eval(), batch()
    together = detector(**given)["logits"]
    for i in range(3):
        assert torch.allclose(together[i == CLIP], detector(**alone(given, i))["logits"], atol=1e-4), i
    as_published = make_detector(head, as_published=True).eval()
    assert not torch.allclose(as_published(**given)["logits"][2], together[2], atol=1e-3)


@pytest.mark.parametrize("head", [FBILHead, LinearRoIHead])
def test_without_actors_every_parameter_has_a_gradient_of_zero(head: type[ActorHead]) -> None:
    detector, given = make_detector(head).train(), batch()
    logits = detector(**given | {"rois": ROIS[:0], "clip": CLIP[:0]})["logits"]
    assert logits.shape == (0, 5)
    logits.sum().backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in detector.parameters())


def test_parts_that_do_not_fit_are_refused() -> None:
    backbone = make_backbone()
    with pytest.raises(ValueError, match=r"head\.widths: expected those of the backbone, \[256, 32\], found \[8, 1\]"):
        ActionDetector(backbone, LinearRoIHead((8, 1), 5))
    with pytest.raises(ValueError, match=r"head\.stride: expected that of the backbone, 16, found 32"):
        ActionDetector(backbone, LinearRoIHead(backbone.widths, 5, stride=32))
    with pytest.raises(ValueError, match="num_frames: expected a number >= 1"):
        ActionDetector(backbone, LinearRoIHead(backbone.widths, 5), num_frames=0)
    with pytest.raises(ValueError, match="num_frames: expected clips of 8 frames, found 4"):
        make_detector()(**batch() | {"video": torch.zeros(3, 3, 4, 64, 96)})
