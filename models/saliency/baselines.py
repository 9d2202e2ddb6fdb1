"""Clips that show nothing: what integrated gradients start from, and what takes the place of deleted pixels."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

Baseline = Literal["mean", "black", "blurred", "first_frame"]
BLUR = 1 / 16  # standard deviation of the blur over the shorter side of a frame
REACH = 3  # standard deviations at which the blur ends


def baseline_of(
    clips: Tensor, name: Baseline = "mean", mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> Tensor:
    """Make a baseline of clips.

    Args:
        clips: (B, C, T, H, W), normalised.
        name: ``mean``, the colour that normalisation made 0; ``black``, which needs ``mean`` and ``std``; ``blurred``,
            every frame by a Gaussian; ``first_frame``, repeated, which leaves motion alone to be explained.
        mean, std: What clips in [0, 1] were normalised by, per channel.

    Returns:
        Of the shape of ``clips``.

    Raises:
        ValueError: For an unknown name, or ``black`` without ``mean`` and ``std``.
    """
    if name == "mean":
        return torch.zeros_like(clips)
    if name == "black":
        if mean is None or std is None:
            raise ValueError("baseline='black' needs mean and std, which clips were normalised by")
        dark = -torch.as_tensor(mean, device=clips.device) / torch.as_tensor(std, device=clips.device)
        return dark.to(clips.dtype).view(1, -1, 1, 1, 1).expand_as(clips).clone()
    if name == "first_frame":
        return clips[:, :, :1].expand_as(clips).clone()
    if name == "blurred":
        return blurred(clips)
    raise ValueError(f"baseline: expected one of {', '.join(get_args(Baseline))}, found {name!r}")


def blurred(clips: Tensor) -> Tensor:
    """Blur every frame of clips (B, C, T, H, W), with frames mirrored at their borders."""
    height, width = clips.shape[-2:]
    deviation = BLUR * min(height, width)
    reach = min(max(1, round(REACH * deviation)), min(height, width) - 1)
    places = torch.arange(-reach, reach + 1, device=clips.device, dtype=clips.dtype)
    kernel = (-0.5 * (places / deviation).square()).softmax(0)
    frames = F.pad(clips.reshape(-1, 1, height, width), (reach,) * 4, mode="reflect")
    in_rows = F.conv2d(frames, kernel.view(1, 1, 1, -1))
    return F.conv2d(in_rows, kernel.view(1, 1, -1, 1)).view_as(clips)
