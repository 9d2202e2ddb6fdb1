"""Losses of weak supervision: what counts, what does not, and where they are zero."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from models.anomaly_losses import (
    logit_of_mean,
    magnitude_distance,
    roughness,
    row_errors,
    score_variance,
    sparsity,
    top_rows,
)

LENGTHS = torch.tensor([7, 3, 5, 1])
LABEL = torch.tensor([1, 0, 1, 0])
MASK = torch.arange(7) < LENGTHS.unsqueeze(1)


def random_scores(seed: int = 0) -> Tensor:
    return torch.rand(MASK.shape, generator=torch.Generator().manual_seed(seed))


def videos(scores: Tensor) -> list[np.ndarray]:
    """The scores of each video, without what fills up."""
    return [row[:length].double().numpy() for row, length in zip(scores, LENGTHS.tolist(), strict=True)]


def test_the_mean_of_scores_is_that_of_their_logits() -> None:
    scores = torch.rand(3, 4, 5)
    assert torch.allclose(logit_of_mean(scores.logit(), 1).sigmoid(), scores.mean(1), atol=1e-6)
    counted = torch.rand(3, 4, 5) > 0.5
    counted[:, 0] = True
    expected = (scores * counted).sum(1) / counted.sum(1)
    assert torch.allclose(logit_of_mean(scores.logit(), 1, counted).sigmoid(), expected, atol=1e-6)


def test_the_mean_of_scores_stays_finite_where_scores_round_to_0_and_1() -> None:
    logits = torch.tensor([[300.0, 300.0], [-300.0, -300.0], [200.0, -200.0]], requires_grad=True)
    found = logit_of_mean(logits, 1)
    assert torch.allclose(found, torch.tensor([300.0, -300.0, 0.0]), atol=1e-4)
    found.sum().backward()
    assert logits.grad.isfinite().all()


def test_what_is_not_counted_gets_no_gradient() -> None:
    logits = torch.tensor([[0.3, -1.0, 2.0]], requires_grad=True)
    logit_of_mean(logits, 1, torch.tensor([[True, False, True]])).backward()
    assert logits.grad[0, 1] == 0 and (logits.grad[0, ::2] > 0).all()


def test_the_highest_rows_of_each_video_are_chosen_and_never_one_that_fills_up() -> None:
    values = random_scores()
    values[~MASK] = 9.0
    count = torch.tensor([3, 1, 2, 1])
    chosen = top_rows(values, MASK, count)
    assert not chosen[~MASK].any()
    for row, video, number in zip(chosen, videos(values), count.tolist(), strict=True):
        assert set(row.nonzero().flatten().tolist()) == set(np.argsort(-video)[:number])


def test_of_equal_rows_the_earlier_ones_are_chosen() -> None:
    chosen = top_rows(torch.zeros(1, 5), torch.ones(1, 5, dtype=torch.bool), torch.tensor([2]))
    assert chosen.tolist() == [[True, True, False, False, False]]


def test_rows_are_compared_with_the_label_of_their_video() -> None:
    found = row_errors(torch.tensor([[2.0, -1.0], [2.0, -1.0]]), torch.tensor([1, 0]))
    expected = [
        [math.log1p(math.exp(-2)), math.log1p(math.exp(1))],
        [math.log1p(math.exp(2)), math.log1p(math.exp(-1))],
    ]
    assert torch.allclose(found, torch.tensor(expected))


def test_the_variance_is_that_of_normal_videos_without_what_fills_up() -> None:
    scores = random_scores()
    expected = np.mean([np.var(videos(scores)[1], ddof=1), 0.0])  # the last video has one row
    assert score_variance(scores, LABEL, MASK).item() == pytest.approx(expected, rel=1e-6)
    assert torch.equal(score_variance(scores, LABEL, MASK), score_variance(scores + 5.0 * ~MASK, LABEL, MASK))


def test_the_published_variance_is_that_of_the_whole_row() -> None:
    scores = random_scores() * MASK
    expected = scores[LABEL == 0].var(1).mean()
    assert torch.allclose(score_variance(scores, LABEL), expected)
    assert not torch.allclose(score_variance(scores, LABEL, MASK), expected)


def test_without_normal_videos_there_is_no_variance() -> None:
    assert score_variance(random_scores(), torch.ones(4), MASK) == 0


def test_lengths_cost_nothing_only_at_the_margin_and_at_zero() -> None:
    at_margin = torch.nn.functional.normalize(torch.randn(3, 8), dim=1) * 4
    assert magnitude_distance(at_margin, torch.zeros(3, 8), margin=4).item() == pytest.approx(0, abs=1e-9)
    one_longer = magnitude_distance(at_margin * 1.5, torch.zeros(3, 8), margin=4)
    one_not_zero = magnitude_distance(at_margin, at_margin / 2, margin=4)
    both = magnitude_distance(at_margin * 1.5, at_margin / 2, margin=4)
    assert [one_longer.item(), one_not_zero.item(), both.item()] == pytest.approx([4, 4, 16], rel=1e-5)


def test_lengths_are_compared_in_pairs() -> None:
    with pytest.raises(ValueError, match="as many videos with as without an anomaly in a batch, found 2 and 3"):
        magnitude_distance(torch.ones(2, 4), torch.ones(3, 4))


def test_sparsity_and_roughness_leave_out_what_fills_up() -> None:
    scores = random_scores()
    each = videos(scores)
    assert sparsity(scores, MASK).item() == pytest.approx(np.linalg.norm(np.concatenate(each)), rel=1e-6)
    within = sum(np.square(np.diff(video)).sum() for video in each)
    assert roughness(scores, MASK).item() == pytest.approx(within, rel=1e-6)


def test_roughness_runs_across_videos_only_on_request() -> None:
    scores = random_scores()
    each = videos(scores)
    across = np.square(np.diff(np.concatenate(each))).sum()
    assert roughness(scores, MASK, across_videos=True).item() == pytest.approx(across, rel=1e-6)
    steps = LENGTHS.double()[:, None].expand(MASK.shape)  # every video constant at its own level
    assert roughness(steps, MASK) == 0 and roughness(steps, MASK, across_videos=True) > 0
