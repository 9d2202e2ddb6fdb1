"""Losses, scores and their gradients are the published ones, with and without classes of pose."""

import torch

from models.action_losses import action_losses, action_scores
from tests.reference.fbil.numbers import num_pose, objects, tensor_files

LOSS = 1e-6  # README of the numbers
GRADIENTS = {"atol": 1e-6, "rtol": 1e-4}
SCORES = 1e-6


def test_losses_scores_and_gradients_are_the_published_ones() -> None:
    cases = {case["name"]: case for _, content in objects("pose_slice", "cases") for case in content["cases"]}
    files = tensor_files(lambda tensors: all(f"{name}.logits" in tensors for name in cases), "cases of losses")
    for _, tensors in files:
        for name, case in cases.items():
            targets = tensors[f"{name}.targets"]
            for with_pose, key in ((True, "loss_pose_softmax"), (False, "loss_bce_with_logits")):
                logits, pose = tensors[f"{name}.logits"].clone().requires_grad_(), num_pose() if with_pose else 0
                losses = action_losses(logits, targets, pose)
                assert losses.shape == (case["rows"],)
                assert abs(losses.mean().item() - case[key]) < LOSS * max(1, case[key]), f"{name}: {key}"
                losses.mean().backward()
                expected = tensors[f"{name}.grad.pose_softmax={with_pose}"]
                assert torch.allclose(logits.grad, expected, **GRADIENTS), f"{name}: {key}"
                scores = tensors[f"{name}.act.pose_softmax={with_pose}"]
                assert torch.allclose(action_scores(logits, pose), scores, atol=SCORES, rtol=0), f"{name}: {key}"
