"""Normalisation of channels by the rows of videos, whatever batches are filled up with."""

from torch import Tensor, nn


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch norm over the rows that are there; the others take no part and become 0.

    Arguments are those of ``torch.nn.BatchNorm1d``.
    """

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Normalise the channels of x (N, C, T) by the rows that mask (N, T) bool counts."""
        if not self.training:  # by the statistics that are known: no row knows of another
            return super().forward(x) * mask.unsqueeze(1)
        rows = x.transpose(1, 2)
        counted = super().forward(rows[mask])
        return counted.new_zeros(rows.shape).index_put((mask,), counted).transpose(1, 2)
