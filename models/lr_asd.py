"""LR-ASD: smaller encoders than those of Light-ASD, gated fusion of both streams, recurrence in both directions."""

from typing import Annotated

import torch
from torch import Tensor, nn

from models.light_encoders import NORM, ConvNorm, TrackEncoders, recurrent, reversed_in_time
from models.masked_norm import MaskedBatchNorm

KERNELS = (5, 3)


class SequentialBlock(nn.Module):
    """Convolutions of two sizes within a frame, then of both over time.

    Args:
        width_in: Channels.
        width: Channels of the result; half as many between the first two.
        dimensions: 3 for faces, 2 for cepstra.
        stride: Of the first, within a frame.
    """

    def __init__(self, width_in: int, width: int, dimensions: int, stride: int = 1) -> None:
        super().__init__()
        large, small = KERNELS
        first = ConvNorm(width_in, width // 2, dimensions, large, stride=stride)
        self.within = nn.ModuleList([first, ConvNorm(width // 2, width, dimensions, small)])
        self.over_time = nn.ModuleList(ConvNorm(width, width, dimensions, k, over_time=True) for k in KERNELS)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Transform x, see `ConvNorm`."""
        for layer in (*self.within, *self.over_time):
            x = layer(x, mask)
        return x


class Gate(nn.Module):
    """Weigh the channels of two streams by what both are at the same time.

    Args:
        width: Channels C of both together.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Conv1d(width, width, 1, bias=False)
        self.norm = MaskedBatchNorm(width, **NORM)

    def forward(self, one: Tensor, other: Tensor, mask: Tensor | None) -> Tensor:
        """Join two streams (B, T, C / 2), where mask (B, T) bool says that frames are there: (B, T, C)."""
        x = torch.cat((one, other), -1).transpose(1, 2)
        return (x * self.norm(self.project(x), mask).sigmoid()).transpose(1, 2)


class LRASD(TrackEncoders):
    """Score every frame of a face track: does this face speak?

    Liao et al., "LR-ASD: lightweight and robust network for active speaker detection" (IJCV 2025); Junhua-Liao/LR-ASD,
    whose defaults these are: 0.84 M parameters. Nothing depends on the rest of a batch, nor on what it is filled up
    with.

    Args:
        widths: Channels of the three blocks of each encoder; the last is the width D of tokens.
        dropout: Of what either recurrent layer reads.
        face_size: Side S of faces in pixels; published weights are for 112.

    Raises:
        ValueError: For numbers out of range.
    """

    def __init__(
        self,
        widths: Annotated[tuple[int, int, int], "widths >= 2"] = (32, 64, 128),
        dropout: Annotated[float, "0 <= dropout < 1"] = 0.5,
        face_size: Annotated[int, "face_size >= 16"] = 112,
    ) -> None:
        super().__init__(SequentialBlock, widths, face_size)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: expected a probability in [0, 1), found {dropout}")
        self.fusion = Gate(2 * self.dim)
        self.dropout = nn.Dropout(dropout)
        self.forward_gru = recurrent(2 * self.dim, self.dim // 2)
        self.backward_gru = recurrent(2 * self.dim, self.dim // 2)
        self.directions = Gate(self.dim)

    def forward(
        self,
        faces: Tensor,
        audio: Tensor,
        valid: Tensor | None = None,
        length: Tensor | None = None,
        seconds: Tensor | None = None,
        boxes: Tensor | None = None,
        scene: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Score face tracks; arguments and results are those of `models.light_asd.LightASD`."""
        encoded = self.encode(faces, audio, valid, length)
        joined = self.fusion(encoded.audio, encoded.video, encoded.heard)
        ahead = self.forward_gru(self.dropout(joined))[0]
        back = self.backward_gru(self.dropout(reversed_in_time(joined, encoded.heard)))[0]
        return self.judged(encoded, self.directions(ahead, reversed_in_time(back, encoded.heard), encoded.heard))
