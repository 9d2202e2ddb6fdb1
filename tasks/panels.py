"""Pictures of masked pretraining: rows of frames that show what was hidden and what was made of it."""

import torch
from torch import Tensor

from models.reconstruction import denormalise, patchify, unpatchify

HIDDEN_GREY = 0.5
PRIOR_TINT = (1.0, 0.45, 0.0)  # orange
PRIOR_OPACITY = 0.5


def reconstruction_panels(
    pixels: Tensor,
    output: dict[str, Tensor],
    grid: tuple[int, int, int],
    tubelet: tuple[int, int, int],
    normalised: bool,
) -> dict[str, Tensor]:
    """Lay out original, input, reconstruction and region prior.

    Mean and contrast of each cube are taken from the original when they were not predicted; the row "cube means" shows
    how much of the picture is due to that.

    Args:
        pixels: (B, 3, T, H, W) in [0, 1].
        output: Of a masked autoencoder that decoded every hidden token: ``prediction`` (B, M, P), ``index`` (B, M) and,
            for models with one, ``prior`` (B, N).
        grid: ``(T', H', W')``.
        tubelet: ``(t, h, w)``.
        normalised: Whether normalised pixels were predicted.

    Returns:
        Rows (B, 3, T, H, W) in [0, 1] by title.
    """
    index, cubes = output["index"], patchify(pixels, tubelet)
    prediction = output["prediction"].float()
    means = denormalise(torch.zeros_like(prediction), pixels, tubelet, index)
    if normalised:
        prediction = denormalise(prediction, pixels, tubelet, index)

    def painted(tokens: Tensor) -> Tensor:
        place = index.unsqueeze(-1).expand_as(tokens)
        return unpatchify(cubes.scatter(1, place, tokens), grid, tubelet).clamp(0, 1)

    rows = {
        "original": pixels.clamp(0, 1),
        "seen by the encoder": painted(torch.full_like(prediction, HIDDEN_GREY)),
        "reconstruction": painted(prediction),
        "cube means, for comparison": painted(means),
    }
    if "prior" in output:
        weight = PRIOR_OPACITY * output["prior"].float().unsqueeze(-1).expand_as(cubes)
        weight = unpatchify(weight, grid, tubelet)
        tint = pixels.new_tensor(PRIOR_TINT).view(1, -1, 1, 1, 1)
        rows["region prior"] = torch.lerp(pixels.mean(1, keepdim=True).expand_as(pixels), tint, weight).clamp(0, 1)
    return rows
