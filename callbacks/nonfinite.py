"""NaN and Inf in training: the step is not taken, and what led to it is written down."""

import json
import logging
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import torch.distributed as dist
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn import Module, Parameter
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from callbacks.batch_facts import BatchFacts, plain
from core.atomic import write_file

log = logging.getLogger(__name__)


class NonFiniteError(RuntimeError):
    """A loss or a gradient is NaN or infinite, and the run was told to stop there."""


class NonFinite(Callback):
    """Take no optimizer step on a loss or a gradient that is not finite, and write down what led to it.

    Parameters, the optimizer's state and buffers such as the running means of a batch norm stay what they were before
    the step. Everything that counts goes on: ``global_step``, the schedule and the position in the data are those of a
    step that was taken, as with torch's GradScaler.

    Every process comes to the same decision: the one number that is read per optimizer step, whether all losses since
    the last step and the norm of the gradient are finite, is reduced over all of them before. It is what makes a GPU
    wait once per step; nothing else is computed until it says that something is wrong.

    With ``precision=16-mixed`` gradients overflow now and then and the scaler skips the step and lowers its scale: that
    is no fault. It is one when the loss itself is not finite, or when the scale is down to 1.

    Each fault becomes ``<folder>/step_<global_step>.json``: step, epoch, learning rates, norm of the gradient, names of
    parameters whose gradients are not finite, and, per process, loss and samples: text and whole numbers of the batch
    as they are (name, frames, index), of tensors of other kinds the range, mean and count of values that are not
    finite, per sample.

    Args:
        folder: Where the files go.
        action: ``stop`` the run with an error, or ``skip`` the step and go on.
        max_skipped: Steps that may be skipped in the whole run, over all restarts; one more stops it.
    """

    def __init__(
        self,
        folder: str,
        action: Literal["stop", "skip"] = "stop",
        max_skipped: Annotated[int, "max_skipped >= 0"] = 10,
    ) -> None:
        self.folder = Path(folder)
        self.action = action
        self.max_skipped = max_skipped
        self.skipped = 0
        self._losses: list[Tensor] = []
        self._batches: list[BatchFacts] = []
        self._buffers = KeptBuffers()
        self._clip_val: float | None = None

    def state_dict(self) -> dict[str, int]:
        return {"skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.skipped = state_dict["skipped"]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._batches:
            self._batches[-1].let_go()  # accumulated batches are not kept in memory for their sake
        else:  # not after the step before: what follows a step, such as an average of weights, is not to be undone
            self._buffers.keep(pl_module)
        self._batches.append(BatchFacts(batch))

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        self._losses.append(loss.detach())

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        losses, self._losses = self._losses, []
        batches, self._batches = self._batches, []
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        wrong = torch.stack([value.isfinite().all().logical_not().to(pl_module.device) for value in (*losses, norm)])
        wrong = torch.stack([wrong[:-1].any(), wrong[-1]]).int()
        if trainer.world_size > 1:
            dist.all_reduce(wrong, dist.ReduceOp.MAX)
        wrong_loss, wrong_gradient = wrong.tolist()
        scaler = _scaler(trainer)
        if wrong_loss or (wrong_gradient and (scaler is None or scaler.get_scale() <= 1)):
            what = "loss" if wrong_loss else "gradient"
            file = self._write(trainer, pl_module, what, norm, losses, batches)
            self._answer(trainer, pl_module, what, file)
            self._buffers.put_back()
            self._leave_out(trainer, parameters, optimizer)
        elif wrong_gradient:
            self._buffers.put_back()  # the scaler leaves the step out

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self._clip_val is not None:
            trainer.gradient_clip_val, self._clip_val = self._clip_val, None

    def _leave_out(self, trainer: Trainer, parameters: list[Parameter], optimizer: Optimizer) -> None:
        """Let the optimizer's step change nothing, neither parameters nor its own state."""
        # What comes next is clipping, which torch refuses where there are no gradients.
        trainer.gradient_clip_val, self._clip_val = None, trainer.gradient_clip_val
        if _scaler(trainer) is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            # Here the scaler has not looked at the gradients yet; it insists on some, and leaves the step out itself.
            next(parameter.grad for parameter in parameters if parameter.grad is not None).fill_(math.nan)
            return
        for parameter in parameters:
            parameter.grad = None

    def _answer(self, trainer: Trainer, pl_module: LightningModule, what: str, file: Path) -> None:
        """Count the fault, and raise an error where it is one too many."""
        said = f"step {trainer.global_step}: the {what} is not finite; {file} tells of which samples"
        if self.action == "stop":
            raise NonFiniteError(f"{said}\n  nonfinite=skip leaves such steps out")
        if self.skipped >= self.max_skipped:
            limit = f"callbacks.nonfinite.max_skipped={self.max_skipped}"
            raise NonFiniteError(f"{said}\n  {self.skipped} steps were left out before, which is {limit}")
        self.skipped += 1
        pl_module.log("train/skipped_steps", float(self.skipped))
        if trainer.is_global_zero:
            log.warning("warning: %s; left out, %d of at most %d", said, self.skipped, self.max_skipped)

    def _write(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        what: str,
        norm: Tensor,
        losses: list[Tensor],
        batches: list[BatchFacts],
    ) -> Path:
        scaler = _scaler(trainer)
        factor = trainer.accumulate_grad_batches / (1.0 if scaler is None else scaler.get_scale())
        mine = {
            "rank": trainer.global_rank,
            "losses": [plain(float(loss) * factor) for loss in losses],
            "batches": [batch.told() for batch in batches],
        }
        ranks = [mine]
        if trainer.world_size > 1:
            ranks = [{}] * trainer.world_size
            dist.all_gather_object(ranks, mine)
        file = self.folder / f"step_{trainer.global_step:06d}.json"
        if trainer.is_global_zero:
            named = list(pl_module.named_parameters())
            gradients = [name for name, value in named if value.grad is not None and not value.grad.isfinite().all()]
            content = {
                "step": trainer.global_step,
                "epoch": trainer.current_epoch,
                "lr": [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups],
                "not_finite": what,
                "gradient_norm": plain(float(norm)),
                "gradients_not_finite": gradients,
                "parameters_not_finite": [name for name, value in named if not value.isfinite().all()],
                "ranks": ranks,
            }
            file.parent.mkdir(parents=True, exist_ok=True)
            write_file(file, json.dumps(content, indent=1).encode())
        return file


class KeptBuffers:
    """Copies of a module's buffers, which a forward pass may change: torch does not tell which it did."""

    def __init__(self) -> None:
        self._buffers: list[Tensor] = []
        self._copies: list[Tensor] = []

    @torch.no_grad()
    def keep(self, module: Module) -> None:
        """Copy the buffers, on their device."""
        buffers = list(module.buffers())
        if [id(buffer) for buffer in buffers] != [id(buffer) for buffer in self._buffers]:
            self._buffers, self._copies = buffers, [buffer.clone() for buffer in buffers]
        elif buffers:
            torch._foreach_copy_(self._copies, buffers)

    @torch.no_grad()
    def put_back(self) -> None:
        """Give the buffers the values that were kept."""
        if self._buffers:
            torch._foreach_copy_(self._buffers, self._copies)


def _scaler(trainer: Trainer) -> torch.amp.GradScaler | None:
    return getattr(trainer.precision_plugin, "scaler", None)
