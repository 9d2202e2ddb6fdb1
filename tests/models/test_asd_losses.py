"""Losses and scores of frames: what is not known does not count, and weights are of the classes."""

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.asd_losses import frame_losses, speaking_scores, track_losses

TARGET = torch.tensor([[1, 0, -1, 1], [0, 0, 1, -1]])
KNOWN = TARGET >= 0


def logits(seed: int = 0) -> Tensor:
    return 3 * torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("class_weights", [None, (1.0, 4.0)])
def test_the_mean_is_the_weighted_cross_entropy_of_the_known_frames(class_weights: Sequence[float] | None) -> None:
    losses, weights = frame_losses(logits(), TARGET, class_weights)
    given = None if class_weights is None else torch.tensor(class_weights)
    expected = F.cross_entropy(logits()[KNOWN], TARGET[KNOWN], weight=given)
    torch.testing.assert_close(losses.sum() / weights.sum(), expected)
    assert not losses[~KNOWN].any() and not weights[~KNOWN].any()


def test_what_is_said_of_unknown_frames_does_not_matter() -> None:
    wild = logits().masked_fill(~KNOWN[..., None], torch.nan).requires_grad_()
    losses, _ = frame_losses(wild, TARGET)
    losses.sum().backward()
    torch.testing.assert_close(losses, frame_losses(logits(), TARGET)[0])
    assert wild.grad[KNOWN].any(-1).all() and not wild.grad[~KNOWN].any()


def test_without_any_known_frame_there_is_nothing() -> None:
    losses, weights = frame_losses(logits(), torch.full_like(TARGET, -1))
    assert not losses.any() and not weights.any()


def test_losses_of_streams_are_added_with_their_weights() -> None:
    output = {"logits": logits(), "audio_logits": logits(1), "video_logits": logits(2)}
    parts = [frame_losses(value, TARGET, (1, 4))[0] for value in output.values()]
    losses, weights = track_losses(output, TARGET, 0.3, 0.6, (1, 4))
    torch.testing.assert_close(losses, parts[0] + 0.3 * parts[1] + 0.6 * parts[2])
    assert torch.equal(weights, frame_losses(logits(), TARGET, (1, 4))[1])
    del output["audio_logits"]  # Light-ASD has none
    torch.testing.assert_close(track_losses(output, TARGET, 0.3, 0.6, (1, 4))[0], parts[0] + 0.6 * parts[2])
    torch.testing.assert_close(track_losses(output, TARGET, 0.3, 0.0, (1, 4))[0], parts[0])


def test_losses_are_computed_in_float32() -> None:
    exact, _ = frame_losses(logits().bfloat16().float(), TARGET)
    with torch.autocast("cpu", torch.bfloat16):
        losses, weights = frame_losses(logits().bfloat16(), TARGET)
    assert losses.dtype == weights.dtype == torch.float32
    assert torch.equal(losses, exact)


def test_scores_say_how_much_more_likely_speaking_is() -> None:
    both = torch.tensor([[1.0, 3.0], [-2.0, -2.5]])
    assert speaking_scores(both).tolist() == [2.0, -0.5]
    torch.testing.assert_close(speaking_scores(both, "probability"), torch.tensor([2.0, -0.5]).sigmoid())
    assert speaking_scores(both, "class1").tolist() == [3.0, -2.5]
    assert speaking_scores(both.bfloat16(), "probability").dtype == torch.float32


def test_other_weights_and_scores_are_refused() -> None:
    with pytest.raises(ValueError, match=r"class_weights: expected those of not speaking and of speaking, found \[1\]"):
        frame_losses(logits(), TARGET, [1])
    with pytest.raises(ValueError, match="kind: expected 'margin', 'probability' or 'class1', found 'logit'"):
        speaking_scores(logits(), "logit")
