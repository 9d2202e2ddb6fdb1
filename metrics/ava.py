"""Frame mAP of spatio-temporal action detection over the key frames of a split, whoever looked at them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from metrics.ava_files import KeyFrame, write_results
from metrics.ava_order import BoxRows
from metrics.ava_precision import CAPS, IOU, Cap, Classes, average_precisions, key, require_cap, summary
from metrics.box_matching import NONE, Integers, closest
from metrics.exact import ExactMetric

Boxes = tuple[Tensor, Tensor]
"""Boxes (R, 4) of a key frame, xyxy, and what is said of each (R, C): scores of a detector, or true labels, 0 or 1."""


class FrameMAP(ExactMetric):
    """Frame mAP at an overlap of 0.5 as the official evaluator of AVA measures it, exact over all processes.

    `metrics.ava_precision.average_precisions` says what is measured. A sample is a key frame. Those that have true
    boxes and no detection must be visited as well, they are what a person detector missed; those that the data set
    excludes must not.

    ===============  =================================================================================================
    ``map``          mean over the classes with true boxes
    ``map_<group>``  the same over the classes of a group: pose, object (with an object), person (with another person)
    ``ap_<class>``   average precision of a class by its name (`metrics.ava_precision.key`)
    ===============  =================================================================================================

    A number that does not exist, because there is no true box, is left out.

    Args:
        classes: Id, name and group of each of the C classes, in the order in which models score them.
        cap: ``official`` counts the best 50 rows of a key frame, a box and a class each; ``none`` all.
        iou: Overlap from which a box is found.

    Attributes:
        classes: As given.
        evaluator: What was measured, in a line to stand next to every number.
        precisions: After ``compute``, float64 (C,), the average precision of each class, NaN without a true box.
        true_boxes: After ``compute``, int64 (C,), how many true boxes it has.

    Raises:
        ValueError: For an unknown ``cap``, or when two classes could not be told apart by their names or ids.
    """

    def __init__(self, classes: Classes, cap: Cap = "official", iou: float = IOU) -> None:
        require_cap(cap)
        require_distinct(classes)
        super().__init__(true=1, box=4, value=len(classes))
        self.classes, self.cap, self.iou = [tuple(each) for each in classes], cap, iou
        rows = "all rows" if CAPS[cap] is None else f"the best {CAPS[cap]} rows"
        self.evaluator = f"frame mAP@{iou:g} of {len(classes)} classes, {rows} of a key frame (cap={cap})"
        self.precisions, self.true_boxes = np.full(len(classes), np.nan), np.zeros(len(classes), dtype=np.int64)
        self._frame, self._true = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
        self._box, self._value = np.zeros((0, 4)), np.zeros((0, len(classes)))

    def update(self, index: Tensor, detections: Sequence[Boxes], truth: Sequence[Boxes]) -> None:
        """Add key frames, each once, with all views fused.

        Args:
            index: int64 (B,), the samples.
            detections: Boxes and scores of each key frame; a box has a score for every class.
            truth: True boxes and their labels; boxes in the same coordinates.
        """
        parts = [part for pair in zip(truth, detections, strict=True) for part in pair]
        boxes, values = (torch.cat([self.exact(part[column]) for part in parts]) for column in (0, 1))
        sizes = torch.tensor([len(part[0]) for part in parts])
        true = torch.tensor([1, 0]).repeat(len(index)).repeat_interleave(sizes)
        self.record(index, sizes.view(-1, 2).sum(1), true=true, box=boxes, value=values)

    def compute(self) -> dict[str, Tensor]:
        """Every number that exists, scalar float64 by name.

        Raises:
            EvaluationError: When not every sample was visited exactly once.
            ValueError: When a label is neither 0 nor 1, or a score or a coordinate is not a number.
        """
        sample, columns = self.collect()
        self._frame, self._true = sample.numpy(), columns["true"].numpy() == 1
        self._box = columns["box"].numpy()
        self._value = columns["value"].numpy().reshape(-1, len(self.classes))
        wrong = self._true & ~np.isin(self._value, (0, 1)).all(1)
        if wrong.any():
            found = f"{self._value[wrong][0].tolist()} in sample {self._frame[wrong][0]}"
            raise ValueError(f"FrameMAP: expected true labels of 0 or 1, found {found}")
        self.true_boxes = self._value[self._true].sum(0).astype(np.int64)
        self.precisions = average_precisions(self._truth(), self._detections(), self._ids.tolist(), self.cap, self.iou)
        found = summary(self.precisions, self.classes)
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in found.items()}

    def match(self, boxes: Tensor, truth: Tensor) -> list[int]:
        """Say for each box (R, 4) which true box of (G, 4) it finds, by position; -1 for none."""
        keys = [np.zeros(len(each), dtype=np.int64) for each in (boxes, truth)]
        arrays = [each.cpu().double().numpy() for each in (boxes, truth)]
        position, overlap = closest(keys[0], arrays[0], keys[1], arrays[1])
        return np.where(overlap >= self.iou, position, NONE).tolist()

    def write_results(self, path: Path, frames: Mapping[int, KeyFrame], decimals: int | None = None) -> None:
        """Write what was detected in the official format; measured from the file, every number is the same.

        Args:
            path: The csv file.
            frames: Video and second of every sample.
            decimals: As in `metrics.ava_files.write_results`.
        """
        write_results(path, self._detections(), frames, decimals)

    def confusion(self, group: str) -> tuple[list[str], Integers]:
        """Count which class of a group is found on the true boxes that have exactly one label of it.

        A true box is found where the detected box closest to it overlaps it enough; what is found is the class of the
        group with the highest score there.

        Args:
            group: Of K classes.

        Returns:
            The names of the classes; and int64 (K, K + 1), by true and by found class, the last column for none.
        """
        [some] = np.nonzero([each == group for _, _, each in self.classes])
        single = self._true & (self._value[:, some].sum(1) == 1)
        found = ~self._true
        position, overlap = closest(self._frame[single], self._box[single], self._frame[found], self._box[found])
        position = np.where(overlap >= self.iou, position, NONE)
        counts = np.zeros((len(some), len(some) + 1), dtype=np.int64)
        if len(some):
            predicted = np.append(self._value[found][:, some].argmax(1), len(some))  # at `NONE`, which is the last
            np.add.at(counts, (self._value[single][:, some].argmax(1), predicted[position]), 1)
        return [self.classes[each][1] for each in some], counts

    @property
    def _ids(self) -> Integers:
        return np.array([number for number, _, _ in self.classes], dtype=np.int64)

    def _detections(self) -> BoxRows:
        """A row for every detected box and class."""
        box, classes = np.flatnonzero(~self._true), len(self.classes)
        rows = box.repeat(classes)
        return BoxRows(self._frame[rows], np.tile(self._ids, len(box)), self._box[rows], self._value[box].ravel())

    def _truth(self) -> BoxRows:
        """A row for every label of a true box, with the number of the box, as official files number persons."""
        box, label = (self._true[:, None] & (self._value == 1)).nonzero()
        return BoxRows(self._frame[box], self._ids[label], self._box[box], box.astype(np.float64))


def require_distinct(classes: Classes) -> None:
    """Refuse classes that share an id, or a name in letters and digits."""
    for kind, values in {
        "ids": [number for number, _, _ in classes],
        "names of numbers": [f"ap_{key(name)}" for _, name, _ in classes],
    }.items():
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice or not values:
            found = ", ".join(map(str, twice)) + " twice" if twice else "no class"
            raise ValueError(f"FrameMAP: expected classes with {kind} of their own, found {found}")
