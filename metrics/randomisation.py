"""Does a map depend on what was learned? It should not survive the loss of the weights."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from metrics.faithfulness import spearman


def randomisation_check(
    model: nn.Module, explain: Callable[[], Tensor], steps: int = 4, seed: int = 0
) -> list[tuple[str, Tensor]]:
    """Shuffle weights from the head down, more and more, and compare maps with that of the model as it is.

    Adebayo et al., "Sanity checks for saliency maps" (2018), section 3, cascading. A map whose rank correlation with
    the first one stays high shows the clip rather than the model. Shuffled values keep their distribution, whatever the
    layer. The model is as before afterwards, after errors as well.

    Args:
        model: The network.
        explain: Makes maps (B, T, H, W) of clips and targets that stay the same, with the model as it is at the time.
        steps: Steps in which all layers are shuffled.
        seed: Of the shuffles.

    Returns:
        Of each step the last layer that was shuffled and the rank correlation of each clip's map, (B,).

    Raises:
        ValueError: When the model has no weights, or there is no step.
    """
    layers = from_the_head(model)
    if not layers or steps < 1:
        raise ValueError(f"expected layers with weights and at least one step, found {len(layers)} and {steps}")
    first, found, done = explain(), [], 0
    generator = torch.Generator().manual_seed(seed)
    with unchanged(model):
        for step in range(steps):
            until = -(-len(layers) * (step + 1) // steps)
            shuffle([model.get_submodule(name) for name in layers[done:until]], generator)
            found.append((layers[until - 1], spearman(first, explain())))
            done = until
    return found


def from_the_head(model: nn.Module) -> list[str]:
    """Names of the modules that have parameters of their own, the last one of the model first."""
    return [name for name, module in model.named_modules() if any(True for _ in module.parameters(recurse=False))][::-1]


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Give a model its parameters back at the end."""
    kept = [parameter.detach().clone() for parameter in model.parameters()]
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, values in zip(model.parameters(), kept, strict=True):
                parameter.copy_(values)


@torch.no_grad()
def shuffle(modules: Sequence[nn.Module], generator: torch.Generator) -> None:
    """Shuffle the values of each parameter that these modules have of their own."""
    for module in modules:
        for parameter in module.parameters(recurse=False):
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
