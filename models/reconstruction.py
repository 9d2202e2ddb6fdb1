"""What masked pretraining predicts and how far off it is: cubes of pixels, their normalisation, and the losses.

Pixels are (B, 3, T, H, W) in [0, 1]. Cubes are (B, N, P) with P = t * h * w * 3 values of a tubelet ``(t, h, w)``: time
slowest, then row and column, channel fastest. Statistics of a cube are taken per channel over its t * h * w pixels.
"""

import torch
from einops import rearrange
from torch import Tensor

from models.masking import gather_tokens

TARGET_EPS = 1e-6  # added to the standard deviation; MCG-NJU/VideoMAE
CHANNELS = 3


def patchify(pixels: Tensor, tubelet: tuple[int, int, int]) -> Tensor:
    """Cut clips (B, 3, T, H, W) into cubes (B, N, P), in token order."""
    t, h, w = tubelet
    return rearrange(pixels, "b c (nt t) (nh h) (nw w) -> b (nt nh nw) (t h w c)", t=t, h=h, w=w)


def unpatchify(cubes: Tensor, grid: tuple[int, int, int], tubelet: tuple[int, int, int]) -> Tensor:
    """Put cubes (B, N, P) of a grid ``(T', H', W')`` together again: clips (B, 3, T, H, W)."""
    (nt, nh, nw), (t, h, w) = grid, tubelet
    return rearrange(cubes, "b (nt nh nw) (t h w c) -> b c (nt t) (nh h) (nw w)", nt=nt, nh=nh, nw=nw, t=t, h=h, w=w)


def cube_statistics(pixels: Tensor, tubelet: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Cut clips into cubes and describe each channel of each.

    Args:
        pixels: (B, 3, T, H, W), computed with in float32 whatever its dtype.
        tubelet: ``(t, h, w)``.

    Returns:
        Cubes (B, N, t * h * w, 3), their mean and their standard deviation (from the unbiased variance), both
        (B, N, 1, 3); all float32.
    """
    cubes = rearrange(patchify(pixels.float(), tubelet), "b n (p c) -> b n p c", c=CHANNELS)
    variance, mean = torch.var_mean(cubes, dim=2, keepdim=True)
    return cubes, mean, variance.sqrt()


@torch.no_grad()
def normalised_targets(pixels: Tensor, tubelet: tuple[int, int, int], eps: float = TARGET_EPS) -> Tensor:
    """Make the targets of masked pretraining: pixels normalised per cube and channel.

    As in MCG-NJU/VideoMAE: (pixel - mean) / (std + eps) with the unbiased variance. Image MAE differs: it normalises
    the channels together and adds epsilon under the root. Always computed in float32: a nearly flat cube is divided by
    a very small number.

    Args:
        pixels: (B, 3, T, H, W) in [0, 1].
        tubelet: ``(t, h, w)``.
        eps: Added to the standard deviation.

    Returns:
        (B, N, P) float32, without gradient.
    """
    cubes, mean, std = cube_statistics(pixels, tubelet)
    return ((cubes - mean) / (std + eps)).flatten(2)


@torch.no_grad()
def flat_cubes(pixels: Tensor, tubelet: tuple[int, int, int], threshold: float) -> Tensor:
    """Find cubes with nothing in them to predict.

    Normalisation gives every cube unit variance, however little it varies: one pixel off by one grey level becomes a
    target of 22. Where the picture is flat (a static background, black borders, the surround of an ultrasound image),
    the loss is then spent on sensor noise.

    Args:
        pixels: (B, 3, T, H, W) in [0, 1].
        tubelet: ``(t, h, w)``.
        threshold: Standard deviation in units of full intensity, so that 1 / 255 is one grey level.

    Returns:
        (B, N) bool, True where the standard deviation of every channel lies below ``threshold``.
    """
    _, _, std = cube_statistics(pixels, tubelet)
    return (std < threshold).all(-1).squeeze(-1)


@torch.no_grad()
def denormalise(
    prediction: Tensor,
    pixels: Tensor,
    tubelet: tuple[int, int, int],
    index: Tensor | None = None,
    eps: float = TARGET_EPS,
) -> Tensor:
    """Turn predicted normalised cubes into pixels, to be looked at.

    This takes mean and contrast of each cube from the original: the model never predicted them, so that the picture
    looks better than the model is (MCG-NJU/VideoMAE#120).

    Args:
        prediction: (B, M, P), normalised as by `normalised_targets`.
        pixels: (B, 3, T, H, W) in [0, 1], the original.
        tubelet: ``(t, h, w)``.
        index: (B, M) int64, token of each prediction; None when all N tokens are predicted, in order.
        eps: As given to `normalised_targets`.

    Returns:
        (B, M, P) float32; not clipped to [0, 1].
    """
    _, mean, std = cube_statistics(pixels, tubelet)
    mean, std = mean.squeeze(2), std.squeeze(2)
    if index is not None:
        mean, std = gather_tokens(mean, index), gather_tokens(std, index)
    cubes = rearrange(prediction.float(), "b m (p c) -> b m p c", c=CHANNELS)
    return (cubes * (std + eps).unsqueeze(2) + mean.unsqueeze(2)).flatten(2)


def token_errors(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each token, in float32.

    Args:
        prediction: (B, M, P).
        target: (B, M, P), of the same tokens.

    Returns:
        (B, M) float32.
    """
    return (prediction.float() - target.float()).square().mean(-1)


def reconstruction_loss(errors: Tensor, counted: Tensor) -> Tensor:
    """Average the errors of the tokens that count, over the whole batch.

    VideoMAE V2 (Wang et al., 2023), section 3.2: of the decoded tokens, those that were hidden from the encoder. When
    all tokens are decoded that were hidden, this is the loss of VideoMAE.

    Args:
        errors: (B, M), see `token_errors`.
        counted: (B, M) bool.

    Returns:
        Scalar; 0 when no token counts.
    """
    return (errors * counted).sum() / counted.sum().clamp(min=1)


def sampling_loss(log_probability: Tensor, errors: Tensor, index: Tensor, counted: Tensor | None = None) -> Tensor:
    """Teach a token sampler to keep visible what is hard to predict.

    AdaMAE (Bandara et al., 2023), as in wgcban/adamae and sbasu276/FocusMAE: the average over hidden tokens of
    -log p * error, where the error is a constant reward and no gradient flows through it.

    Args:
        log_probability: (B, N) log of the probability of each token to be drawn as visible.
        errors: (B, M), see `token_errors`.
        index: (B, M) int64, token of each error.
        counted: (B, M) bool; None counts all.

    Returns:
        Scalar.
    """
    surprise = -log_probability.gather(1, index) * errors.detach()
    return reconstruction_loss(surprise, torch.ones_like(index, dtype=torch.bool) if counted is None else counted)
