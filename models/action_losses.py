"""What logits of actions mean, and the loss of each actor.

R actors, C classes. The first classes of the label map are poses, of which a person usually has one at a time. How many
they are follows from the label map: 13 of the 60 classes of AVA that are evaluated, 14 of all 80; 0 treats all classes
alike.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def action_scores(logits: Tensor, num_pose: int) -> Tensor:
    """Turn logits into probabilities: softmax over the classes of pose, sigmoid of the others.

    Siyu-C/ACAR-Net and CKK-coder/FBI-Learning.

    Args:
        logits: (R, C).
        num_pose: Number of classes of pose, in [0, C].

    Returns:
        (R, C) float32 in [0, 1].

    Raises:
        ValueError: When there are not as many classes.
    """
    if not 0 <= num_pose <= logits.shape[1]:
        raise ValueError(f"num_pose: expected 0 to {logits.shape[1]}, the number of classes, found {num_pose}")
    logits = logits.float()
    return torch.cat([logits[:, :num_pose].softmax(1), logits[:, num_pose:].sigmoid()], 1).clamp(0, 1)


def action_losses(logits: Tensor, targets: Tensor, num_pose: int) -> Tensor:
    """Compute the binary cross-entropy of each actor, averaged over classes.

    With classes of pose it is taken of `action_scores`, its logarithm limited to -100 as published; not a cross-entropy
    over poses, because a person may have two poses or none. It is computed in float32 under autocast as well.

    Args:
        logits: (R, C).
        targets: (R, C), 1 for each class an actor is in.
        num_pose: Number of classes of pose, in [0, C].

    Returns:
        (R,) float32, so that whoever averages decides about actors of other processes and batches.

    Raises:
        ValueError: When there are not as many classes.
    """
    with torch.autocast(logits.device.type, enabled=False):
        targets = targets.float()
        if num_pose:
            losses = F.binary_cross_entropy(action_scores(logits, num_pose), targets, reduction="none")
        else:
            losses = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
        return losses.mean(1)
