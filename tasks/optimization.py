"""How every task makes its optimizer and its schedule from what it was given."""

import math

from lightning import LightningModule
from torch.optim import Optimizer

from tasks.parameter_groups import parameter_groups, scale_learning_rates


def optimizer_and_schedule(task: LightningModule, layer_decay: float | None = None) -> Optimizer | dict:
    """Answer Lightning's ``configure_optimizers`` for a task with ``model``, ``optimizer`` and ``scheduler``.

    Args:
        task: Its ``optimizer(groups)`` makes the optimizer from the parameter groups of its ``model``; its
            ``scheduler(optimizer, total_steps=..., steps_per_epoch=...)`` a schedule that is stepped once per optimizer
            step, None for a constant learning rate.
        layer_decay: Factor by which learning rates fall from block to block towards the input; None for one rate.

    Raises:
        ValueError: When the task has no optimizer.
    """
    if task.optimizer is None:
        raise ValueError(f"{type(task).__name__}: no optimizer was given; a task without one can only be evaluated")
    optimizer = task.optimizer(parameter_groups(task.model, layer_decay))
    scale_learning_rates(optimizer)
    if task.scheduler is None:
        return optimizer
    total_steps = task.trainer.estimated_stepping_batches
    steps_per_epoch = math.ceil(task.trainer.num_training_batches / task.trainer.accumulate_grad_batches)
    schedule = task.scheduler(optimizer, total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
