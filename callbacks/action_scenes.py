"""Finds in a batch of key frames what is worth drawing, and says it in plain values."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from callbacks.action_pictures import Person, Scene

SAME = 1e-3  # of a side: boxes that differ by no more are where they were annotated


class Matching(Protocol):
    """The part of `metrics.ava.FrameMAP` that is used here."""

    classes: Sequence[tuple[int, str, str]]

    def match(self, boxes: Tensor, truth: Tensor) -> list[int]:
        """Which true box each box finds, by position; -1 for none."""


def scenes_of(batch: dict, scores: Tensor, metric: Matching, threshold: float) -> list[Scene]:
    """The clips of the first view of each key frame, those with true or detected boxes first.

    Args:
        batch: Key frames (docs/design.md), normalised, with ``truth``.
        scores: (R, C) in [0, 1], of its actors.
        metric: Knows the names of the C classes, and when a box is found.
        threshold: Score from which a label counts as predicted; the highest one always does.
    """
    first_views = (batch["view"] == 0).nonzero().flatten().tolist()
    scenes = [scene_of(batch, clip, scores, metric, threshold) for clip in first_views]
    return sorted(scenes, key=lambda scene: not scene.people)


def scene_of(batch: dict, clip: int, scores: Tensor, metric: Matching, threshold: float) -> Scene:
    """One clip of a batch.

    True boxes that nothing detects are drawn where they were annotated; in a view that is cropped or mirrored, as its
    detections show, they are named without a box.
    """
    names = [name for _, name, _ in metric.classes]
    mine = batch["clip"] == clip
    rois, boxes, scores = (each[mine].double().cpu() for each in (batch["rois"], batch["boxes"], scores))
    truth, targets = (each.cpu() for each in batch["truth"][clip])
    found = metric.match(boxes, truth)
    labels = [[name for name, target in zip(names, row, strict=True) if target > 0] for row in targets.tolist()]
    people = [
        Person(roi, labels[true] if true >= 0 else [], predicted(row, names, threshold))
        for roi, true, row in zip(rois.tolist(), found, scores.tolist(), strict=True)
    ]
    moved = bool(((rois - boxes).abs() > SAME).any())
    people += [
        Person(None if moved else box, labels[number], None)
        for number, box in enumerate(truth.tolist())
        if number not in found
    ]
    seconds = batch["seconds"][clip].cpu().numpy()
    key = len(seconds) // 2
    title = f"{batch['name'][clip]}   at {batch['second'][clip].item():.6g} s"
    return Scene(title, pixels(batch, clip), (seconds - seconds[key]).tolist(), key, people)


def predicted(scores: Sequence[float], names: Sequence[str], threshold: float) -> list[tuple[str, float]]:
    """Names and scores from a threshold on, the highest first, which is always there."""
    ranked = sorted(zip(names, scores, strict=True), key=lambda pair: -pair[1])
    return [pair for place, pair in enumerate(ranked) if place == 0 or pair[1] >= threshold]


def pixels(batch: dict, clip: int) -> NDArray[np.uint8]:
    """The frames of a clip as they were before normalisation, without what it was filled up with: (T, H, W, 3)."""
    height, width = batch["size"][clip].tolist()
    video = batch["video"][clip, :, :, :height, :width].float()
    mean, std = (batch[name].float().view(3, 1, 1, 1) for name in ("mean", "std"))
    return ((video * std + mean).clamp(0, 1) * 255).round().byte().permute(1, 2, 3, 0).cpu().numpy()
