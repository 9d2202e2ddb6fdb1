"""Long tracks are scored in pieces of several durations."""

import pytest
import torch
from torch import Tensor

from models.asd_ensemble import duration_scores, ensemble_scores, pieces
from models.asd_losses import speaking_scores
from tests.models.talknets import FPS, rows, shortened, small, tracks


@pytest.mark.parametrize(
    ("frames", "fps", "duration", "expected"),
    [
        (70, 25, 1, [(0, 25), (25, 50), (50, 70)]),
        (50, 25, 1, [(0, 25), (25, 50)]),
        (54, 25, 1, [(0, 25), (25, 54)]),  # 4 frames are less than 0.2 s
        (55, 25, 1, [(0, 25), (25, 50), (50, 55)]),
        (3, 25, 1, [(0, 3)]),
        (1, 25, 6, [(0, 1)]),
        (75, 29.97, 1, [(0, 30), (30, 60), (60, 75)]),
        (61, 30.5, 1, [(0, 30), (30, 61)]),
    ],
)
def test_a_track_is_cut_by_time(frames: int, fps: float, duration: float, expected: list[tuple[int, int]]) -> None:
    assert pieces(frames, fps, duration) == expected


def test_pieces_without_a_frame_are_refused() -> None:
    with pytest.raises(ValueError, match=r"durations: expected pieces of a frame at least, found 0.03 s at 25 frames"):
        pieces(70, 25, 0.03)


@torch.no_grad()
def test_pieces_are_scored_each_by_itself_and_averaged_by_their_weights() -> None:
    model, batch = small(rope="mrope"), tracks(2, 12)
    durations, weights = (0.24, 0.4, 1.0), (3.0, 1.0, 0.0)

    def score(start: int, stop: int) -> Tensor:
        cut = {name: value[:, start:stop] for name, value in batch.items() if name in ("faces", "seconds", "boxes")}
        return speaking_scores(model(audio=batch["audio"][:, 4 * start : 4 * stop], **cut)["logits"])

    expected = [
        torch.cat([score(0, 6), score(6, 12)], 1),
        score(0, 12),  # the last two frames of twelve are less than 0.2 s
        score(0, 12),
    ]
    found = duration_scores(model, batch, FPS, durations)
    torch.testing.assert_close(found, torch.stack(expected))
    found = ensemble_scores(model, batch, FPS, durations, weights)
    torch.testing.assert_close(found, (3 * expected[0] + expected[1]) / 4)


@torch.no_grad()
def test_shorter_tracks_of_a_batch_are_scored_as_if_they_were_alone() -> None:
    model = small(rope="mrope", context="scene")
    batch = tracks(2, 12) | {"length": torch.tensor([12, 8]), "scene": torch.tensor([0, 1])}
    together = ensemble_scores(model, batch, FPS, (0.24,), (1,), shortest=0.0)
    alone = ensemble_scores(model, shortened(rows(batch, 1), 8), FPS, (0.24,), (1,), shortest=0.0)
    torch.testing.assert_close(together[1:, :8], alone, atol=1e-5, rtol=1e-4)


def test_weights_that_do_not_fit_are_refused() -> None:
    for weights in ((1,), (0, 0), (1, -1)):
        with pytest.raises(ValueError, match="weights: expected one >= 0 for each of 2 durations, found"):
            ensemble_scores(small(), tracks(), FPS, (1, 2), weights)
