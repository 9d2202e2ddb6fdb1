"""How well videos are classified, whatever number of clips of each was looked at: decisions by video, exact."""

import math
from fractions import Fraction
from typing import Literal, get_args

import torch
from torch import Tensor

from metrics.exact import ExactMetric
from metrics.ranking import roc_auc

Rule = Literal["mean_prob", "any", "fraction"]
TOP = 5


class VideoClasses(ExactMetric):
    """Classification of videos from the probabilities of their clips.

    ====================  ==========================================================================================
    ``acc``               share of the videos that are given their own class
    ``acc_top5``          share of those whose class is among the five most probable ones; from six classes on
    ``balanced_acc``      mean over the classes of the share of their videos that are found
    ``sensitivity``       of two classes: share of the positive videos that are called positive, TP / (TP + FN)
    ``specificity``       of two classes: share of the negative videos that are called negative, TN / (TN + FP)
    ``auc``               area under the ROC curve of the mean probabilities; of more than two classes the mean over
                          the classes, each against all others
    ====================  ==========================================================================================

    How a video is decided upon (``rule``):

    - ``mean_prob``: the class of the highest mean probability over its clips (VideoMAE, VideoMAE V2; the default).
    - ``any``: positive if any of its clips is. FocusMAE as published (sbasu276/FocusMAE, ``test_randomization``).
    - ``fraction``: positive if more than ``fraction`` of its clips are; FocusMAE's second scheme with 0.1.

    ``any`` calls a negative video positive as soon as one clip errs, the more often the more clips are looked at: it
    raises the sensitivity and lowers the specificity. In the reference numbers (18 videos of 15 clips, the same
    probabilities) ``any`` has a sensitivity of 1.00 and a specificity of 0.36, ``fraction`` 1.00 and 0.55,
    ``mean_prob`` 0.86 and 0.91. Numbers under different rules do not compare. ``auc`` and ``acc_top5`` go by mean
    probabilities under every rule.

    A number that does not exist, for there are no videos of a class, is left out.

    Args:
        num_classes: K, at least 2.
        rule: See above; all but ``mean_prob`` are for two classes.
        fraction: Share of the clips that ``fraction`` asks to be exceeded.
        positive: The positive one of two classes, 0 or 1.

    Raises:
        ValueError: When an argument is out of its range.
    """

    def __init__(
        self, num_classes: int = 2, rule: Rule = "mean_prob", fraction: float = 0.1, positive: int = 1
    ) -> None:
        if num_classes < 2:
            raise ValueError(f"num_classes: expected at least 2, found {num_classes}")
        if rule not in get_args(Rule):
            raise ValueError(f"video_rule: expected one of {', '.join(get_args(Rule))}, found {rule!r}")
        if rule != "mean_prob" and num_classes != 2:
            raise ValueError(f"video_rule={rule} decides between two classes, found num_classes={num_classes}")
        if not 0 <= fraction < 1:
            raise ValueError(f"rule_fraction: expected a share in [0, 1), found {fraction}")
        if positive not in (0, 1):
            raise ValueError(f"positive: expected 0 or 1, found {positive}")
        super().__init__(video=1, label=1, probability=num_classes)
        self.num_classes, self.rule, self.positive = num_classes, rule, positive
        self.fraction = Fraction(str(fraction)) if rule == "fraction" else Fraction(0)

    def update(self, index: Tensor, video: Tensor, probability: Tensor, label: Tensor) -> None:
        """Add clips.

        Args:
            index: int64 (B,), the clips.
            video: int64 (B,), number of the video that each is of.
            probability: (B, K), of each class.
            label: int64 (B,), the class of each video.
        """
        self.record(index, video=video, label=label, probability=probability)

    def compute(self) -> dict[str, Tensor]:
        """Every number that exists, scalar float64 by name.

        Raises:
            EvaluationError: When not every clip was visited exactly once.
            ValueError: When a probability is not a number, a label no class, or clips of a video differ in their label.
        """
        columns = self.collect().columns
        label, mean, called = self._videos(columns["video"], columns["label"].long(), columns["probability"])
        right, found = called == label, {}
        found["acc"] = int(right.sum()) / len(label)
        if self.num_classes > TOP:
            best = mean.topk(TOP, dim=1).indices
            found["acc_top5"] = int((best == label.unsqueeze(1)).any(1).sum()) / len(label)
        recall = {
            each: int(right[label == each].sum()) / int((label == each).sum()) for each in label.unique().tolist()
        }
        found["balanced_acc"] = math.fsum(recall.values()) / len(recall)
        if self.num_classes == 2:
            named = {"sensitivity": self.positive, "specificity": 1 - self.positive}
            found |= {name: recall[each] for name, each in named.items() if each in recall}
        areas = self._areas(label, mean, recall)
        if areas:
            found["auc"] = math.fsum(areas) / len(areas)
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in found.items()}

    def _videos(self, video: Tensor, label: Tensor, probability: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Class, mean probabilities (V, K) and decision of each video."""
        if not probability.isfinite().all():
            raise ValueError("VideoClasses: expected probabilities, found a value that is not finite")
        if label.min() < 0 or label.max() >= self.num_classes:
            wrong = label[(label < 0) | (label >= self.num_classes)][0]
            raise ValueError(f"VideoClasses: expected classes from 0 to {self.num_classes - 1}, found {int(wrong)}")
        _, place, clips = video.unique(return_inverse=True, return_counts=True)
        labels = torch.zeros(len(clips), dtype=torch.int64).index_copy_(0, place, label)
        if (labels[place] != label).any():
            raise ValueError("VideoClasses: clips of a video differ in their class; one is expected of them all")
        # one video after the other: a sum is the same, to the last bit, whatever other videos there are
        order = place.argsort(stable=True)
        parts = probability[order].split(clips.tolist())
        means = [[math.fsum(column) / len(part) for column in part.T.tolist()] for part in parts]
        mean = torch.tensor(means, dtype=torch.float64)
        if self.rule == "mean_prob":
            return labels, mean, mean.argmax(1)
        positive = torch.zeros_like(clips).index_add_(0, place, (probability.argmax(1) == self.positive).long())
        asked = [int(self.fraction * count) for count in clips.tolist()]  # exceeded by whole clips: rounded down
        is_positive = positive > torch.tensor(asked)
        return labels, mean, torch.where(is_positive, self.positive, 1 - self.positive)

    def _areas(self, label: Tensor, mean: Tensor, present: dict[int, float]) -> list[float]:
        if len(present) < 2:
            return []
        classes = [self.positive] if self.num_classes == 2 else list(present)
        return [roc_auc(mean[:, each], (label == each).long()) for each in classes]
