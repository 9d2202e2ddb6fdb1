"""The base of every metric of an evaluation: each sample counts exactly once, whoever computed it and in what order."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

UNTOLD, PART = -2, -1  # what `expected` holds instead of a number of samples; the least of all processes is for all
LISTS = ("visited", "counts", "rows")
SHOWN = 10  # samples that a message names


class EvaluationError(ValueError):
    """An evaluation did not visit every sample exactly once."""


class Rows(NamedTuple):
    """What was recorded of all samples, on the CPU, in the order of the samples.

    Attributes:
        sample: (R,) int64, the index of the sample that each row is about, ascending.
        columns: By name (R,) float64, or (R, K) for a column of K > 1 values. Rows of a sample are in the order in
            which they were recorded.
    """

    sample: Tensor
    columns: dict[str, Tensor]


class ExactMetric(Metric):
    """Base of metrics that depend on the samples of a split and on nothing else.

    Keeps rows of numbers with the index of the sample they belong to, gathers them from all processes, sorts them by
    index, and refuses to be computed when a sample is missing or was visited twice: a sampler that fills up the last
    batch with samples that were there already counts 8 of 7 samples without a word. Visits with equal rows are refused
    as well, for they come from a loader that is wrong. Given the same rows, `compute` is the same number, bit by bit,
    for any number of processes, any batch size and any order.

    A subclass names its columns, calls `record` from ``update`` and `collect` from ``compute``::

        class Accuracy(ExactMetric):
            def __init__(self) -> None:
                super().__init__(right=1)

            def update(self, index: Tensor, logits: Tensor, label: Tensor) -> None:
                self.record(index, right=logits.argmax(-1) == label)

            def compute(self) -> Tensor:
                return self.collect().columns["right"].mean()

    A sample may have any number of rows, none included: boxes of a keyframe, frames of a clip. Names (of videos, say)
    are not stored; number them, or use the index of the sample. Integers are exact up to 2^53.

    The state is float64 and int64 and stays so in a model that is converted (``trainer.precision=bf16-true``); it is on
    the model's device, or on the CPU where the device has no float64 (Apple's MPS). It is never part of a checkpoint.
    While it is computed every process holds the rows of all; pixels, features and the like do not belong in there.

    Args:
        columns: Number of values per row, by name.
    """

    full_state_update = False

    def __init__(self, **columns: int) -> None:
        super().__init__()
        self.columns = columns
        for name in LISTS:
            self.add_state(name, [], dist_reduce_fx="cat")
        self.add_state("expected", torch.tensor(UNTOLD), dist_reduce_fx="min")

    def expect(self, num_samples: int | None) -> None:
        """Start an evaluation of the samples 0 to ``num_samples - 1``, every process of its share.

        Args:
            num_samples: Size of the split over all processes. None for an evaluation that is cut short on purpose:
                then samples may be missing, but still none may be visited twice.
        """
        self.reset()
        self.expected = torch.full_like(self.expected, PART if num_samples is None else num_samples)

    def record(self, index: Tensor, counts: Tensor | None = None, **columns: Tensor) -> None:
        """Keep the rows of some samples.

        Args:
            index: (B,) int64, the samples.
            counts: (B,) int64, how many rows each of them has; None for one each.
            columns: By name (R,) or (R, K) of any dtype with R the sum of ``counts``, first all rows of the first
                sample, then those of the second, and so on.

        Raises:
            ValueError: When columns or numbers of rows do not fit.
        """
        if columns.keys() != self.columns.keys():
            raise ValueError(f"{self._name}: expected the columns {list(self.columns)}, found {list(columns)}")
        length, counts = (len(index), torch.ones_like(index)) if counts is None else (int(counts.sum()), counts)
        if counts.shape != index.shape:
            raise ValueError(f"{self._name}: expected counts of {len(index)} samples, found {len(counts)}")
        for name, width in self.columns.items():
            shape = tuple(columns[name].shape)
            if shape != (length, width) and (shape, width) != ((length,), 1):
                raise ValueError(f"{self._name}: column {name}: expected shape ({length}, {width}), found {shape}")
        self.visited.append(index.to(self.device, torch.int64))
        self.counts.append(counts.to(self.device, torch.int64))
        rows = [self.exact(columns[name]).reshape(length, width) for name, width in self.columns.items()]
        self.rows.append(torch.cat(rows, 1))

    def collect(self) -> Rows:
        """Put the rows of all samples in order; for ``compute``, where the rows of all processes are there.

        Raises:
            EvaluationError: When not every sample was visited exactly once.
        """
        visited, counts, rows = (dim_zero_cat(getattr(self, name)).cpu() for name in LISTS)
        self._require_each_once(visited)
        sample, order = visited.repeat_interleave(counts).sort(stable=True)
        columns = rows[order].split(list(self.columns.values()), 1)
        return Rows(sample, {name: column.squeeze(1) for name, column in zip(self.columns, columns, strict=True)})

    def exact(self, values: Tensor) -> Tensor:
        """Bring values to where the state is, and to float64."""
        return values.detach().to(self.device).to(torch.float64)  # one after the other: MPS cannot even convert to it

    @property
    def device(self) -> torch.device:
        """Where the state and the result are: the model's device, or the CPU where that knows no float64."""
        return torch.device("cpu") if super().device.type == "mps" else super().device

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the state of all processes, also of those without a sample."""
        # From an empty list torchmetrics would send a float32 vector to processes that await int64 or a matrix.
        nothing = (torch.int64, (0,)), (torch.int64, (0,)), (torch.float64, (0, sum(self.columns.values())))
        for name, (dtype, shape) in zip(LISTS, nothing, strict=True):
            if isinstance(getattr(self, name), list):
                getattr(self, name).append(torch.empty(shape, dtype=dtype, device=self.device))
        super().sync(*args, **kwargs)

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = ()) -> "ExactMetric":
        """Move with the model, but take no part in its conversion."""
        super()._apply(fn, exclude_state=[*LISTS, "expected", *exclude_state])
        for name in LISTS:
            setattr(self, name, [state.to(self.device) for state in getattr(self, name)])
        self.expected = self.expected.to(self.device)
        return self

    def _require_each_once(self, visited: Tensor) -> None:
        expected, (index, times) = int(self.expected), visited.unique(return_counts=True)
        if expected == UNTOLD:
            raise EvaluationError(
                f"{self._name}: how many samples the evaluation has is not known; call expect(number of samples) "
                "before it, or expect(None) for one that is cut short on purpose"
            )
        if len(index) < len(visited):
            raise self._wrong(f"{len(visited)} visits of {len(index)} samples, twice or more", index[times > 1])
        if expected == PART:
            return
        foreign = index[(index < 0) | (index >= expected)]
        if len(foreign):
            raise self._wrong(f"{expected} samples were expected, 0 to {expected - 1}, found also", foreign)
        if len(index) < expected:
            missing = torch.ones(expected, dtype=torch.bool).index_fill_(0, index, False).nonzero().flatten()
            raise self._wrong(f"{len(missing)} of {expected} samples were not evaluated", missing)

    def _wrong(self, problem: str, index: Tensor) -> EvaluationError:
        some = ", ".join(map(str, index[:SHOWN].tolist())) + (" ..." if len(index) > SHOWN else "")
        return EvaluationError(
            f"{self._name}: {problem}: {some}; an evaluation visits every sample of its split exactly once over all "
            "processes (datamodules.loading.Shard), without drop_last, and batches name their samples in 'index'"
        )

    @property
    def _name(self) -> str:
        return type(self).__name__


def exact_sum(values: Tensor) -> float:
    """Sum numbers without rounding anything but the result, so that no number of threads changes a bit of it.

    Args:
        values: (R,) float64; infinite ones and those that are not a number give what adding them gives.
    """
    total = values.sum()
    return math.fsum(values.tolist()) if total.isfinite() else float(total)
