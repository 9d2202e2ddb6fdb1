"""The whole detector gives the published scores of clips of several sizes, in two views."""

import re
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.action_detector import ActionDetector
from models.action_losses import action_scores
from models.slowfast import SlowFast
from tests.reference.fbil.backbone import settings
from tests.reference.fbil.numbers import beside, build_head, folder, given_masks, num_pose, numbered, objects

TOLERANCE = {"atol": 2e-5, "rtol": 1e-5}  # README of the numbers
WHOLE_CLIP = [0.0, 0.0, 1.0, 1.0]


def build_backbone(published: dict, weights: Path) -> SlowFast:
    backbone = SlowFast(layers=tuple(published["layers"]), **settings(published, published["base_channels"]))
    state = {name.removeprefix("state."): tensor for name, tensor in load_file(weights).items()}
    backbone.load_state_dict(state, strict=True)
    return backbone


def detectors() -> Iterator[tuple[Path, dict, ActionDetector, dict[str, Tensor]]]:
    """Every stored case: document, detector in evaluation, tensors."""
    for path, content in objects("backbone_weights", "head_constructor", "aug_info"):
        backbone = build_backbone(content["backbone"], folder() / content["backbone_weights"])
        tensors = beside(path, "io")
        constructor, ffn_dim = content["head_constructor"], content["head_ffn_dim"]
        head = build_head(constructor, ffn_dim, beside(path, "head_weights"), list(backbone.widths))
        yield path, content, ActionDetector(backbone, head, len(tensors["in.image.0"][0])).eval(), tensors


def view(clips: list[Tensor], labels: list[list[dict]], changes: list[dict]) -> dict[str, Tensor]:
    """One view of all clips, filled up to one size."""
    size = torch.tensor([clip.shape[-2:] for clip in clips])
    video = torch.zeros(len(clips), *clips[0].shape[:2], *size.amax(0))
    rois, clip = [], []
    for i, (pixels, actors, change) in enumerate(zip(clips, labels, changes, strict=True)):
        height, width = pixels.shape[-2:]
        assert change["crop_box"] == WHOLE_CLIP
        assert torch.allclose(torch.tensor(change["pad_ratio"]), torch.tensor(video.shape[:-3:-1]) / size[i].flip(0))
        video[i, :, :, :height, :width] = pixels.flip(-1) if change["flip"] else pixels
        for actor in actors:
            x1, y1, x2, y2 = actor["bounding_box"]
            rois.append([1 - x2, y1, 1 - x1, y2] if change["flip"] else [x1, y1, x2, y2])
            clip.append(i)
    return {"video": video, "rois": torch.tensor(rois), "clip": torch.tensor(clip), "size": size}


@torch.no_grad()
def test_detectors_give_the_published_scores() -> None:
    for path, content, detector, tensors in detectors():
        clips = [clip.float() for _, clip in sorted(numbered(tensors, "in.image.").items())]
        assert [list(clip.shape[-2:]) for clip in clips] == content["image_sizes_hw"]
        logits = []
        for k, changes in enumerate(content["aug_info"]):
            batch = view(clips, content["labels"], changes)
            padded = tuple(batch["video"].shape[-2:])
            cells = detector.head.cells(batch["size"], padded)
            stored = [numbered(tensors, f"in.{kind}_mask.crop{k}.img") for kind in ("global", "local")]
            masks = given_masks(*stored, cells, detector.head.grid(padded))
            logits.append(detector(**batch, masks=masks)["logits"])
        fused = torch.stack(logits).mean(0)
        assert torch.allclose(fused, tensors["out.logits"], **TOLERANCE), path.name
        scores = action_scores(fused, num_pose())
        [expected] = (tensor for name, tensor in tensors.items() if re.match(r"out\.scores", name))
        assert torch.allclose(scores, expected, **TOLERANCE), path.name


def test_in_training_norms_stay_frozen_as_published() -> None:
    for _, content, detector, _ in detectors():
        detector.train()
        norms = [part for part in detector.backbone.modules() if isinstance(part, torch.nn.BatchNorm3d)]
        stored = content["train_mode_with_freeze_bn"]
        assert {norm.training for norm in norms} == {stored["backbone_bn_training"]}
        assert {norm.weight.requires_grad for norm in norms} == {stored["backbone_bn_affine_requires_grad"]}
        assert detector.head.training == stored["head_training"]
