"""What was found on a key frame, whatever views of it a detector has seen."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class KeyFrame:
    """The actors of a key frame and the persons that are annotated there.

    Attributes:
        index: Position of the key frame in its split.
        name: Its video.
        second: Its time.
        boxes: (R, 4) float64, xyxy of the actors in [0, 1] of the frame.
        logits: (R, C), the mean over the views in which an actor is seen.
        true_boxes: (G, 4) float64.
        true_labels: (G, C), 0 or 1.
    """

    index: int
    name: str
    second: float
    boxes: Tensor
    logits: Tensor
    true_boxes: Tensor
    true_labels: Tensor


def fuse_views(batch: dict, logits: Tensor) -> list[KeyFrame]:
    """Average what is said of each actor over the clips of its key frame, by its identity.

    A view may lack an actor, so that places in the batch say nothing about who somebody is.

    Args:
        batch: Of evaluation, with all views of each of its key frames.
        logits: (R, C) of its actors.

    Returns:
        Its key frames, in the order of their first clips.
    """
    clip, index = batch["clip"], batch["index"].tolist()
    of_actor = torch.tensor(index, device=clip.device)[clip]
    fused = []
    for key_frame in dict.fromkeys(index):
        here = (of_actor == key_frame).nonzero().squeeze(1)
        actors, who = batch["actor"][here].unique(return_inverse=True)
        total = logits.new_zeros(len(actors), logits.shape[1], dtype=torch.float32).index_add_(
            0, who, logits[here].float()
        )
        boxes = batch["boxes"].new_zeros(len(actors), 4)
        boxes[who] = batch["boxes"][here]  # the same in every view
        first = index.index(key_frame)
        true_boxes, true_labels = batch["truth"][first]
        fused.append(
            KeyFrame(
                key_frame,
                batch["name"][first],
                float(batch["second"][first]),
                boxes,
                total / who.bincount(minlength=len(actors)).unsqueeze(1),
                true_boxes,
                true_labels,
            )
        )
    return fused
