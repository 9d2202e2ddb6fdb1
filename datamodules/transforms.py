"""Geometric transforms of whole clips: of the clip and its boxes in a loader's worker, of a batch on the device."""

import numpy as np
import torch
from torch import Tensor

from datamodules.crops import View, center, multi_scale, random_resized, short_side, uniform, whole

RESIZES = {"none": None, "short_side": short_side, "squash": whole}
CROPS = ("multi_scale", "random_resized", "center", "none")


class ClipTransform:
    """Bring frames to one size in the same way for a whole clip: resize, crop, flip.

    Colours are left alone: none of the recipes that are built on here changes them in pretraining.

    Args:
        size: Height and width of the result in pixels.
        resize: How frames are brought to about ``size`` before they are cropped. ``none``: not, crops are taken from
            the stored frame (VideoMAE). ``short_side``: in their aspect ratio, so that they just cover ``size``.
            ``squash``: to ``size`` exactly, ignoring the aspect ratio (FocusMAE).
        crop: What is cut out and brought to ``size``. ``multi_scale``: one of ten rectangles at one of 13 places
            (pretraining of VideoMAE and FocusMAE). ``random_resized``: a random rectangle (fine-tuning). ``center``:
            the largest centred rectangle of the aspect ratio of ``size``, nothing random (evaluation). ``none``: the
            whole frame.
        flip: Probability of mirroring the clip left to right.

    Raises:
        ValueError: When an argument is not one of these.
    """

    def __init__(self, size: tuple[int, int], resize: str = "none", crop: str = "center", flip: float = 0.0) -> None:
        for name, value, choices in (("resize", resize, RESIZES), ("crop", crop, CROPS)):
            if value not in choices:
                raise ValueError(f"datamodule.{name}: expected one of {', '.join(choices)}, found {value!r}")
        if not 0 <= flip <= 1:
            raise ValueError(f"datamodule.flip: expected a probability in [0, 1], found {flip}")
        if min(size) < 1:
            raise ValueError(f"datamodule.image_size: expected at least 1 pixel, found {tuple(size)}")
        self.size, self.resize, self.crop, self.flip = tuple(size), resize, crop, flip

    def views(self, height: int, width: int, generator: torch.Generator) -> list[View]:
        """Draw what happens to a clip, as steps to be applied in order.

        The same generator state gives the same views; ``center`` and ``none`` draw nothing.

        Args:
            height: Rows of the stored frame.
            width: Columns of the stored frame.
            generator: Source of randomness.
        """
        first = RESIZES[self.resize]
        steps = [first(height, width, self.size)] if first else []
        height, width = steps[-1].size if steps else (height, width)
        steps.append(self.draw_crop(height, width, generator))
        if self.flip and uniform(generator) < self.flip:
            steps.append(View(0, 0, *self.size, size=self.size, mirrored=True))
        return steps

    def draw_crop(self, height: int, width: int, generator: torch.Generator) -> View:
        """Draw the crop of a frame of ``height`` x ``width``."""
        if self.crop == "multi_scale":
            return multi_scale(height, width, self.size, generator)
        if self.crop == "random_resized":
            return random_resized(height, width, self.size, generator)
        return center(height, width, self.size) if self.crop == "center" else whole(height, width, self.size)


def channels_first(frames: np.ndarray | Tensor) -> Tensor:
    """View the frames of a reader, (T, H, W, 3), as (T, 3, H, W) without copying them.

    The memory stays as it is, channels fastest, which is also what torch resizes fastest.
    """
    return torch.as_tensor(frames).permute(0, 3, 1, 2)


def transform_clip(frames: Tensor, views: list[View]) -> Tensor:
    """Apply the steps of a transform to a clip: (T, C, H, W) to (T, C, *size), of the same dtype."""
    for view in views:
        frames = view.pixels(frames)
    return frames


def transform_boxes(boxes: Tensor, views: list[View]) -> tuple[Tensor, Tensor]:
    """Let boxes follow the pixels through the steps of a transform.

    Args:
        boxes: (R, 4) float, xyxy in pixels of the stored frame.
        views: What ``ClipTransform.views`` drew.

    Returns:
        Boxes (R, 4), xyxy in pixels of the result, clipped to it, and bool (R,), False where nothing remains.
    """
    kept = torch.ones(boxes.shape[:-1], dtype=torch.bool, device=boxes.device)
    for view in views:
        boxes, remains = view.boxes(boxes)
        kept &= remains
    return boxes, kept
