"""Evidence that adds up: heads that are linear in each place of a clip, taken apart.

All sums are in float64, see `wide`. Maps are means rather than sums, see `models.saliency.evidence.Evidence`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from models.saliency.evidence import wide


def pooled_linear(features: Mapping[str, Tensor], weight: Tensor) -> dict[str, Tensor]:
    """Evidence under a linear map of the means over time and space, of one pathway or of several.

    Stergiou et al., "Saliency tubes: visual explanations for spatio-temporal convolutions" (2019):
    sum over channels c of w_c A_c at each place; the class activation maps of Zhou et al. (2016), with time. The mean
    over places is what the class gets, without its bias. Unlike in
    alexandrosstergiou/Saliency-Tubes-Visual-Explanations-for-Spatio-Temporal-Convolutions, where a loop runs over
    filters, features may have several pathways, each with its own share of the weights.

    Args:
        features: Of each stream (B, C_s, T', H', W'); their channels are joined in this order.
        weight: (B, C), of the joined channels; or (K, C) of K outputs for features of one clip.

    Returns:
        Of each stream (B, T', H', W'); wide.

    Raises:
        ValueError: When there are not as many weights as channels.
    """
    widths = [found.shape[1] for found in features.values()]
    if sum(widths) != weight.shape[1]:
        raise ValueError(
            f"expected a weight for each of {' + '.join(map(str, widths))} channels, found {weight.shape[1]}"
        )
    parts = wide(weight).split(widths, 1)
    return {
        stream: torch.einsum("bc, bcp -> bp", part, wide(found).flatten(2)).unflatten(1, found.shape[2:])
        for (stream, found), part in zip(features.items(), parts, strict=True)
    }


def pooled_tokens(tokens: Tensor, weight: Tensor, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    """Evidence under a linear map of the layer norm of the mean token.

    With the standard deviation s of the mean token held at its value for the clip, each of N tokens adds 1 / N of
    sum over d of w_d gamma_d (z_d - mean of z) / s, and beta the rest. This is exact: but for s the norm is linear.

    Args:
        tokens: (B, N, D), all that the mean is taken of.
        weight: (B, D).
        norm: The layer norm.

    Returns:
        (B, N), whose mean with the constant (B,) is the result; wide.
    """
    tokens, weight = wide(tokens), wide(weight)
    deviation = (tokens.mean(1).var(1, correction=0) + norm.eps).sqrt()
    scaled = weight if norm.weight is None else weight * wide(norm.weight)
    centred = scaled - scaled.mean(1, keepdim=True)  # w . (z - mean of z) = (w - mean of w) . z
    evidence = (tokens @ centred.unsqueeze(2)).squeeze(2) / deviation.unsqueeze(1)
    return evidence, torch.zeros_like(deviation) if norm.bias is None else weight @ wide(norm.bias)


def homogeneous(features: Mapping[str, Tensor], scores: Tensor) -> dict[str, Tensor]:
    """Take apart whatever doubles when the features do, such as means, maxima and RoIAlign.

    By Euler's theorem such a function is the sum of its derivatives times the features. Of a maximum the derivative is
    at the place that was highest: each channel's share goes to where it was taken from. Gradients are those of the head
    alone.

    Args:
        features: Of each stream (B, ...), which the scores were computed from.
        scores: (B,).

    Returns:
        What each feature adds to the scores, but for what does not depend on the features: (B, ...) of each stream;
        wide.
    """
    slopes = torch.autograd.grad(scores.sum(), list(features.values()), retain_graph=True)
    return {
        stream: wide(found.detach()) * wide(slope)
        for (stream, found), slope in zip(features.items(), slopes, strict=True)
    }


def chosen_rows(logits: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Evidence over time for a video whose rows (snippets) are scored one by one and of which some stand for it.

    Args:
        logits: (B, T) of the rows.
        chosen: (B, T) bool, rows that stand for their video (`models.anomaly_detector.AnomalyDetector.standing`); at
            least one.

    Returns:
        (B, T), whose mean is the second: (B,), the mean logit of the chosen rows; wide.
    """
    kept = wide(logits) * chosen
    count = chosen.sum(1)
    return kept * (logits.shape[1] / count).unsqueeze(1), kept.sum(1) / count
