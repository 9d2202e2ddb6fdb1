"""How well scores rank what is positive above what is not: areas under curves, with ties, exact.

Everything is computed from how many positive and negative items have each score. Items of equal score are one step of a
curve, whatever their order. Numbers equal those of scikit-learn of the same names.
"""

import torch
from torch import Tensor

from metrics.exact import exact_sum


def roc_auc(scores: Tensor, labels: Tensor) -> float:
    """The area under the ROC curve: how often a positive item is above a negative one, ties counting half.

    Args:
        scores: (N,), without values that are not a number.
        labels: (N,), 1 positive, 0 negative, with both.
    """
    positives, negatives = items_per_score(scores, labels)
    below = negatives.sum() - negatives.cumsum(0)
    halves = (positives * (2 * below + negatives)).sum()  # integers: no order of summation changes a bit
    return int(halves) / (2 * int(positives.sum()) * int(negatives.sum()))


def average_precision(scores: Tensor, labels: Tensor) -> float:
    """The mean over the positive items of the precision at their score; arguments as in `roc_auc`."""
    positives, precision = precision_per_score(scores, labels)
    return exact_sum(positives * precision) / int(positives.sum())


def pr_auc_trapezoid(scores: Tensor, labels: Tensor) -> float:
    """The area under straight lines between the points of the precision-recall curve; arguments as in `roc_auc`.

    Published evaluations of weakly supervised detectors call this AP (RTFM, Tian et al., 2021). It differs from
    `average_precision`: between two points precision does not run along a line.
    """
    positives, precision = precision_per_score(scores, labels)
    before = torch.cat([torch.ones(1, dtype=torch.float64), precision[:-1]])  # the curve starts with precision 1
    return exact_sum(positives * (before + precision) / 2) / int(positives.sum())


def interpolated_average_precision(scores: Tensor, labels: Tensor, positives: int | None = None) -> float:
    """The area under the precision-recall curve after precision was made monotonous from the right, at all its points.

    The AP of PASCAL VOC since 2010, which the evaluators of AVA-ActiveSpeaker and of Ego4D take over; it is not
    `average_precision`. Those programs put items of equal score in whatever order a sort leaves them; as one step, they
    give the least of what any order gives.

    Args:
        scores: (N,), without values that are not a number.
        labels: (N,), 1 positive, 0 negative.
        positives: How many there are to be found, at least 1; None for those among ``labels``.
    """
    found, precision = precision_per_score(scores, labels)
    highest = precision.flip(0).cummax(0).values.flip(0)
    return exact_sum(found * highest) / (int(found.sum()) if positives is None else positives)


def precision_per_score(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Count positive items per score, int64 (K,), and the precision of calling them and all above positive, (K,)."""
    positives, negatives = items_per_score(scores, labels)
    return positives, positives.cumsum(0).double() / (positives + negatives).cumsum(0)


def items_per_score(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Count positive and negative items for each of the K scores that occur, the highest first; int64 (K,) each."""
    values, place = scores.unique(return_inverse=True)
    positive = labels.bool()
    positives, negatives = (place[each].bincount(minlength=len(values)).flip(0) for each in (positive, ~positive))
    return positives, negatives
