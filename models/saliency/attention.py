"""Explanations by attention: matrices are computed and kept only here, fused attention stays in all other use."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from models.saliency.layers import find_layer

Summary = Literal["mean", "first"]
RESIDUAL = 0.5  # share of a block's attention beside its skip connection; Abnar and Zuidema (2020)


@contextmanager
def attention_of(
    model: nn.Module, names: Sequence[str], keep: Callable[[Tensor], Tensor] = lambda weights: weights
) -> Iterator[list[Tensor]]:
    """Let attention be computed by its matrices, which can be taken from the list, and have gradients.

    A matrix of 1568 tokens and 12 heads has 118 MB in float32, per block and clip.

    Args:
        model: The network.
        names: Modules that are called with queries, keys, values (B, heads, N, d) and, by name or place, dropout and
            the scale of the dot products (`models.transformer.DotProduct`), in the order of the forward pass.
        keep: What is kept of a matrix (B, heads, N, N).

    Yields:
        What was kept of each, in the order in which they ran in the (one) forward pass within.

    Raises:
        UnknownLayerError: When there is no such module.
    """
    modules = [find_layer(model, name) for name in names]
    found: list[Tensor] = []

    def explicit(module: nn.Module, inputs: tuple, named: dict, output: Tensor) -> Tensor:
        query, key, value, _, scale = _arguments(*inputs, **named)
        weights = (query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)).softmax(-1)
        if torch.is_grad_enabled() and not weights.requires_grad:
            weights.requires_grad_()
        if len(found) < len(modules):  # a backward pass may run blocks again (activation checkpointing)
            found.append(keep(weights))
        return weights @ value

    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_hook(explicit, with_kwargs=True).remove)
        yield found


def require_all(attention: Sequence[Tensor], names: Sequence[str]) -> None:
    """Refuse to go on where not every module ran once."""
    if len(attention) != len(names):
        raise ValueError(
            f"attention: expected {len(names)} modules to run ({', '.join(names)}), found {len(attention)}"
        )


def _arguments(
    query: Tensor, key: Tensor, value: Tensor, dropout: float = 0.0, scale: float | None = None
) -> tuple[Tensor, Tensor, Tensor, float, float | None]:
    return query, key, value, dropout, scale


def start(tokens: Tensor, summary: Summary) -> Tensor:
    """What a model takes from the tokens of its last block: (B, 1, N) like ``tokens`` (B, ..., N), of sum 1."""
    first = tokens.new_zeros(len(tokens), 1, tokens.shape[-1])
    if summary == "mean":
        return first + 1 / tokens.shape[-1]
    first[..., 0] = 1
    return first


def rollout(attention: Sequence[Tensor], summary: Summary = "mean") -> Tensor:
    """How much of each token reaches the summary if attention only mixes: Abnar and Zuidema (2020).

    The product of the blocks' mean matrices, half of each of them the skip connection. It does not depend on any class.
    From the last block on a row is multiplied, which takes N^2 operations per block instead of N^3.

    Args:
        attention: (B, N, N) of each block, the mean over its heads, the first one first.
        summary: See `start`.

    Returns:
        (B, N), of sum 1.
    """
    row = start(attention[-1], summary)
    for weights in reversed(attention):
        row = RESIDUAL * (row @ weights) + (1 - RESIDUAL) * row
    return row.squeeze(1)


def gradient_rollout(attention: Sequence[Tensor], gradients: Sequence[Tensor], summary: Summary = "mean") -> Tensor:
    """Rollout of what attention does for the target: Chefer et al., "Generic attention-model explainability" (2021).

    In each block the mean over heads of relu(G A) is added to the identity. What the summary is without any attention,
    the same for all targets, is taken off at the end.

    Args:
        attention: (B, heads, N, N) of each block, the first one first.
        gradients: Of the score by these.
        summary: See `start`.

    Returns:
        (B, N), not negative.
    """
    row = first = start(attention[-1][:, 0], summary)
    for weights, slopes in zip(reversed(attention), reversed(gradients), strict=True):
        row = row + row @ (weights * slopes).clamp(min=0).mean(1)
    return (row - first).squeeze(1)


def legrad(gradients: Sequence[Tensor]) -> Tensor:
    """Where more attention would raise the score: mean over blocks, heads and queries of relu(G).

    After Bousselham et al., "LeGrad" (2024), who take the score from the tokens of each block by itself; here it is
    that of the model for all blocks.

    Args:
        gradients: (B, heads, N, N) of the score by the attention of each block.

    Returns:
        (B, N), not negative.
    """
    return torch.stack([slopes.clamp(min=0).mean((1, 2)) for slopes in gradients]).mean(0)
