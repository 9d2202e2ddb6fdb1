"""How much each of several inputs, such as faces and sound, has to do with what a model says over time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.saliency.evidence import wide
from models.saliency.explain import network
from models.saliency.layers import explaining


@dataclass(frozen=True)
class StreamEvidence:
    """What streams add to the scores of frames.

    Attributes:
        scores: (B, T), as the model gave them.
        parts: Of each stream, gradient of the mean score of the frames that count times the change from its blank: of
            the shape of the stream.
        blanked: Of each stream, the scores (B, T) without it.
        counted: (B, T) bool.
    """

    scores: Tensor
    parts: Mapping[str, Tensor]
    blanked: Mapping[str, Tensor]
    counted: Tensor

    def by_gradient(self) -> dict[str, Tensor]:
        """Share of each stream, (B,), in the sizes of what the inputs of each frame add, as if scores were linear."""
        frames = self.scores.shape[1]
        of_frame = {name: part.unflatten(1, (frames, -1)).flatten(2).sum(2) for name, part in self.parts.items()}
        return _shares({name: wide(part).abs().sum(1) for name, part in of_frame.items()})

    def by_blanking(self) -> dict[str, Tensor]:
        """Share of each stream, (B,), in the sizes of what its loss changes of the scores of frames."""
        changes = {name: wide(self.scores - without).abs() for name, without in self.blanked.items()}
        return _shares({name: (change * self.counted).sum(1) for name, change in changes.items()})


def evidence_of_streams(
    model: nn.Module,
    run: Callable[..., Tensor],
    streams: Mapping[str, Tensor],
    blanks: Mapping[str, Tensor],
    counted: Tensor,
) -> StreamEvidence:
    """Find what each stream of inputs has to do with the scores of frames, by gradients and by leaving it out.

    Both compare a stream with the same blank: the first by the slope at the inputs, the second by what the model says
    of the blank itself. Where they differ much, scores are far from linear.

    Args:
        model: A network, or a task that has one as ``model``; left as it was.
        run: Maps streams, by name, to scores (B, T) by way of the model.
        streams: (B, a T, ...) each, a whole number of rows per frame.
        blanks: Likewise: what shows or tells nothing.
        counted: (B, T) bool, frames whose scores are explained.
    """
    with explaining(network(model)):
        inputs = {name: each.detach().clone().requires_grad_() for name, each in streams.items()}
        scores = run(**inputs)
        score = (scores * counted).sum() / counted.sum().clamp(min=1)
        slopes = torch.autograd.grad(score, list(inputs.values()))
        with torch.no_grad():
            blanked = {name: run(**{**streams, name: blanks[name]}) for name in streams}
    parts = {name: slope * (streams[name] - blanks[name]) for name, slope in zip(inputs, slopes, strict=True)}
    return StreamEvidence(scores.detach(), parts, blanked, counted)


def _shares(sizes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    whole = torch.stack(list(sizes.values())).sum(0)
    return {name: torch.where(whole > 0, size / whole, 1 / len(sizes)) for name, size in sizes.items()}
