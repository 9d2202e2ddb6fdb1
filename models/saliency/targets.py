"""What is explained of the outputs of a model: one number per clip."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Target = str | int | Sequence[int] | Tensor | Callable[[Tensor], Tensor]
PREDICTED = "predicted"


@dataclass(frozen=True)
class Aim:
    """A target that no longer depends on what the model says, so that it stays the same when clips are changed.

    Attributes:
        function: Maps outputs (B, ...) to the explained number of each clip, (B,).
        direction: (B, K) weights of the outputs, where it is linear in them; otherwise None.
        classes: (B,) int64, where it is one of the outputs; otherwise None.
    """

    function: Callable[[Tensor], Tensor]
    direction: Tensor | None = None
    classes: Tensor | None = None

    def __call__(self, output: Tensor) -> Tensor:
        """The explained number of each clip, (B,)."""
        if self.direction is not None:
            return (output * self.direction).sum(1)
        found = self.function(output)
        if found.shape != output.shape[:1]:
            raise ValueError(f"target: expected a number per clip, ({len(output)},), found {tuple(found.shape)}")
        return found


def outputs_of(result: Any) -> Tensor:
    """The outputs that a model returned: a tensor, or ``logits`` of a dict."""
    if isinstance(result, Mapping) and isinstance(result.get("logits"), Tensor):
        return result["logits"]
    if isinstance(result, Tensor):
        return result
    raise ValueError(
        f"expected a model that returns a tensor, or a dict with 'logits', found {type(result).__name__}; "
        "say with run=... how to call it"
    )


def aim(target: Target, output: Tensor) -> Aim:
    """Settle a target for clips.

    Args:
        target: ``predicted``, the highest output; a class, or one of each clip (ints); weights of the outputs, float
            (K,) or (B, K), such as 1 for one class and -1 for another to ask why the one rather than the other; or a
            function from outputs to a number per clip. Outputs are taken as they come: let them be logits, for
            gradients of probabilities vanish where the model is sure.
        output: (B, K) of the clips as they are; any shape for a function.

    Returns:
        The target, as it is for these clips.

    Raises:
        ValueError: When the target is none of these, or there is no such class.
    """
    if callable(target) and not isinstance(target, Tensor):
        return Aim(target)
    if output.ndim != 2:
        raise ValueError(f"expected outputs (B, K), found {tuple(output.shape)}; give a function as target")
    clips, outputs = output.shape
    if isinstance(target, str):
        if target != PREDICTED:
            raise ValueError(f"target: expected {PREDICTED!r}, a class, weights or a function, found {target!r}")
        return _class(output.detach().argmax(1), output)
    wanted = torch.as_tensor(target, device=output.device)
    if wanted.is_floating_point():
        if tuple(wanted.shape) not in ((outputs,), (clips, outputs)):
            raise ValueError(f"target: expected weights of {outputs} outputs, found {tuple(wanted.shape)}")
        direction = wanted.to(output.dtype).expand(clips, outputs)
        return Aim(lambda found: (found * direction).sum(1), direction)
    if wanted.ndim > 1 or (wanted.ndim == 1 and len(wanted) != clips):
        raise ValueError(f"target: expected a class, or one of each of {clips} clips, found {tuple(wanted.shape)}")
    if wanted.min() < 0 or wanted.max() >= outputs:
        raise ValueError(f"target: expected classes from 0 to {outputs - 1}, found {wanted.tolist()}")
    return _class(wanted.expand(clips).long(), output)


def _class(classes: Tensor, output: Tensor) -> Aim:
    direction = torch.nn.functional.one_hot(classes, output.shape[1]).to(output.dtype)
    return Aim(lambda found: (found * direction).sum(1), direction, classes)
