"""Which cells of its surroundings an actor may look at, as pure functions of injected noise.

A mask is bool (B, 2, h, w), True = blocked, of the foreground and of the background branch, for all actors of a clip
alike. Regions are bool (B, h, w): ``own``, the cells that belong to a clip at all, and ``foreground``, those of them
around its actors; the rest of its own cells is background. ``Blocked`` are the shares of foreground and background that
a branch does not see; ``int(cells * share)`` of a region are blocked, each equally likely.

Foreground/Background-Masked Interaction Learning (Chen et al., ACM MM 2023); CKK-coder/FBI-Learning.
"""

import random

import torch
from torch import Tensor

from models.padded_clips import cells_outside

Blocked = tuple[float, float]


def own_region(cells: Tensor, grid: tuple[int, int]) -> Tensor:
    """Mark the cells of each clip: cells (B, 2) int64, rows and columns; (B, h, w) bool."""
    return ~cells_outside(cells, 1, grid)[:, 0, 0]


def foreground_region(boxes: Tensor, clip: Tensor, own: Tensor) -> Tensor:
    """Mark the cells around the actors of each clip.

    One rectangle encloses the actors of a clip. A single actor's box is first made twice as wide and high. The
    rectangle is rounded outwards and its last row and column are counted in, as published, so that it is one cell more
    than it touches.

    Args:
        boxes: (R, 4) xyxy in cells.
        clip: (R,) int64, the clip of each.
        own: (B, h, w) bool.

    Returns:
        (B, h, w) bool; nothing for a clip without actors.
    """
    count = torch.bincount(clip, minlength=len(own))
    grow = (boxes[:, 2:] - boxes[:, :2]) / 2 * (count[clip] == 1).unsqueeze(1)
    index = clip.unsqueeze(1).expand(-1, 2)
    low = boxes.new_full((len(own), 2), torch.inf).scatter_reduce(0, index, boxes[:, :2] - grow, "amin")
    high = boxes.new_full((len(own), 2), -torch.inf).scatter_reduce(0, index, boxes[:, 2:] + grow, "amax")
    low, high = low.floor().unsqueeze(2), high.ceil().unsqueeze(2)
    rows, columns = (torch.arange(side, device=own.device) for side in own.shape[1:])
    in_columns = (columns >= low[:, 0]) & (columns <= high[:, 0])
    in_rows = (rows >= low[:, 1]) & (rows <= high[:, 1])
    return in_rows.unsqueeze(2) & in_columns.unsqueeze(1) & own


def random_masks(noise: Tensor, foreground: Tensor, own: Tensor, blocked: tuple[Blocked, Blocked]) -> Tensor:
    """Block shares of both regions at random.

    Args:
        noise: (..., B, 2, h, w) float32, uniform in [0, 1).
        foreground: (B, h, w) bool.
        own: (B, h, w) bool.
        blocked: Of the foreground and of the background branch.

    Returns:
        (..., B, 2, h, w) bool, True = blocked; all that is not ``own`` is.
    """
    masks = ~own.unsqueeze(1).expand_as(noise)
    for place, region in enumerate((foreground, own & ~foreground)):
        shares = torch.tensor([shares[place] for shares in blocked], dtype=torch.float64, device=noise.device)
        count = (region.sum((1, 2)).unsqueeze(1) * shares).long()  # (B, 2), in double precision as Python computes it
        region = region.unsqueeze(1).expand_as(noise).flatten(-2)
        rank = noise.flatten(-2).masked_fill(~region, torch.inf).argsort(dim=-1, stable=True).argsort(-1)
        masks = masks | (region & (rank < count.unsqueeze(-1))).view_as(noise)
    return _see_something(masks, own)


def region_masks(foreground: Tensor, own: Tensor, blocked: tuple[Blocked, Blocked]) -> Tensor:
    """Block whole regions, without chance: those of which a branch sees less than half; see `random_masks`."""
    background = own & ~foreground
    masks = [
        ~own | (foreground & (of_foreground > 0.5)) | (background & (of_background > 0.5))
        for of_foreground, of_background in blocked
    ]
    return _see_something(torch.stack(masks, 1), own)


def upstream_masks(
    generator: random.Random, foreground: Tensor, own: Tensor, has_actors: Tensor, blocked: tuple[Blocked, Blocked]
) -> Tensor:
    """Draw the masks of `random_masks` cell by cell, in the order of CKK-coder/FBI-Learning.

    There the outcome depends on all that was drawn before: clips without actors are passed over, the mask of the
    background branch is drawn first, and of each the foreground first, its cells listed column by column.

    Args:
        generator: In the state in which the published code would have Python's global one.
        foreground: (B, h, w) bool.
        own: (B, h, w) bool.
        has_actors: (B,) bool.
        blocked: Of the foreground and of the background branch.

    Returns:
        (B, 2, h, w) bool on the CPU, True = blocked.
    """
    foreground, own = foreground.cpu(), own.cpu()
    masks = ~own.unsqueeze(1).repeat(1, 2, 1, 1)
    for i in has_actors.nonzero().flatten().tolist():
        for branch in (1, 0):
            for region, share in zip((foreground[i], own[i] & ~foreground[i]), blocked[branch], strict=True):
                cells = region.T.nonzero().tolist()  # (x, y), x slowest
                for _ in range(int(len(cells) * share)):
                    x, y = cells.pop(generator.randint(0, len(cells) - 1))
                    masks[i, branch, y, x] = True
    return _see_something(masks, own)


def _see_something(masks: Tensor, own: Tensor) -> Tensor:
    """Let a branch that would see nothing see its whole clip: a softmax over nothing is not a number."""
    own = own.unsqueeze(1)
    blind = (masks | ~own).flatten(-2).all(-1)[..., None, None]
    return masks & ~(blind & own)
