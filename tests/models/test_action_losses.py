"""Scores and losses of actions: probabilities, one loss per actor, in float32 under autocast."""

import pytest
import torch

from models.action_losses import action_losses, action_scores

LOGITS = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([[1, 0, 0, 1, 0, 0], [0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1.0]])


def test_poses_share_one_probability_and_the_others_do_not() -> None:
    scores = action_scores(LOGITS, 3)
    assert torch.allclose(scores[:, :3].sum(1), torch.ones(4))
    assert torch.allclose(scores[:, 3:], LOGITS[:, 3:].sigmoid())
    assert torch.equal(action_scores(LOGITS, 0), LOGITS.sigmoid())


@pytest.mark.parametrize("num_pose", [0, 3, 6])
def test_each_actor_has_a_loss_of_its_own(num_pose: int) -> None:
    together = action_losses(LOGITS, TARGETS, num_pose)
    alone = [action_losses(LOGITS[i : i + 1], TARGETS[i : i + 1], num_pose) for i in range(len(LOGITS))]
    assert torch.equal(together, torch.cat(alone))
    assert action_losses(LOGITS[:0], TARGETS[:0], num_pose).shape == (0,)


@pytest.mark.parametrize("num_pose", [0, 3])
def test_autocast_changes_nothing(num_pose: int) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = action_losses(LOGITS, TARGETS, num_pose)
    assert found.dtype == torch.float32 and torch.equal(found, action_losses(LOGITS, TARGETS, num_pose))
    assert action_losses(LOGITS.bfloat16(), TARGETS, num_pose).dtype == torch.float32


def test_a_certain_error_costs_no_more_than_the_limit() -> None:
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = action_losses(logits, torch.tensor([[0.0, 1.0]]), 2)
    loss.sum().backward()
    assert loss.item() == 100 and logits.grad.isfinite().all()


@pytest.mark.parametrize("num_pose", [-1, 7])
def test_more_poses_than_classes_are_refused(num_pose: int) -> None:
    with pytest.raises(ValueError, match=r"num_pose: expected 0 to 6.*found"):
        action_losses(LOGITS, TARGETS, num_pose)
