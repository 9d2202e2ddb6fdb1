"""Features in colour: what tokens have in common, and in what they differ, by their principal components."""

import torch
from torch import Tensor

from models.saliency.evidence import wide

COLOURS = 3
SPREAD = 2.0  # standard deviations of a component at which its colour is full


def feature_colours(tokens: Tensor) -> Tensor:
    """Colour tokens by their first three principal components, red for the first, then green and blue.

    As the features of self-supervised transformers are shown by Oquab et al., "DINOv2" (2023). Components are those of
    the tokens of each clip by itself, so that its colours do not depend on the batch, nor those of a clip on another's.
    The sign of a component, which nothing decides, is that of its largest weight.

    Args:
        tokens: (B, N, D).

    Returns:
        (B, N, 3) in [0, 1]; 0.5 in a component that tokens do not have, such as all of equal tokens.
    """
    tokens = wide(tokens)
    centred = tokens - tokens.mean(1, keepdim=True)
    _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)  # (B, K), (B, K, D)
    sizes, directions = sizes[:, :COLOURS], directions[:, :COLOURS]
    largest = directions.gather(2, directions.abs().argmax(2, keepdim=True))
    scores = torch.einsum("bnd, bkd -> bnk", centred, directions * largest.sign())
    deviations = sizes / tokens.shape[1] ** 0.5
    rounding = torch.finfo(tokens.dtype).eps ** 0.5 * tokens.abs().amax((1, 2)).unsqueeze(1)
    scales = (SPREAD * deviations).where(deviations > rounding, torch.inf)
    found = tokens.new_full((*tokens.shape[:2], COLOURS), 0.5)
    found[..., : scores.shape[2]] += (scores / scales.unsqueeze(1)) / 2
    return found.clamp(0, 1).float()
