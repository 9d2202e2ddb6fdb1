"""Losses of weakly supervised anomaly detection: of a video is known that it holds an anomaly, not where.

B videos of T rows (snippets or segments). ``mask`` (B, T) bool is that of the batch: True = a row of the video, False =
filled up to the longest one. ``label`` (B,): 1 = holds an anomaly, 0 = does not. Scores lie in (0, 1); logits are those
of scores.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def logit_of_mean(logits: Tensor, dim: int, counted: Tensor | None = None) -> Tensor:
    """Average scores that are given by their logits, without leaving the logarithm.

    Args:
        logits: Of the scores, any shape; computed with in float32 whatever the dtype.
        dim: Dimension that is averaged over.
        counted: Bool, of the shape of ``logits``: which of them are averaged, at least one; None for all.

    Returns:
        Logit of the mean score, one dimension less, float32.
    """
    chances = F.logsigmoid(logits.float()), F.logsigmoid(-logits.float())
    if counted is not None:
        chances = tuple(chance.masked_fill(~counted, -torch.inf) for chance in chances)
    anomalous, normal = (chance.logsumexp(dim) for chance in chances)
    return anomalous - normal


def top_rows(values: Tensor, mask: Tensor, count: Tensor) -> Tensor:
    """Choose the rows of each video with the highest values.

    Args:
        values: (B, T).
        mask: (B, T) bool.
        count: (B,) int64, how many of each video; at most as many as it has.

    Returns:
        (B, T) bool; of equal values the earlier rows are chosen.
    """
    order = values.detach().masked_fill(~mask, -torch.inf).argsort(dim=1, descending=True, stable=True)
    return order.argsort(1) < count.unsqueeze(1)


def row_errors(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy of every row with the label of its video: logits (B, T), label (B,); (B, T) float32."""
    target = label.to(torch.float32).unsqueeze(1).expand_as(logits)
    return F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")


def score_variance(scores: Tensor, label: Tensor, mask: Tensor | None = None) -> Tensor:
    """Penalise normal videos whose scores vary.

    Center loss of AR-Net (Wan et al., 2020; wanboyang/Anomaly_AR_Net_ICME_2020): the unbiased variance of the scores
    of each normal video, averaged over these videos. Their code takes the variance over the whole row, that is with
    what a short video was filled up with, which makes it a penalty on the length as well.

    Args:
        scores: (B, T).
        label: (B,).
        mask: (B, T) bool; None for the whole row, as published.

    Returns:
        Scalar; 0 without normal videos. A video of a single row varies by 0.
    """
    counted = (torch.ones_like(scores, dtype=torch.bool) if mask is None else mask)[label == 0]
    scores, length = scores[label == 0], counted.sum(1)
    mean = (scores * counted).sum(1, keepdim=True) / length.unsqueeze(1)
    squares = ((scores - mean).square() * counted).sum(1)
    return (squares / (length - 1).clamp(min=1)).sum() / max(1, len(scores))


def magnitude_distance(anomalous: Tensor, normal: Tensor, margin: float = 100.0) -> Tensor:
    """Separate videos with and without anomalies by the length of their features.

    RTFM (Tian et al., 2021; tianyu0207/RTFM): the mean of (| margin - ||a|| | + ||n||)^2 over pairs of a video with and
    one without an anomaly. The paper has a hinge on the difference of the lengths instead.

    Args:
        anomalous: (N, ..., C) mean of the selected features of each anomalous video, of every view, for example.
        normal: (N, ..., C) the same of as many normal ones.
        margin: Length that features of anomalies are drawn to.

    Returns:
        Scalar.

    Raises:
        ValueError: When there are not as many of both.
    """
    if len(anomalous) != len(normal):
        raise ValueError(
            f"expected as many videos with as without an anomaly in a batch, found {len(anomalous)} and {len(normal)}"
        )
    lengths = (torch.linalg.vector_norm(features.float(), dim=-1) for features in (anomalous, normal))
    of_anomalous, of_normal = lengths
    return ((margin - of_anomalous).abs() + of_normal).square().mean()


def sparsity(scores: Tensor, mask: Tensor) -> Tensor:
    """Keep anomalies rare: L2 norm of the scores of all rows of all videos, as one vector.

    As in tianyu0207/RTFM. It grows with the root of the batch size.

    Args:
        scores: (B, T) of anomalous videos.
        mask: (B, T) bool.

    Returns:
        Scalar.
    """
    return torch.linalg.vector_norm(scores[mask])


def roughness(scores: Tensor, mask: Tensor, across_videos: bool = False) -> Tensor:
    """Keep scores smooth in time: sum of the squared differences of neighbouring rows (Sultani et al., 2018).

    Args:
        scores: (B, T) of anomalous videos.
        mask: (B, T) bool.
        across_videos: Count the last row of a video and the first one of the next as neighbours, as tianyu0207/RTFM
            does, where the batch is one long vector.

    Returns:
        Scalar.
    """
    if across_videos:
        return scores[mask].diff().square().sum()
    return (scores.diff(dim=1).square() * (mask[:, 1:] & mask[:, :-1])).sum()
