"""Embedding of tubelets, the space-time patches of a clip, whole or only those a mask leaves visible."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TubeletEmbedding(nn.Module):
    """Project non-overlapping tubelets of a clip to tokens, time slowest and width fastest.

    Arnab et al., "ViViT" (2021), section 3.2. The weights have the names and shapes of VideoMAE, a 3-D convolution
    whose kernel is its stride; the projection is computed as a linear map of the tubelets' pixels, which is the same
    sum and lets masked pretraining embed one token in ten instead of embedding all and dropping nine.

    Args:
        size: Clip size ``(T, H, W)`` in frames and pixels.
        tubelet: Tubelet size ``(t, h, w)``; must divide ``size``.
        in_channels: Channels of a frame.
        dim: Token width D.

    Attributes:
        grid: Tokens along time, rows and columns, ``(T/t, H/h, W/w)``.

    Raises:
        ValueError: When ``tubelet`` does not divide ``size``, or one of them is empty.
    """

    def __init__(
        self,
        size: tuple[int, int, int] = (16, 224, 224),
        tubelet: tuple[int, int, int] = (2, 16, 16),
        in_channels: int = 3,
        dim: int = 768,
    ) -> None:
        super().__init__()
        self.size, self.tubelet = tuple(size), tuple(tubelet)
        if min(*self.size, *self.tubelet) < 1 or any(s % t for s, t in zip(self.size, self.tubelet, strict=True)):
            raise ValueError(
                f"a clip of size (T, H, W) = {self.size} cannot be cut into tubelets of {self.tubelet}: "
                "change num_frames or image_size to a multiple of tubelet_size and patch_size"
            )
        self.grid = tuple(s // t for s, t in zip(self.size, self.tubelet, strict=True))
        self.proj = nn.Conv3d(in_channels, dim, kernel_size=self.tubelet, stride=self.tubelet)

    def forward(self, video: Tensor, index: Tensor | None = None) -> Tensor:
        """Embed all tubelets of clips, or the chosen ones.

        Args:
            video: (B, C, T, H, W), any dtype; it is cast to that of the weights.
            index: (B, M) int64, the tokens wanted of each clip, in the order wanted; None for all N = T/t * H/h * W/w.

        Returns:
            Tokens (B, M, D), or (B, N, D) without ``index``.

        Raises:
            ValueError: When the clips have another size than the embedding was built for.
        """
        if tuple(video.shape[-3:]) != self.size:
            raise ValueError(f"expected clips of size (T, H, W) = {self.size}, found {tuple(video.shape[-3:])}")
        (time, rows, columns), (t, h, w) = self.grid, self.tubelet
        video = video.to(self.proj.weight.dtype)  # not while it is cut up, which takes four times as long
        cubes = video.reshape(len(video), -1, time, t, rows, h, columns, w).permute(0, 2, 4, 6, 1, 3, 5, 7)
        if index is None:
            cubes = cubes.flatten(1, 3)
        else:
            # Integer indices into the view read the chosen pixels alone, and keep shapes static for compilation and
            # for counting FLOPs on the meta device, which a boolean mask would not.
            clip = torch.arange(len(video), device=index.device).unsqueeze(1)
            cubes = cubes[clip, index // (rows * columns), index // columns % rows, index % columns]
        return F.linear(cubes.flatten(2), self.proj.weight.flatten(1), self.proj.bias)
