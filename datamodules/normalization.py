"""Named pixel statistics, and what they do to a video on the device."""

from typing import Literal

import torch
from torch import Tensor

Normalization = Literal["imagenet", "zero_one", "minus_one_one", "slowfast", "k700", "mfnet"]

# Mean and standard deviation of pixels in [0, 1] per channel (red, green, blue). ``imagenet``: the usual values of
# ImageNet, with which VideoMAE, VideoMAE V2 and FocusMAE were trained. ``zero_one``: what the feature extraction of
# OpenGVLab/VideoMAEv2 feeds. ``minus_one_one``: what I3D and its family expect. ``slowfast``: SlowFast networks of
# facebookresearch/SlowFast and PyTorchVideo. ``k700``: those of Siyu-C/ACAR-Net that were trained on Kinetics-700.
# ``mfnet``: those of cypw/PyTorch-MFNet, (v - mean) * 0.0167 of pixels in [0, 255].
STATISTICS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "zero_one": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "minus_one_one": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "slowfast": ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225)),
    "k700": (
        (110.63666788 / 255, 103.16065604 / 255, 96.29023126 / 255),
        (38.7568578 / 255, 37.88248729 / 255, 40.02898126 / 255),
    ),
    "mfnet": ((124 / 255, 117 / 255, 104 / 255), (1 / 0.0167 / 255,) * 3),
}


def statistics(name: str) -> tuple[Tensor, Tensor]:
    """Look up mean and standard deviation, each float32 (3,).

    Raises:
        ValueError: When there are no statistics of this name.
    """
    if name not in STATISTICS:
        raise ValueError(f"datamodule.normalization: expected one of {', '.join(STATISTICS)}, found {name!r}")
    mean, std = STATISTICS[name]
    return torch.tensor(mean), torch.tensor(std)


def normalize(video: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Turn pixels into numbers of about zero mean and unit variance.

    Args:
        video: (B, 3, T, H, W) uint8, or float in [0, 1].
        mean: (3,), of pixels in [0, 1].
        std: (3,), likewise.

    Returns:
        float32 (B, 3, T, H, W); ``result * std + mean`` lies in [0, 1].
    """
    mean, std = (value.to(video.device).view(3, 1, 1, 1) for value in (mean, std))
    shares = video.clone() if video.is_floating_point() else video.float().div_(255)
    return shares.sub_(mean).div_(std)
