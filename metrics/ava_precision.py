"""Average precision of every class of actions, exactly as the official evaluator of AVA measures it."""

import math
import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from metrics.ava_order import BoxRows, official_order
from metrics.box_matching import Booleans, Floats, closest, first_come
from metrics.sorting import descending_ranks, stable_order

Cap = Literal["official", "none"]
Classes = Sequence[tuple[int, str, str]]
"""Id, name and group of each class that is evaluated; the group is ``pose``, ``object``, ``person``, or empty."""

CAPS: dict[str, int | None] = {"official": 50, "none": None}  # rows kept per frame; evaluator of ActivityNet
IOU = 0.5


def average_precisions(
    truth: BoxRows, detections: BoxRows, ids: Sequence[int], cap: Cap = "official", iou: float = IOU
) -> Floats:
    """Measure the average precision of each class over all frames.

    Gu et al., "AVA: A video dataset of spatio-temporally localized atomic visual actions" (2018); protocol of
    activitynet/ActivityNet. Rows of other classes do not count. Of the rows of a frame, a box and a class each, the
    best 50 count (``cap="official"``; PySlowFast and mmaction2 have no cap), of which those without an area do not.
    In a frame the detections of a class, the highest score first, claim the true box that they overlap most, never
    a second choice: rightly if the overlap is at least ``iou`` and nobody was there before. Precision is made
    monotonous from the right, and summed over the steps of recall.

    Ties: as in the official evaluator with a stable sort. Detections of equal score claim true boxes in the order of
    its list (`metrics.ava_order.official_order`), and are counted from the back of it: the last frame first. So numbers
    depend on nothing but the rows and their order.

    Args:
        truth: True boxes, in any order.
        detections: Detections; frames without a true box count as well.
        ids: The classes.
        cap: How many rows of a frame count.
        iou: Overlap from which a box is found, above 0.

    Returns:
        (C,), in the order of ``ids``: 0 without a detection, NaN for a class without a true box.

    Raises:
        ValueError: For a true box of x2 < x1 or y2 < y1, a coordinate or score that is no number, or an unknown cap.
    """
    require_cap(cap)
    truth, detections = (rows.of_classes(ids) for rows in (truth, detections))
    require_boxes(truth, detections)
    truth, order = truth.take(official_order(truth, None)), official_order(detections, CAPS[cap])
    x1, y1, x2, y2 = detections.box.T
    detections = detections.take(order[((x1 < x2) & (y1 < y2))[order]])
    numbers = np.zeros(max(ids) + 1, dtype=np.int64)
    numbers[list(ids)] = np.arange(len(ids))
    classes, true_classes = (numbers[rows.label] for rows in (detections, truth))
    keys, true_keys = detections.frame * len(ids) + classes, truth.frame * len(ids) + true_classes
    right = first_come(*closest(keys, detections.box, true_keys, truth.box), iou)
    last_first = np.arange(len(right))[::-1]
    ranks = descending_ranks(detections.score)
    counted = last_first[stable_order(ranks[last_first], classes[last_first])]
    ends = np.bincount(classes, minlength=len(ids)).cumsum()
    counts = np.bincount(true_classes, minlength=len(ids)).tolist()
    found = np.split(right[counted], ends[:-1])
    return np.array([average_precision(each, count) for each, count in zip(found, counts, strict=True)])


def average_precision(right: Booleans, count: int) -> float:
    """The area under the interpolated precision of detections in order.

    Args:
        right: (N,), the highest score first.
        count: True boxes, found or not.

    Returns:
        In [0, 1]; NaN where ``count`` is 0.
    """
    if count == 0:
        return math.nan
    [places] = right.nonzero()
    found = np.arange(1, len(places) + 1)
    precision = np.maximum.accumulate((found / (places + 1))[::-1])[::-1]  # between two of them it only falls
    steps = np.diff(found / count, prepend=0)  # as the official evaluator rounds them
    return float((steps * precision).sum())


def mean(values: Floats) -> float:
    """The mean of the values that are numbers; NaN where none is."""
    numbers = values[~np.isnan(values)]
    return float(numbers.mean()) if len(numbers) else math.nan


def summary(values: Floats, classes: Classes) -> dict[str, float]:
    """Name average precisions and take their means: ``map``, ``map_<group>``, ``ap_<class>``; without those of NaN.

    Args:
        values: (C,) from `average_precisions`.
        classes: Of which every one has a name of its own in letters and digits.
    """
    groups = list(dict.fromkeys(group for _, _, group in classes if group))
    means = {f"map_{key(each)}": values[[group == each for _, _, group in classes]] for each in groups}
    found = {name: mean(each) for name, each in {"map": values, **means}.items()}
    found |= {f"ap_{key(name)}": float(value) for (_, name, _), value in zip(classes, values, strict=True)}
    return {name: value for name, value in found.items() if not math.isnan(value)}


def key(name: str) -> str:
    """A name in lower case letters, digits and ``_``: bend/bow (at the waist) is bend_bow_at_the_waist."""
    return re.sub(r"\W+", "_", name.lower()).strip("_")


def require_cap(cap: str) -> None:
    """Refuse another cap than those there are."""
    if cap not in CAPS:
        raise ValueError(f"cap: expected one of {', '.join(CAPS)}, found {cap!r}")


def require_boxes(truth: BoxRows, detections: BoxRows) -> None:
    """Refuse numbers that cannot be compared, and true boxes that are turned over."""
    for kind, rows in {"true boxes": truth, "detections": detections}.items():
        if not (np.isfinite(rows.box).all() and np.isfinite(rows.score).all()):
            first = rows.take(~(np.isfinite(rows.box).all(1) & np.isfinite(rows.score)))
            raise ValueError(
                f"{kind}: expected finite coordinates and scores, found box {first.box[0].tolist()} with score "
                f"{first.score[0]:g} in frame {first.frame[0]}, class {first.label[0]}"
            )
    turned = (truth.box[:, :2] > truth.box[:, 2:]).any(1)
    if turned.any():
        first = truth.take(turned)
        found = f"{first.box[0].tolist()} in frame {first.frame[0]}, class {first.label[0]}"
        raise ValueError(f"true boxes: expected x1 <= x2 and y1 <= y2, found {found}")
