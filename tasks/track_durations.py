"""Scores of tracks in pieces of several durations, each row by its own length, whatever it shares a batch with."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from models.asd_ensemble import ensemble_scores
from models.asd_losses import ScoreKind


def scores_by_durations(
    model: Callable[..., Mapping[str, Tensor]],
    inputs: Mapping[str, Tensor],
    fps: Tensor,
    durations: Sequence[float],
    weights: Sequence[float],
    kind: ScoreKind,
) -> Tensor:
    """Average the scores of pieces of several durations, see `models.asd_ensemble.ensemble_scores`.

    Where a row is cut depends on its length and its rate alone; rows that share both are scored together.

    Args:
        model: Takes ``inputs``.
        inputs: B rows of T frames; ``length`` (B,) says how many of them a row has.
        fps: (B,) frames per second.
        durations: Seconds.
        weights: Of the durations.
        kind: What faces are scored by.

    Returns:
        (B, T) float32 or wider, 0 behind the length.
    """
    frames = inputs["faces"].shape[1]
    scores = torch.zeros(inputs["faces"].shape[:2], device=inputs["faces"].device)
    lengths, rates = inputs["length"].tolist(), fps.tolist()
    for length, rate in sorted(set(zip(lengths, rates, strict=True))):
        same = torch.tensor([(length, rate) == pair for pair in zip(lengths, rates, strict=True)])
        if length:
            rows = {name: each[same.to(each.device)] for name, each in inputs.items()}
            for name, each in rows.items():
                if each.ndim > 1:
                    rows[name] = each[:, : each.shape[1] // frames * length]
            found = ensemble_scores(model, rows, rate, durations, weights, kind=kind)
            scores = scores.to(found.dtype)
            scores[same.to(scores.device), :length] = found
    return scores
