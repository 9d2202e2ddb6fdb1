"""How well scores of frames tell anomalous frames from normal ones: every number of the field by its own name."""

import math

import torch
from torch import Tensor

from metrics.exact import ExactMetric
from metrics.ranking import average_precision, pr_auc_trapezoid, roc_auc

ALARM = 0.5  # the lowest score that calls a frame anomalous


class FrameAnomaly(ExactMetric):
    """Frame-level anomaly detection over the videos of a split.

    ========================================  ==========================================================================
    ``auc``, ``ap``                           area under the ROC curve and average precision of all frames of all videos
                                              in one list (micro): the number that papers report
    ``pr_auc_trapezoid``                      the same list as the evaluation of RTFM measures it
    ``auc_macro``, ``ap_macro``               mean over the videos that have both kinds of frames
    ``auc_anomalous``, ``ap_anomalous``       all frames of the videos with an anomaly: without easy normal videos
    ``auc_scene_<nn>``                        all frames of one scene
    ``false_alarm``                           share of the normal frames with a score of 0.5 or more
    ``false_alarm_normal``, ``..._anomalous``  the same in videos without and with an anomaly
    ``auc_video``, ``ap_video``               the highest score of a video against whether it has an anomaly
    ========================================  ==========================================================================

    Definitions: Sultani et al., CVPR 2018 (``auc``, ``false_alarm``); Wan et al., ICME 2020 (in anomalous videos). Ties
    are one point of a curve, as in scikit-learn. A number that does not exist, because there are frames of one kind
    alone, is left out.

    Attributes:
        curves: After ``compute``, scores and labels of the frames of each video, float64 (N,) each, by sample.
    """

    def __init__(self) -> None:
        super().__init__(score=1, label=1, scene=1)
        self.curves: dict[int, tuple[Tensor, Tensor]] = {}

    def update(self, index: Tensor, counts: Tensor, scores: Tensor, labels: Tensor, scene: Tensor) -> None:
        """Add videos.

        Args:
            index: int64 (B,), the samples.
            counts: int64 (B,), frames of each; with none, a video does not count.
            scores: (R,), R the sum of ``counts``, the frames of the first video first; higher is more anomalous.
            labels: (R,), 1 anomalous, 0 normal.
            scene: int64 (B,), number of each video's scene, negative where that is not known.
        """
        self.record(index, counts, score=scores, label=labels, scene=scene.repeat_interleave(counts))

    def compute(self) -> dict[str, Tensor]:
        """Every number that exists, scalar float64 by name.

        Raises:
            EvaluationError: When not every sample was visited exactly once.
            ValueError: When a label is neither 0 nor 1, or a score is not a number.
        """
        sample, columns = self.collect()
        scores, labels, scene = (columns[name] for name in ("score", "label", "scene"))
        for name, wrong in {"score": scores.isnan(), "label": (labels != 0) & (labels != 1)}.items():
            if wrong.any():
                found = f"{columns[name][wrong][0].item():g} in sample {sample[wrong][0]}"
                raise ValueError(f"FrameAnomaly: expected a number as score and 0 or 1 as label, found {name} {found}")
        videos, frames = sample.unique_consecutive(return_counts=True)
        parts = list(zip(scores.split(frames.tolist()), labels.split(frames.tolist()), strict=True))
        self.curves = dict(zip(videos.tolist(), parts, strict=True))
        anomalous = torch.tensor([bool(label.any()) for _, label in parts], dtype=torch.bool)
        highest = torch.tensor([score.max() for score, _ in parts], dtype=torch.float64)
        within = anomalous.repeat_interleave(frames)
        values = {
            **areas("", scores, labels),
            **macro(parts),
            **areas("_anomalous", scores[within], labels[within]),
            **per_scene(scene, scores, labels),
            **false_alarms(scores, labels, within),
            **areas("_video", highest, anomalous),
        }
        if mixed(labels):
            values["pr_auc_trapezoid"] = pr_auc_trapezoid(scores, labels)
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


def mixed(labels: Tensor) -> bool:
    """Whether there are labels of both kinds."""
    return len(labels.unique()) == 2


def areas(suffix: str, scores: Tensor, labels: Tensor) -> dict[str, float]:
    """Areas under both curves; none without labels of both kinds."""
    if not mixed(labels):
        return {}
    return {f"auc{suffix}": roc_auc(scores, labels), f"ap{suffix}": average_precision(scores, labels)}


def macro(videos: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """The means over the videos with frames of both kinds."""
    found = [areas("_macro", scores, labels) for scores, labels in videos if mixed(labels)]
    return {name: math.fsum(each[name] for each in found) / len(found) for name in (found[0] if found else ())}


def per_scene(scene: Tensor, scores: Tensor, labels: Tensor) -> dict[str, float]:
    """The area under the ROC curve of the frames of each known scene."""
    found = {}
    for number in scene[scene >= 0].unique():
        here = scene == number
        if mixed(labels[here]):
            found[f"auc_scene_{int(number):02}"] = roc_auc(scores[here], labels[here])
    return found


def false_alarms(scores: Tensor, labels: Tensor, within: Tensor) -> dict[str, float]:
    """The shares of normal frames that are called anomalous: of all, and by whether their video has an anomaly."""
    normal, found = labels == 0, {}
    for suffix, among in {"": normal, "_normal": normal & ~within, "_anomalous": normal & within}.items():
        if among.any():
            found[f"false_alarm{suffix}"] = int((scores[among] >= ALARM).sum()) / int(among.sum())
    return found
