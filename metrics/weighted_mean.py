"""The mean of a loss or of another quantity over all samples of a split, exact."""

import torch
from torch import Tensor

from metrics.exact import ExactMetric, exact_sum


class WeightedMean(ExactMetric):
    """Sum of values times weights over the sum of weights, each summed within a sample first.

    Samples count by their weight, not equally: a clip with twice as many hidden tokens counts twice.
    """

    def __init__(self) -> None:
        super().__init__(total=1, weight=1)

    def update(self, index: Tensor, values: Tensor, weights: Tensor) -> None:
        """Add samples ``index`` (B,) with values (B, ...) and weights (B, ...), of any dtype; bool weights choose."""
        weights = self.exact(weights)
        total, weight = (each.unsqueeze(-1).flatten(1).sum(1) for each in (self.exact(values) * weights, weights))
        self.record(index, total=total, weight=weight)

    def compute(self) -> Tensor:
        """The mean, scalar float64; not a number while all weights are zero.

        Raises:
            EvaluationError: When not every sample was visited exactly once.
        """
        columns = self.collect().columns
        total, weight = (torch.tensor(exact_sum(columns[name]), dtype=torch.float64) for name in ("total", "weight"))
        return total / weight
