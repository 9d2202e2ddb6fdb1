"""Normalisation by the rows (times) of videos that are there, whatever batches are filled up with."""

import torch
from torch import Tensor, nn

GLOBAL_EPS = 1e-8  # TaoRuijie/TalkNet-ASD; nothing in float16


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch norm over the rows that are there; the others take no part and become 0.

    Less than two values per channel have no statistics: they are normalised by those that are known, as in evaluation,
    and these stay as they are. Arguments are those of ``torch.nn.BatchNorm1d``.
    """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise the channels of x (N, C, ...) by the rows that are counted.

        Args:
            x: (N, C, T), or with a mask (N, C, ..., T); without one any shape (N, C, ...).
            mask: (N, T) bool, True = counted; None: everything is.

        Returns:
            Of the shape of ``x``.
        """
        if mask is None:
            return self._normalised(x)
        if not self.training:  # by the statistics that are known: no row knows of another
            return self._normalised(x) * over_time(mask, x)
        rows = x.movedim(-1, 1)  # (N, T, C, ...)
        counted = self._normalised(rows[mask])
        return counted.new_zeros(rows.shape).index_put((mask,), counted).movedim(1, -1)

    def _normalised(self, x: Tensor) -> Tensor:
        flat = x.flatten(2) if x.ndim > 3 else x
        if self.training and flat.numel() < 2 * flat.shape[1]:
            norm = nn.functional.batch_norm
            return norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(flat).view_as(x)


class GlobalNorm(nn.Module):
    """Normalise all channels and rows of an item together, those that are there.

    Luo and Mesgarani, "Conv-TasNet" (2019), section II-C3. It makes every output depend on the whole clip, and so on
    what a batch is filled up with, were that not left out. It is computed in float32 at least.

    Args:
        width: Channels C.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, width, 1))
        self.bias = nn.Parameter(torch.zeros(1, width, 1))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise x (N, C, T) by the rows that mask (N, T) bool counts; the others become 0."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        centred = wide - masked_mean(wide, mask)
        variance = masked_mean(centred.square(), mask)
        found = centred * torch.rsqrt(variance + GLOBAL_EPS) * self.scale + self.bias
        return (found if mask is None else found * mask.unsqueeze(1)).to(x.dtype)


def masked_mean(x: Tensor, mask: Tensor | None, by_channel: bool = False) -> Tensor:
    """Average items over the rows that are there; 0 of an item without any.

    Args:
        x: (N, C, ..., T).
        mask: (N, T) bool, True = counted; None: all.
        by_channel: Average each channel by itself.

    Returns:
        (N, C or 1, ..., 1) with as many dimensions as ``x``.
    """
    dims = tuple(range(2 if by_channel else 1, x.ndim))
    if mask is None:
        return x.mean(dims, keepdim=True)
    total = (x * over_time(mask, x)).sum(dims, keepdim=True)
    values = x[0].numel() // x.shape[-1] // (x.shape[1] if by_channel else 1)  # of a row
    return total / (values * mask.sum(1).clamp(min=1)).view(-1, *[1] * (x.ndim - 1))


def over_time(mask: Tensor, x: Tensor) -> Tensor:
    """Give mask (N, T) the dimensions of x (N, C, ..., T)."""
    return mask.view(len(mask), *[1] * (x.ndim - 2), mask.shape[1])
