"""Losses and scores of active speakers: every frame of a face is a case of its own.

B tracks of T frames; the two classes are not speaking and speaking. Targets are 1, 0, and -1 for frames of which
nothing is known or that have no face.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

UNKNOWN = -1
CLASSES = 2
ScoreKind = Literal["margin", "probability", "class1"]


def speaking_scores(logits: Tensor, kind: ScoreKind = "margin") -> Tensor:
    """Turn logits into how much a face speaks.

    Args:
        logits: (..., 2).
        kind: ``margin``, the difference of both logits, which is above 0 where speaking is more likely; ``probability``
            of speaking, in the same order; or ``class1``, the logit of speaking alone, which the programs of
            TaoRuijie/TalkNet-ASD and zcxu-eric/Ego4d_TalkNet_ASD take, in another order.

    Returns:
        (...) float32 or wider.

    Raises:
        ValueError: For another kind.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if kind == "margin":
        return logits[..., 1] - logits[..., 0]
    if kind == "probability":
        return logits.softmax(-1)[..., 1]
    if kind == "class1":
        return logits[..., 1]
    raise ValueError(f"kind: expected 'margin', 'probability' or 'class1', found {kind!r}")


def frame_losses(logits: Tensor, target: Tensor, class_weights: Sequence[float] | None = None) -> tuple[Tensor, Tensor]:
    """Compute the cross-entropy of every frame, computed in float32 under autocast as well.

    Args:
        logits: (B, T, 2).
        target: (B, T) int64: 1, 0, or -1 for frames that do not count.
        class_weights: Of not speaking and of speaking; None: both 1. The Ego4D baseline has 1 and 4.

    Returns:
        The weighted losses and the weights, (B, T) float32 each, both 0 where nothing is known. The loss of any frames
        is the sum of their losses over the sum of their weights, so that whoever averages decides about other batches.

    Raises:
        ValueError: When there are not two weights.
    """
    if class_weights is not None and len(class_weights) != CLASSES:
        raise ValueError(f"class_weights: expected those of not speaking and of speaking, found {list(class_weights)}")
    known = target != UNKNOWN
    label = target.masked_fill(~known, 0)
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32)).masked_fill(~known.unsqueeze(-1), 0)
        weights = known.to(logits.dtype)
        if class_weights is not None:
            weights = weights * logits.new_tensor(list(class_weights))[label]
        losses = F.cross_entropy(logits.flatten(0, 1), label.flatten(), reduction="none").view_as(label)
        return losses * weights, weights


def track_losses(
    output: Mapping[str, Tensor],
    target: Tensor,
    audio_weight: float = 0.4,
    video_weight: float = 0.4,
    class_weights: Sequence[float] | None = None,
) -> tuple[Tensor, Tensor]:
    """Add the losses of the streams to that of both together, L + w_a L_audio + w_v L_video.

    Tao et al. (2021), with the weights of TaoRuijie/TalkNet-ASD. A model without logits of a stream has no
    loss of it.

    Args:
        output: ``logits`` (B, T, 2), and ``audio_logits`` and ``video_logits`` where the model has them.
        target: See `frame_losses`.
        audio_weight: w_a.
        video_weight: w_v.
        class_weights: See `frame_losses`.

    Returns:
        As `frame_losses`; all three parts have the same weights of frames.
    """
    losses, weights = frame_losses(output["logits"], target, class_weights)
    for name, weight in (("audio_logits", audio_weight), ("video_logits", video_weight)):
        if name in output:  # with a weight of 0 as well: a head without a gradient would stop DDP
            losses = losses + weight * frame_losses(output[name], target, class_weights)[0]
    return losses, weights
