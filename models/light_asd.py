"""Light-ASD: two small encoders whose convolutions are taken apart, and recurrence over both streams added."""

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor, nn

from models.light_encoders import ConvNorm, TrackEncoders, recurrent, reversed_in_time

KERNELS = (3, 5)


class ParallelBlock(nn.Module):
    """Convolutions of two sizes beside each other, each within a frame and then over time, added and mixed.

    Args:
        width_in: Channels.
        width: Channels of the result.
        dimensions: 3 for faces, 2 for cepstra.
        stride: Within a frame.
    """

    def __init__(self, width_in: int, width: int, dimensions: int, stride: int = 1) -> None:
        super().__init__()
        self.within = nn.ModuleList(ConvNorm(width_in, width, dimensions, k, stride=stride) for k in KERNELS)
        self.over_time = nn.ModuleList(ConvNorm(width, width, dimensions, k, over_time=True) for k in KERNELS)
        self.mix = ConvNorm(width, width, dimensions, 1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Transform x, see `ConvNorm`."""
        pairs = zip(self.within, self.over_time, strict=True)
        return self.mix(sum(over_time(within(x, mask), mask) for within, over_time in pairs), mask)


class LightASD(TrackEncoders):
    """Score every frame of a face track: does this face speak?

    Liao et al., "A light weight model for active speaker detection" (CVPR 2023); Junhua-Liao/Light-ASD, whose defaults
    these are: 1.02 M parameters. What is published as one recurrent layer in both directions is one behind the other.
    Nothing depends on the rest of a batch, nor on what it is filled up with.

    Args:
        widths: Channels of the three blocks of each encoder; the last is the width D of tokens.
        face_size: Side S of faces in pixels; published weights are for 112.

    Raises:
        ValueError: For numbers out of range.
    """

    def __init__(
        self,
        widths: Annotated[tuple[int, int, int], "widths >= 2"] = (32, 64, 128),
        face_size: Annotated[int, "face_size >= 16"] = 112,
    ) -> None:
        super().__init__(ParallelBlock, widths, face_size)
        self.forward_gru = recurrent(self.dim, self.dim)
        self.backward_gru = recurrent(self.dim, self.dim)

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
        """Score face tracks. What is said of frames without a face, or behind the end, means nothing.

        Args:
            faces: (B, T, S, S) grey in 0..255, uint8 or float.
            audio: (B, 4 T, 13) cepstra.
            valid: (B, T) bool, False where there is no face; None: they are all there.
            length: (B,) int64, frames of each row; None: T.
            seconds: Not used, like the following: other models of face tracks are called in the same way.
            boxes: Not used.
            scene: Not used.

        Returns:
            ``logits`` and ``video_logits`` (B, T, 2) of not speaking and speaking, by both streams and by faces alone;
            the tokens ``audio``, ``video`` and ``fused``, (B, T, D) each.

        Raises:
            ValueError: When sizes do not fit.
        """
        encoded = self.encode(faces, audio, valid, length)
        fused = F.gelu(self.forward_gru(encoded.audio + encoded.video)[0])
        fused = self.backward_gru(reversed_in_time(fused, encoded.heard))[0]
        return self.judged(encoded, F.gelu(reversed_in_time(fused, encoded.heard)))
