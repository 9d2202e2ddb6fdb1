"""The clip that the published script of Saliency Tubes makes of a video, for comparisons with it and its MFNet.

Every other model is to be explained with its own transform.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

MEAN = (124 / 255, 117 / 255, 104 / 255)  # close to ImageNet's, but not it
STD = (0.229, 0.224, 0.225)


def published_frames(frame_count: int, num_frames: int = 16) -> Tensor:
    """Frames of the clip, (T,) int64: evenly from the first to the last, rounded down; some twice in short videos."""
    places = torch.arange(num_frames) * (frame_count - 1)
    return places // max(1, num_frames - 1)


def published_pixels(
    frames: Tensor,
    resize: int = 256,
    crop: int = 224,
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
) -> Tensor:
    """Squash frames to a square, take its middle and normalise it.

    alexandrosstergiou/Saliency-Tubes-Visual-Explanations-for-Spatio-Temporal-Convolutions resizes with OpenCV in fixed
    point; normalised pixels here differ from these by up to 0.015.

    Args:
        frames: (T, H, W, 3) uint8, red, green, blue. (Unlike there: frames in the order of their numbers.)
        resize: Side of the square.
        crop: Side of its middle.
        mean, std: Of red, green and blue in [0, 1].

    Returns:
        (3, T, crop, crop) float32.
    """
    pixels = frames.permute(0, 3, 1, 2).float() / 255
    square = F.interpolate(pixels, (resize, resize), mode="bilinear", align_corners=False)
    border = round((resize - crop) / 2)
    middle = square[..., border : border + crop, border : border + crop]
    shape = (1, 3, 1, 1)
    return ((middle - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)).transpose(0, 1)
