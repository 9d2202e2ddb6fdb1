"""Encoders of Light-ASD and LR-ASD: convolutions within a frame and over time, taken apart, on faces and on cepstra.

Junhua-Liao/Light-ASD and LR-ASD. Blocks differ between the two, what is around them does not. Frames that are not there
are 0 before every convolution over time, so that a track is encoded as if nothing stood behind its end.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.face_tracks import ROWS_PER_FRAME, frames_there, normalised_faces, require_sizes
from models.masked_norm import MaskedBatchNorm
from models.saliency_spec import SaliencySpec

NORM = {"momentum": 0.01, "eps": 1e-3}  # of all layers, as published
VIDEO, AUDIO = 3, 2  # dimensions of (T, H, W) and of (F, T)
CLASSES = 2  # not speaking, speaking

Block = Callable[[int, int, int, int], nn.Module]  # channels, channels of the result, dimensions, stride


class ConvNorm(nn.Module):
    """Convolution, batch norm over the frames that are there, ReLU.

    Args:
        width_in: Channels.
        width: Channels of the result.
        dimensions: 3 for faces (B, C, T, H, W), 2 for cepstra (B, C, F, T).
        kernel: Its size, odd.
        over_time: Convolve over time; otherwise within each frame.
        stride: Within each frame.
    """

    def __init__(
        self, width_in: int, width: int, dimensions: int, kernel: int, over_time: bool = False, stride: int = 1
    ) -> None:
        super().__init__()
        if dimensions == VIDEO:
            size = (kernel, 1, 1) if over_time else (1, kernel, kernel)
            self.conv = nn.Conv3d(
                width_in, width, size, (1, stride, stride), tuple(side // 2 for side in size), bias=False
            )
        else:
            size = (1, kernel) if over_time else (kernel, 1)
            self.conv = nn.Conv2d(width_in, width, size, padding=tuple(side // 2 for side in size), bias=False)
        self.norm = MaskedBatchNorm(width, **NORM)
        nn.init.kaiming_normal_(self.conv.weight)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Transform x, where mask (B, T) bool says that frames are there; the others become 0."""
        x = self.conv(x)
        if mask is None:
            return self.norm(x).relu()
        time = 2 if x.ndim == 2 + VIDEO else -1
        return self.norm(x.movedim(time, -1), mask).movedim(-1, time).relu()


class VideoEncoder(nn.Module):
    """Encode a track of faces as a token per frame.

    Args:
        block: Makes the blocks.
        widths: Channels of the three blocks; the last is D.
    """

    def __init__(self, block: Block, widths: Sequence[int]) -> None:
        super().__init__()
        self.blocks = _blocks(block, widths, VIDEO, first_stride=2)

    def forward(self, faces: Tensor, mask: Tensor | None = None) -> Tensor:
        """Encode normalised faces (B, 1, T, S, S): (B, T, D), 0 where mask (B, T) bool says that there is none."""
        x = self.blocks[0](faces, mask)
        for block in self.blocks[1:]:
            x = block(F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1)), mask)
        return x.amax((3, 4)).transpose(1, 2)


class AudioEncoder(nn.Module):
    """Encode cepstra, four rows per frame, as a token per frame.

    Args:
        block: Makes the blocks.
        widths: Channels of the three blocks; the last is D.
    """

    def __init__(self, block: Block, widths: Sequence[int]) -> None:
        super().__init__()
        self.blocks = _blocks(block, widths, AUDIO)

    def forward(self, cepstra: Tensor, mask: Tensor | None = None) -> Tensor:
        """Encode cepstra (B, 4 T, 13): (B, T, D); mask (B, T) bool is that of the frames."""
        masks = [None] * 3 if mask is None else [mask.repeat_interleave(rows, 1) for rows in (ROWS_PER_FRAME, 2, 1)]
        x = cepstra.transpose(1, 2).unsqueeze(1)  # (B, 1, F, 4 T)
        x = self.blocks[0](x, masks[0])
        for block, rows in zip(self.blocks[1:], masks[1:], strict=True):
            x = block(F.max_pool2d(x, (1, 3), (1, 2), (0, 1)), rows)
        return x.mean(2).transpose(1, 2)


class Encoded(NamedTuple):
    """Tokens of a batch of tracks.

    Attributes:
        audio: (B, T, D).
        video: (B, T, D), 0 where there is no face.
        heard: (B, T) bool, False behind the end of a track; None: nowhere.
    """

    audio: Tensor
    video: Tensor
    heard: Tensor | None


class TrackEncoders(nn.Module):
    """Both encoders and the heads of a small model of active speakers, which derives from this.

    Args:
        block: Makes the blocks of both encoders.
        widths: Channels of their three blocks; the last is the width D of tokens.
        face_size: Side S of faces in pixels; published weights are for 112.

    Raises:
        ValueError: For numbers out of range.
    """

    def __init__(self, block: Block, widths: Sequence[int], face_size: int) -> None:
        super().__init__()
        if len(widths) != 3 or min(widths) < 2 or any(width % 2 for width in widths):
            raise ValueError(f"widths: expected three even numbers >= 2, found {list(widths)}")
        if face_size < 16:
            raise ValueError(f"face_size: expected a number >= 16, found {face_size}")
        self.face_size, self.dim = face_size, widths[-1]
        self.video_encoder = VideoEncoder(block, widths)
        self.audio_encoder = AudioEncoder(block, widths)
        self.head = nn.Linear(self.dim, CLASSES)
        self.video_head = nn.Linear(self.dim, CLASSES)

    def saliency_spec(self) -> SaliencySpec:
        """Say how scores can be explained: by the pixels of each face, or its last maps, one a frame."""
        last = len(self.video_encoder.blocks) - 1
        return SaliencySpec(layers={"faces": f"video_encoder.blocks.{last}"}, method="gradient_x_input")

    def encode(self, faces: Tensor, audio: Tensor, valid: Tensor | None, length: Tensor | None) -> Encoded:
        """Encode both streams; see the model's ``forward``."""
        require_sizes(faces, audio, self.face_size)
        heard, seen = frames_there(faces, valid, length)
        dtype = self.head.weight.dtype
        video = self.video_encoder(normalised_faces(faces, seen, dtype), seen)
        return Encoded(self.audio_encoder(audio.to(dtype), heard), video, heard)

    def judged(self, encoded: Encoded, fused: Tensor) -> dict[str, Tensor]:
        """Make what the model returns of the tokens of both streams and of ``fused`` (B, T, D)."""
        return {
            "logits": self.head(fused),
            "video_logits": self.video_head(encoded.video),
            "audio": encoded.audio,
            "video": encoded.video,
            "fused": fused,
        }


def recurrent(width_in: int, width: int) -> nn.GRU:
    """Make a gated recurrent unit that reads (B, T, C), initialised as published."""
    layer = nn.GRU(width_in, width, batch_first=True)
    for name, parameter in layer.named_parameters():
        nn.init.kaiming_normal_(parameter) if name.startswith("weight") else nn.init.zeros_(parameter)
    return layer


def reversed_in_time(x: Tensor, mask: Tensor | None) -> Tensor:
    """Turn the rows of x (B, T, C) round up to the end of each, as mask (B, T) bool tells; what is behind stays."""
    if mask is None:
        return x.flip(1)
    frame = torch.arange(x.shape[1], device=x.device)
    place = torch.where(mask, mask.sum(1, keepdim=True) - 1 - frame, frame)
    return x.gather(1, place.unsqueeze(-1).expand_as(x))


def _blocks(block: Block, widths: Sequence[int], dimensions: int, first_stride: int = 1) -> nn.ModuleList:
    strides = (first_stride, 1, 1)
    return nn.ModuleList(
        block(*pair, dimensions, stride) for *pair, stride in zip((1, *widths[:-1]), widths, strides, strict=True)
    )
