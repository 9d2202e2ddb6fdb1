"""The plain detector head: a linear classifier on the strongest response within a box."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from models.actor_head import ActorHead


class LinearRoIHead(ActorHead):
    """Average over time, RoIAlign, maximum, linear classifier.

    The defaults are the ``linear`` head of Siyu-C/ACAR-Net. The detectors of facebookresearch/SlowFast and pytorchvideo
    have 80 classes, ``scale`` = pixels, ``bias`` and ``dropout`` 0.5, those that PySlowFast itself trains also
    ``aligned``.

    Args:
        widths: Channels of each of the features.
        num_classes: C.
        roi_size: Bins along each side of a box.
        dropout: Before the classifier.
        bias: Of the classifier.
        time_pooling: ``mean`` or ``max`` over the frames of each feature.
        scale: Where the right border of a clip lies: at that of its last cell (``cells``), or ``stride`` pixels per
            cell on (``pixels``); see `models.roi_features.box_extents`.
        aligned: Subtract half a cell from boxes, so that a cell's value stands for its middle.
        stride: Pixels per cell of the features.
        as_published: See `ActorHead`.

    Raises:
        ValueError: For numbers out of range.
    """

    homogeneous = True

    def __init__(
        self,
        widths: Annotated[Sequence[int], "widths >= 1"] = (2048, 256),
        num_classes: Annotated[int, "num_classes >= 1"] = 60,
        roi_size: Annotated[int, "roi_size >= 1"] = 7,
        dropout: Annotated[float, "0 <= dropout < 1"] = 0.0,
        bias: bool = False,
        time_pooling: Literal["mean", "max"] = "mean",
        scale: Literal["cells", "pixels"] = "cells",
        aligned: bool = False,
        stride: Annotated[int, "stride >= 1"] = 16,
        as_published: bool = False,
    ) -> None:
        super().__init__(widths, num_classes, roi_size, stride, scale, aligned, as_published)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: expected a probability in [0, 1), found {dropout}")
        if time_pooling not in ("mean", "max"):
            raise ValueError(f"time_pooling: expected 'mean' or 'max', found {time_pooling!r}")
        if scale not in ("cells", "pixels"):
            raise ValueError(f"scale: expected 'cells' or 'pixels', found {scale!r}")
        self.time_pooling = time_pooling
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(sum(self.widths), num_classes, bias=bias)

    def forward(
        self,
        features: Sequence[Tensor],
        rois: Tensor,
        clip: Tensor,
        size: Tensor,
        padded: tuple[int, int],
        noise: Tensor | None = None,
        masks: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """See `ActorHead.forward`."""
        actors = self.pool(self.over_time(features), self.place(rois, clip, size, padded))
        return {"logits": self.classifier(self.dropout(actors))}

    def over_time(self, features: Sequence[Tensor]) -> Tensor:
        """Pool features over time and join their channels: (B, sum of widths, h, w)."""
        if self.time_pooling == "mean":
            return super().over_time(features)
        self.require_widths(features)
        return torch.cat([each.amax(2) for each in features], 1)
