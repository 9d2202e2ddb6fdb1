"""The family of Grad-CAM over time and space: maps from activations and the gradients of a logit.

A: activations (B, C, T', H', W'); G: gradients of the logit by these. All maps are signed, (B, T', H', W'); published
forms keep what is positive (`Evidence.positive`). No constant is added to any denominator: gradients shrink with the
number of places that are averaged, and with them what a constant of 1e-6 would do to a map.
"""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

Weights = Literal["global", "per_frame"]
Cam = Callable[[Tensor, Tensor, tuple[int, ...]], Tensor]


def grad_cam(activations: Tensor, gradients: Tensor, over: tuple[int, ...]) -> Tensor:
    """Channels weighted by their mean gradient: Selvaraju et al., "Grad-CAM" (2017)."""
    return (gradients.mean(over, keepdim=True) * activations).sum(1)


def grad_cam_pp(activations: Tensor, gradients: Tensor, over: tuple[int, ...]) -> Tensor:
    """Grad-CAM++ of Chattopadhay et al. (2018), in closed form.

    For the exponential of a logit their weight G^2 / (2 G^2 + G^3 sum A) of a place is 1 / (2 + G sum A).
    """
    whole = activations.sum(over, keepdim=True)
    rising = gradients > 0
    weights = torch.where(rising, gradients / (2 + gradients * whole), 0.0)
    return (weights.sum(over, keepdim=True) * activations).sum(1)


def layer_cam(activations: Tensor, gradients: Tensor, over: tuple[int, ...]) -> Tensor:
    """Every place weighted by its own gradient where that is positive: Jiang et al., "LayerCAM" (2021)."""
    return (gradients.clamp(min=0) * activations).sum(1)


def xgrad_cam(activations: Tensor, gradients: Tensor, over: tuple[int, ...]) -> Tensor:
    """Channels weighted by their mean gradient where they are active: Fu et al., "Axiom-based Grad-CAM" (2020)."""
    whole = activations.sum(over, keepdim=True)
    weighted = (gradients * activations).sum(over, keepdim=True)
    return (torch.where(whole != 0, weighted / whole, 0.0) * activations).sum(1)


def hires_cam(activations: Tensor, gradients: Tensor, over: tuple[int, ...]) -> Tensor:
    """Every place weighted by its own gradient: Draelos and Carin, "HiResCAM" (2020)."""
    return (gradients * activations).sum(1)


CAMS: dict[str, Cam] = {each.__name__: each for each in (grad_cam, grad_cam_pp, layer_cam, xgrad_cam, hires_cam)}


def cam(name: str, activations: Tensor, gradients: Tensor, temporal_weights: Weights = "global") -> Tensor:
    """Compute a map.

    Args:
        name: A key of ``CAMS``.
        activations: (B, C, T', H', W').
        gradients: Likewise, of one number per clip.
        temporal_weights: Whether a channel has one weight (``global``), or one of each frame (``per_frame``, as in
            facebookresearch/SlowFast and mmaction2, which normalise maps as well and keep what is positive). Methods
            with a weight of each place have no such choice.

    Returns:
        (B, T', H', W'), signed.

    Raises:
        ValueError: For an unknown choice.
    """
    if temporal_weights not in get_args(Weights):
        raise ValueError(f"temporal_weights: expected 'global' or 'per_frame', found {temporal_weights!r}")
    return CAMS[name](activations, gradients, (2, 3, 4) if temporal_weights == "global" else (3, 4))
