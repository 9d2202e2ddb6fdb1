"""Masks over video tokens, as pure functions of uniform noise.

A mask is bool (B, N), True = hidden; N = T' * H' * W' tokens of a grid, time slowest and width fastest. Noise lies in
(0, 1) and comes from outside, so that the caller decides what a mask depends on. The number of hidden tokens follows
from the settings alone: tensors keep static shapes, and every sample of a batch hides equally many.
"""

import torch
from torch import Tensor

CELL = 2  # side of the running cell; VideoMAE V2, section 3.2
CELL_SIZE = CELL * CELL


def visible_count(num_tokens: int, mask_ratio: float) -> int:
    """Count the tokens a mask leaves visible: ``int(N * (1 - mask_ratio))``, in this order of operations.

    The product is rounded down as in sbasu276/FocusMAE, with 1 - 0.9 slightly below 0.1: of 1568 tokens, 156 are
    visible at 0.9.

    Args:
        num_tokens: N.
        mask_ratio: Share of tokens to hide, in (0, 1).

    Raises:
        ValueError: When nothing would stay visible, or nothing be hidden.
    """
    count = int(num_tokens * (1 - mask_ratio))
    if not 0 < count < num_tokens:
        raise ValueError(
            f"mask_ratio={mask_ratio} leaves {count} of {num_tokens} tokens visible; "
            "choose a ratio that hides at least one token and leaves at least one visible"
        )
    return count


def tube_hidden_count(grid: tuple[int, int, int], mask_ratio: float) -> int:
    """Count the places a tube mask hides in every time slice: ``floor(mask_ratio * H' * W')``.

    Raises:
        ValueError: When nothing would stay visible, or nothing be hidden.
    """
    _, rows, columns = grid
    count = int(mask_ratio * rows * columns)
    if not 0 < count < rows * columns:
        raise ValueError(
            f"mask_ratio={mask_ratio} hides {count} of the {rows * columns} places of a {rows}x{columns} slice; "
            "choose a ratio that hides at least one place and leaves at least one visible"
        )
    return count


def running_cell_hidden_count(grid: tuple[int, int, int], mask_ratio: float) -> int:
    """Count the places of a 2x2 cell that a running-cell mask hides in every time slice: ``int(4 * mask_ratio)``.

    Raises:
        ValueError: When the grid is not tiled by 2x2 cells, or a cell would be hidden whole or not at all.
    """
    _, rows, columns = grid
    if rows % CELL or columns % CELL:
        raise ValueError(
            f"the running cell tiles slices of even size only, not {rows}x{columns}; "
            "choose an image_size that is a multiple of twice the patch_size"
        )
    count = int(CELL_SIZE * mask_ratio)
    if not 0 < count < CELL_SIZE:
        raise ValueError(
            f"decoder_mask_ratio={mask_ratio} hides {count} of the {CELL_SIZE} places of a running cell; "
            f"choose a ratio from {1 / CELL_SIZE} to below 1"
        )
    return count


def random_mask(noise: Tensor, mask_ratio: float) -> Tensor:
    """Hide tokens at random, each equally likely.

    Args:
        noise: (B, N), uniform.
        mask_ratio: See `visible_count`.

    Returns:
        (B, N) bool, True = hidden.
    """
    index = noise.topk(visible_count(noise.shape[1], mask_ratio), dim=1).indices
    return mask_from_visible(index, noise.shape[1])


def tube_mask(noise: Tensor, grid: tuple[int, int, int], mask_ratio: float) -> Tensor:
    """Hide the same random places in every time slice (Tong et al., "VideoMAE", 2022, section 3.3).

    Args:
        noise: (B, H' * W'), uniform.
        grid: ``(T', H', W')``.
        mask_ratio: See `tube_hidden_count`.

    Returns:
        (B, N) bool, True = hidden.
    """
    places = noise.topk(tube_hidden_count(grid, mask_ratio), dim=1).indices
    hidden = torch.zeros_like(noise, dtype=torch.bool).scatter(1, places, True)
    return hidden.repeat(1, grid[0])


def running_cell_mask(noise: Tensor, grid: tuple[int, int, int], mask_ratio: float) -> Tensor:
    """Hide a pattern of 2x2 cells that moves on by one place per time slice (Wang et al., "VideoMAE V2", 2023, 3.2).

    A cell's places, counted row by row, take turns: place k of slice t is hidden when (k + t + phase + 1) mod 4 lies
    below int(4 * mask_ratio), the order of OpenGVLab/VideoMAEv2. Each place is kept in at least one of four slices.

    Args:
        noise: (B,), uniform; decides the phase, one of four.
        grid: ``(T', H', W')`` with even H' and W'.
        mask_ratio: See `running_cell_hidden_count`.

    Returns:
        (B, N) bool, True = hidden (not decoded).
    """
    count = running_cell_hidden_count(grid, mask_ratio)
    time, row, column = (torch.arange(size, device=noise.device) for size in grid)
    place = CELL * (row % CELL)[:, None] + column % CELL
    turn = (time[:, None, None] + place).flatten()
    phase = (noise * CELL_SIZE).long()
    return (turn + phase[:, None] + 1) % CELL_SIZE < count


def sample_visible(logits: Tensor, noise: Tensor, count: int) -> Tensor:
    """Draw tokens without replacement with probabilities softmax(logits), by the Gumbel top-k trick.

    Kool et al., "Stochastic Beams and Where to Find Them" (2019): the ``count`` largest of logits plus
    Gumbel noise are distributed as successive draws from the renormalised rest. A token's rank in the order is a
    monotone function of its logit, at fixed noise.

    Args:
        logits: (B, N).
        noise: (B, N), uniform in (0, 1).
        count: Tokens to draw.

    Returns:
        (B, count) int64, the most willing first; without gradient.
    """
    uniform = noise.detach().float().clamp(min=torch.finfo(torch.float32).tiny)  # a zero would give minus infinity
    gumbel = -torch.log(-torch.log(uniform))
    return (logits.detach().float() + gumbel).topk(count, dim=1).indices


def mask_from_visible(index: Tensor, num_tokens: int) -> Tensor:
    """Turn visible tokens (B, M) int64 into a mask (B, N) bool, True = hidden."""
    hidden = torch.ones(len(index), num_tokens, dtype=torch.bool, device=index.device)
    return hidden.scatter(1, index, False)


def count_visible(mask: Tensor, num_tokens: int, name: str) -> int:
    """Count the visible tokens of a mask that came from outside, the same for all samples.

    Visible tokens are gathered into one tensor, so samples that hide different numbers cannot share a batch; the
    published code then mixes tokens of different samples, without an error, when the total happens to divide.

    Args:
        mask: (B, N) bool, True = hidden.
        num_tokens: N expected.
        name: What to call the mask in an error.

    Raises:
        ValueError: When dtype or shape are wrong, counts differ, or all or nothing is hidden.
    """
    if mask.dtype != torch.bool or mask.ndim != 2 or mask.shape[1] != num_tokens:
        raise ValueError(
            f"{name}: expected bool of shape (B, {num_tokens}), True = hidden; "
            f"found {mask.dtype} of shape {tuple(mask.shape)}"
        )
    counts = (~mask).sum(1).tolist()
    if len(set(counts)) != 1:
        raise ValueError(f"{name}: every sample of a batch must leave equally many tokens visible, found {counts}")
    if not 0 < counts[0] < num_tokens:
        raise ValueError(f"{name}: leaves {counts[0]} of {num_tokens} tokens visible; neither all nor none will do")
    return counts[0]


def split_tokens(mask: Tensor, num_visible: int) -> tuple[Tensor, Tensor]:
    """List the visible and the hidden tokens of a mask, each in token order.

    Args:
        mask: (B, N) bool, True = hidden, with ``num_visible`` visible tokens in every sample.
        num_visible: Their number, known without looking at the mask.

    Returns:
        Visible (B, num_visible) and hidden (B, N - num_visible) tokens, int64.
    """
    order = mask.to(torch.uint8).argsort(dim=1, stable=True)
    return order[:, :num_visible], order[:, num_visible:]


def gather_tokens(tokens: Tensor, index: Tensor) -> Tensor:
    """Take tokens (B, N, D) at ``index`` (B, M) int64: (B, M, D)."""
    return tokens.gather(1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
