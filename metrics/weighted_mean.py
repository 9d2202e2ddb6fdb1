"""A weighted mean that is the same number for any batch size, number of processes and precision of the model."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric


class WeightedMean(Metric):
    """Sum of values times weights over the sum of weights, of everything seen since the last reset.

    The mean of torchmetrics is converted with the model around it (``trainer.precision=bf16-true``), and a sum in
    bfloat16 stops growing after some hundred tokens. Here sums are float64, whatever the model is converted to; float32
    on devices without it (Apple's MPS).
    """

    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        for name in ("total", "weight"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, values: Tensor, weights: Tensor) -> None:
        """Add values (...) with their weights (...), of any dtype; bool weights choose."""
        weights = weights.to(self.weight.dtype)
        self.total += (values.to(self.total.dtype) * weights).sum()
        self.weight += weights.sum()

    def compute(self) -> Tensor:
        """The mean, scalar float32; not a number while all weights are zero."""
        return (self.total / self.weight).float()

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = ()) -> "WeightedMean":
        def moved(state: Tensor) -> Tensor:
            device = fn(state.float()).device  # float32 exists everywhere
            return state.to(device, torch.float32 if device.type == "mps" else torch.float64)

        return super()._apply(moved, exclude_state)
