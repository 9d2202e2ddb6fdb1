"""What is kept of the features of a clip: one vector, a few statistics, or every token."""

from typing import Literal, get_args

import torch
from torch import Tensor

Pool = Literal["none", "mean", "mean_std_max", "tokens"]
POOLS = get_args(Pool)
STATISTICS = ("mean", "std", "max")
_AXES_AS_IS = {  # by number of dimensions, that of clips included
    2: ("channel",),
    3: ("token", "channel"),
    4: ("channel", "height", "width"),
    5: ("channel", "time", "height", "width"),
}
_AXES_POOLED = {"mean": ("channel",), "mean_std_max": ("statistic", "channel"), "tokens": ("token", "channel")}


def pool_clips(features: Tensor, pool: Pool) -> Tensor:
    """Pool the tokens, or the positions of a feature map, of every clip; in float32, whatever they were computed in.

    Args:
        features: (B, C) vectors, (B, N, C) tokens, or a feature map (B, C, H, W) or (B, C, T, H, W).
        pool: ``mean`` over tokens, (B, C); ``mean_std_max``, the rows mean, standard deviation (unbiased) and maximum
            over tokens of the ShanghaiTech toolkit (rekkles2/Fed_WSVAD), (B, 3, C); ``tokens``, all of them, (B, N, C);
            ``none``, what there is.

    Raises:
        ValueError: When there is nothing to pool over, or the shape has no meaning here.

    Returns:
        float32, of the shape above.
    """
    if features.ndim not in _AXES_AS_IS:
        shape = tuple(features.shape)
        raise ValueError(f"callbacks.features: expected (B, C), (B, N, C) or a feature map, found features of {shape}")
    features = features.float()
    if pool == "none" or (pool == "mean" and features.ndim == 2):
        return features
    if features.ndim == 2:
        raise ValueError(
            f"callbacks.features.pool={pool}: expected tokens (B, N, C), found one vector {tuple(features.shape)} per "
            "clip; choose callbacks.features.layer=blocks, or another layer that returns tokens"
        )
    tokens = features if features.ndim == 3 else features.flatten(2).transpose(1, 2)
    if pool == "tokens":
        return tokens
    if pool == "mean":
        return tokens.mean(1)
    if tokens.shape[1] < 2:
        raise ValueError("callbacks.features.pool=mean_std_max: one token per clip has no standard deviation")
    return torch.stack([tokens.mean(1), tokens.std(1, correction=1), tokens.amax(1)], dim=1)


def axes_of_a_clip(ndim: int, pool: Pool) -> tuple[str, ...]:
    """Name the axes of what `pool_clips` makes of a clip, given the dimensions of its ``features``."""
    return _AXES_AS_IS[ndim] if pool == "none" else _AXES_POOLED[pool]
