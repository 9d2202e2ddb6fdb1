"""Scores of long tracks: each is scored in pieces of several durations, which are averaged."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from models.asd_losses import ScoreKind, speaking_scores

DURATIONS = (1, 2, 3, 4, 5, 6)
WEIGHTS = (3, 3, 2, 1, 1, 1)  # meant by TaoRuijie/TalkNet-ASD, whose set of durations has lost the repetitions
SHORTEST = 0.2  # seconds


def pieces(frames: int, fps: float, duration: float, shortest: float = SHORTEST) -> list[tuple[int, int]]:
    """Cut a track.

    Args:
        frames: Frames of the track.
        fps: Frames per second.
        duration: Seconds of a piece.
        shortest: Seconds; a last piece that is shorter belongs to the one before.

    Returns:
        First frame and the one behind the last, of each piece.

    Raises:
        ValueError: When a piece would have no frame.
    """
    if duration * fps < 1:
        raise ValueError(f"durations: expected pieces of a frame at least, found {duration} s at {fps} frames a second")
    starts = [0]
    while (start := round(len(starts) * duration * fps)) < frames:
        starts.append(start)
    if len(starts) > 1 and frames - starts[-1] < shortest * fps:
        starts.pop()
    return list(zip(starts, [*starts[1:], frames], strict=True))


def duration_scores(
    model: Callable[..., Mapping[str, Tensor]],
    batch: Mapping[str, Tensor | None],
    fps: float,
    durations: Sequence[float] = DURATIONS,
    kind: ScoreKind = "margin",
    shortest: float = SHORTEST,
) -> Tensor:
    """Score tracks in pieces of each duration.

    Args:
        model: Takes the arguments of `models.talknet.TalkNet.forward`.
        batch: These arguments, of whole tracks.
        fps: Frames per second, of all of them.
        durations: Seconds, D of them.
        kind: See `models.asd_losses.speaking_scores`.
        shortest: See `pieces`.

    Returns:
        (D, B, T).
    """
    frames = batch["faces"].shape[1]
    return torch.stack(
        [
            torch.cat(
                [
                    speaking_scores(model(**_cut(batch, start, stop, frames))["logits"], kind)
                    for start, stop in pieces(frames, fps, duration, shortest)
                ],
                1,
            )
            for duration in durations
        ]
    )


def ensemble_scores(
    model: Callable[..., Mapping[str, Tensor]],
    batch: Mapping[str, Tensor | None],
    fps: float,
    durations: Sequence[float] = DURATIONS,
    weights: Sequence[float] = WEIGHTS,
    **settings: Any,
) -> Tensor:
    """Average the scores of pieces of several durations.

    TaoRuijie/TalkNet-ASD, without its rounding to tenths.

    Args:
        model: See `duration_scores`.
        batch: See `duration_scores`.
        fps: Frames per second.
        durations: Seconds.
        weights: Of the durations.
        **settings: Others of `duration_scores`.

    Returns:
        (B, T).

    Raises:
        ValueError: When there are not as many weights as durations, or they sum to nothing.
    """
    if len(weights) != len(durations) or min(weights, default=0) < 0 or sum(weights) <= 0:
        raise ValueError(f"weights: expected one >= 0 for each of {len(durations)} durations, found {list(weights)}")
    scores = duration_scores(model, batch, fps, durations, **settings)
    share = scores.new_tensor(weights) / sum(weights)
    return (scores * share.view(-1, 1, 1)).sum(0)


def _cut(batch: Mapping[str, Tensor | None], start: int, stop: int, frames: int) -> dict[str, Any]:
    """The frames from ``start`` to before ``stop`` of everything that has a time."""
    cut = {}
    for name, value in batch.items():
        if name == "length" and value is not None:
            value = (value - start).clamp(0, stop - start)
        elif value is not None and value.ndim > 1:
            rows = value.shape[1] // frames
            value = value[:, rows * start : rows * stop]
        cut[name] = value
    return cut
