"""What all heads that say what actors do have in common."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor, nn

from models.roi_features import Placement, Scale, box_extents, own_cells, pool_boxes, published_cells, to_cells


class ActorHead(nn.Module, ABC):
    """Map features of clips and boxes of actors to logits of classes.

    Args:
        widths: Channels of each of the features.
        num_classes: C.
        roi_size: Bins along each side of a box.
        stride: Pixels per cell of the features.
        scale: Of boxes to cells; see `models.roi_features.box_extents`.
        aligned: See `models.roi_features.pool_boxes`.
        as_published: Put boxes where published code puts them in a batch of clips of several sizes, and let features
            of what the clips were filled up with reach them; results then depend on the clips that share a batch.

    Attributes:
        masked: Whether `forward` makes anything of noise and masks.
        homogeneous: Whether logits are a linear map, ``classifier``, of what scales with the features; evidence is then
            exact, see `models.saliency_spec.SaliencySpec`.

    Raises:
        ValueError: For numbers below 1.
    """

    masked = False
    homogeneous = False

    def __init__(
        self,
        widths: Annotated[Sequence[int], "widths >= 1"],
        num_classes: Annotated[int, "num_classes >= 1"],
        roi_size: Annotated[int, "roi_size >= 1"] = 7,
        stride: Annotated[int, "stride >= 1"] = 16,
        scale: Scale = "cells",
        aligned: bool = False,
        as_published: bool = False,
    ) -> None:
        super().__init__()
        widths = tuple(widths)
        if not widths or min(widths) < 1:
            raise ValueError(f"widths: expected numbers >= 1, found {list(widths)}")
        for name, value in (("num_classes", num_classes), ("roi_size", roi_size), ("stride", stride)):
            if value < 1:
                raise ValueError(f"{name}: expected a number >= 1, found {value}")
        self.widths, self.num_classes, self.roi_size = widths, num_classes, roi_size
        self.stride, self.aligned, self.as_published = stride, aligned, as_published
        self.scale: Scale = "batch" if as_published and scale == "cells" else scale

    @abstractmethod
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
        """Classify actors.

        Args:
            features: Per pathway (B, widths[i], T, h, w); T may differ.
            rois: (R, 4) float32 xyxy in [0, 1] of each actor's own clip. R may be 0.
            clip: (R,) int64, the clip of each actor.
            size: (B, 2) int64, height and width of each clip in pixels, before it was filled up.
            padded: ``(H, W)`` that all clips were filled up to.
            noise: ([K,] B, 2, h, w) float32, uniform in [0, 1), which decides the masks; of K draws the logits are
                averaged. None draws it.
            masks: ([K,] B, 2, h, w) bool, True = blocked, instead of noise. Heads that are not ``masked`` take no
                notice of either.

        Returns:
            ``logits`` (R, C), and what else there is to see.

        Raises:
            ValueError: When features do not have the channels of ``widths`` or the cells of ``stride``, or coordinates
                are not finite.
        """

    def over_time(self, features: Sequence[Tensor]) -> Tensor:
        """Average features over time and join their channels: (B, sum of widths, h, w)."""
        self.require_widths(features)
        return torch.cat([each.mean(2) for each in features], 1)

    def require_widths(self, features: Sequence[Tensor]) -> None:
        """Refuse features of other channels."""
        found = tuple(each.shape[1] for each in features)
        if found != self.widths:
            raise ValueError(f"widths: expected those of the features, {list(found)}, found {list(self.widths)}")

    def cells(self, size: Tensor, padded: tuple[int, int]) -> Tensor:
        """Count the rows and columns of each clip: (B, 2) int64."""
        grid = self.grid(padded)
        return published_cells(size, padded, grid) if self.as_published else own_cells(size, self.stride, grid)

    def grid(self, padded: tuple[int, int]) -> tuple[int, int]:
        """Count the rows and columns of the features of clips that were filled up to ``padded`` pixels."""
        height, width = padded
        return -(-height // self.stride), -(-width // self.stride)

    def place(self, rois: Tensor, clip: Tensor, size: Tensor, padded: tuple[int, int]) -> Placement:
        """Find out where clips and actors lie on the features; arguments as of `forward`."""
        grid = self.grid(padded)
        extents = box_extents(size, self.stride, padded, grid, self.scale)
        return Placement(grid, self.cells(size, padded), to_cells(rois, clip, extents), clip)

    def pool(self, plane: Tensor, placement: Placement) -> Tensor:
        """Take the strongest response within each box from plane (B, D, h, w): (R, D)."""
        if tuple(plane.shape[-2:]) != placement.grid:
            raise ValueError(f"stride: features have {tuple(plane.shape[-2:])} cells, expected {placement.grid}")
        return pool_boxes(plane, placement, self.roi_size, self.aligned, cut=not self.as_published)
