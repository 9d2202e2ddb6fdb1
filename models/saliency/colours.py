"""Maps in colour and over frames; all tensors have channels last, all arithmetic is on their device."""

import base64
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from models.saliency.colour_tables import COOLWARM, MAGMA, VIRIDIS

Colours = Literal["viridis", "magma", "coolwarm", "jet"]
LEVELS = 256
FAINTEST = 20  # alpha of a focus map where a frame's map is lowest, as published
JET_CENTRES = (3, 2, 1)  # quarters of the range at which red, green and blue are full


def colour(maps: Tensor, table: Colours = "viridis") -> Tensor:
    """Colour maps (...) in [0, 1]: (..., 3) uint8, red, green, blue.

    Args:
        maps: Values beyond [0, 1] get the colours of its ends.
        table: ``viridis`` and ``magma`` are perceptually uniform and run from dark to bright; ``jet``, of published
            saliency tubes, has edges where the map has none; ``coolwarm`` is for `balanced` maps, grey in its middle.

    Raises:
        ValueError: For an unknown table.
    """
    if table not in get_args(Colours):
        raise ValueError(f"table: expected one of {', '.join(get_args(Colours))}, found {table!r}")
    levels = (maps.clamp(0, 1) * (LEVELS - 1)).floor().long()
    return colour_table(table).to(maps.device)[levels]


@lru_cache
def colour_table(table: Colours) -> Tensor:
    """The (256, 3) uint8 colours of a table, shared by all who ask: not to be changed."""
    with torch.inference_mode(False):
        if table == "jet":
            return (jet(torch.linspace(0, 1, LEVELS)) * (LEVELS - 1)).round().byte()
        stored = base64.b64decode({"coolwarm": COOLWARM, "magma": MAGMA, "viridis": VIRIDIS}[table])
        return torch.from_numpy(np.frombuffer(stored, np.uint8).reshape(LEVELS, 3).copy())


def balanced(maps: Tensor) -> Tensor:
    """Bring signed maps (B, ...) to [0, 1] with nothing at 0.5, by one factor for what speaks for and against.

    The largest size of a clip becomes an end of the range: 1 where it speaks for the target, 0 where against.
    """
    most = maps.abs().flatten(1).amax(1).view(-1, *(1,) * (maps.ndim - 1))
    return 0.5 + maps / (2 * most).where(most > 0, torch.inf)


def jet(values: Tensor) -> Tensor:
    """Red, green and blue (..., 3) in [0, 1] of values (...) in [0, 1]; OpenCV's table within one level of 255."""
    centres = torch.tensor(JET_CENTRES, device=values.device, dtype=values.dtype)
    return (1.5 - (4 * values.unsqueeze(-1) - centres).abs()).clamp(0, 1)


def blend(
    frames: Tensor, maps: Tensor, alpha: float = 0.5, table: Colours = "viridis", threshold: float = 0.0
) -> Tensor:
    """Lay maps over frames.

    Args:
        frames: (..., H, W, 3) uint8.
        maps: (..., H, W) in [0, 1].
        alpha: Share of the colour; the rest is the frame's.
        table: See `colour`.
        threshold: Below it the frame stays as it is.

    Returns:
        (..., H, W, 3) uint8.
    """
    share = (alpha * (maps >= threshold)).unsqueeze(-1)
    return (share * colour(maps, table) + (1 - share) * frames).round().byte()


def published_heat(frames: Tensor, maps: Tensor) -> Tensor:
    """Heat map of the published code: half of the frame plus half of the jet colour, each rounded down.

    alexandrosstergiou/Saliency-Tubes-Visual-Explanations-for-Spatio-Temporal-Convolutions. Arguments as of `blend`.
    """
    return colour(maps, "jet") // 2 + frames // 2


def published_focus(frames: Tensor, maps: Tensor) -> Tensor:
    """Focus map of the published code: frames that are the more opaque the higher the map, by the range of each frame.

    Not comparable over time, unlike `published_heat`.

    Args:
        frames: (..., H, W, 3) uint8.
        maps: (..., H, W).

    Returns:
        (..., H, W, 4) uint8, alpha last, from 20 to 255; 20 where the map of a frame is the same everywhere.
    """
    least, most = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    width = (most - least).where(most > least, torch.ones_like(most))
    alpha = FAINTEST + (LEVELS - 1 - FAINTEST) * (maps - least) / width
    return torch.cat([frames, alpha.round().byte().unsqueeze(-1)], -1)
