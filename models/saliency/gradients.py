"""Explanations by the gradients of pixels; all take any function of clips and sum over colours at the end."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

Score = Callable[[Tensor], Tensor]


class Attribution(NamedTuple):
    """Maps (B, T, H, W) and a constant (B,); where a method is complete, the sum of both is the score."""

    maps: Tensor
    constant: Tensor


def input_gradients(score: Score, clips: Tensor) -> Tensor:
    """Gradients (B, C, T, H, W) of score (B,) by the pixels of clips; every clip's score may depend on it alone."""
    clips = clips.detach().requires_grad_()
    [found] = torch.autograd.grad(score(clips).sum(), [clips])
    return found


def gradient(score: Score, clips: Tensor) -> Attribution:
    """How much a pixel could change the score, either way: Simonyan et al. (2014), summed over colours."""
    return _incomplete(input_gradients(score, clips).abs().sum(1))


def gradient_x_input(score: Score, clips: Tensor) -> Attribution:
    """Gradient times pixel, that is, the change to the mean colour as if the score were linear."""
    return _incomplete((input_gradients(score, clips) * clips).sum(1))


def smooth_grad(score: Score, clips: Tensor, samples: int = 16, noise: float = 0.15, seed: int = 0) -> Attribution:
    """Mean gradient around a clip: Smilkov et al., "SmoothGrad" (2017).

    Args:
        score: Maps clips to (B,).
        clips: (B, C, T, H, W).
        samples: Noisy clips; gradients of one are in memory at a time.
        noise: Standard deviation over the range of the values of a clip.
        seed: Of the noise, which is the same for all clips of a batch, whatever their number.

    Raises:
        ValueError: Without a sample.
    """
    if samples < 1:
        raise ValueError(f"samples: expected a number >= 1, found {samples}")
    generator = torch.Generator().manual_seed(seed)
    scale = noise * (clips.amax((1, 2, 3, 4), keepdim=True) - clips.amin((1, 2, 3, 4), keepdim=True))
    found = torch.zeros_like(clips)
    for _ in range(samples):
        drawn = torch.randn(clips.shape[1:], generator=generator).to(clips)
        found += input_gradients(score, clips + scale * drawn) / samples
    return _incomplete(found.abs().sum(1))


def integrated_gradients(score: Score, clips: Tensor, baseline: Tensor, steps: int = 32) -> Attribution:
    """Gradients along the straight way from a baseline: Sundararajan et al. (2017), by Gauss-Legendre quadrature.

    Complete up to the error of the quadrature, which `Evidence.completeness_error` tells.

    Args:
        score: Maps clips to (B,).
        clips: (B, C, T, H, W).
        baseline: Likewise, what shows nothing; its score is the constant.
        steps: Points on the way; gradients of one are in memory at a time.

    Raises:
        ValueError: Without a step.
    """
    if steps < 1:
        raise ValueError(f"steps: expected a number >= 1, found {steps}")
    places, weights = np.polynomial.legendre.leggauss(steps)
    way, found = clips - baseline, torch.zeros_like(clips)
    for place, weight in zip(((places + 1) / 2).tolist(), (weights / 2).tolist(), strict=True):
        found += weight * input_gradients(score, baseline + place * way)
    with torch.no_grad():
        return Attribution((found * way).sum(1), score(baseline))


def _incomplete(maps: Tensor) -> Attribution:
    return Attribution(maps, maps.new_full((len(maps),), torch.nan))
