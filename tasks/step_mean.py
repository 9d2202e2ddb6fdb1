"""The loss of a step as one mean over all that counts in it, whichever process and batch it came in."""

import torch
from lightning import Trainer
from torch import Tensor
from torch.optim import Optimizer


class StepMean:
    """Turns the gradient of sums over batches into that of the mean over a step, on all processes.

    What counts (persons, frames) is not spread evenly over processes and accumulated batches, so that a mean of means
    would weigh some more than others. How much counts in a step is known at its end: ``training_step`` returns what
    `add` gives, ``on_before_optimizer_step`` calls `finish`, which divides. A batch or a process with nothing that
    counts takes part with nothing.
    """

    def __init__(self) -> None:
        self._sums: list[Tensor] = []  # of the batches of a step so far: losses, and what counts

    def add(self, trainer: Trainer, total: Tensor, weight: Tensor | float) -> Tensor:
        """Add a batch.

        Args:
            trainer: Of the task.
            total: Scalar, the sum of losses times weights.
            weight: Scalar, the sum of weights.

        Returns:
            What the gradient is taken of.
        """
        weight = torch.as_tensor(weight, dtype=total.dtype, device=total.device)
        self._sums.append(torch.stack([total.detach(), weight]))  # not their values: the device is not waited for
        # Lightning will divide by the batches of a step and the strategy by the processes.
        return total * trainer.accumulate_grad_batches * trainer.world_size

    def finish(self, trainer: Trainer, optimizer: Optimizer) -> float | None:
        """Divide the gradients of the step by all its weight.

        Returns:
            The mean; None where nothing counted.
        """
        step, self._sums = torch.stack(self._sums).sum(0), []
        total, weight = trainer.strategy.reduce(step, reduce_op="sum").tolist()
        if not weight:
            return None
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad /= weight
        return total / weight
