"""The residual blocks of 3D networks with factorised convolutions, and stages of them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.padded_clips import blank_

EXPANSION = 4  # of the channels within a bottleneck to those of its output


class Bottleneck(nn.Module):
    """Residual block of three convolutions: over time, over space, over channels alone.

    Args:
        channels: Channels of the input.
        width: Channels within the block; the output has four times as many.
        kernel: Frames that the first convolution spans, an odd number.
        stride: Of the second convolution, in space.
        dilation: Of the second convolution, in space.
    """

    def __init__(self, channels: int, width: int, kernel: int = 1, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        out = EXPANSION * width
        space = {"stride": (1, stride, stride), "padding": (0, dilation, dilation), "dilation": (1, dilation, dilation)}
        self.conv1 = nn.Conv3d(channels, width, (kernel, 1, 1), padding=(kernel // 2, 0, 0), bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, (1, 3, 3), bias=False, **space)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(out)
        self.downsample = None
        if stride > 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv3d(channels, out, 1, stride=(1, stride, stride), bias=False))
            self.downsample_bn = nn.BatchNorm3d(out)

    def forward(self, x: Tensor, outside: Tensor | None = None) -> Tensor:
        """Map features (B, C, T, h, w) to (B, 4 width, T, h / stride, w / stride), rounded up.

        Args:
            x: Features.
            outside: (B, 1, 1, h, w) bool, cells of ``x`` that others are to see as zeros; None for no cell.
        """
        shortcut = x if self.downsample is None else self.downsample_bn(self.downsample(x))
        x = blank_(self.bn1(self.conv1(x)), outside).relu_()
        x = self.bn2(self.conv2(x)).relu_()
        return (self.bn3(self.conv3(x)) + shortcut).relu_()


class Stage(nn.Sequential):
    """Bottlenecks of one resolution.

    Args:
        channels: Channels of the input.
        width: Channels within the blocks.
        kernels: Frames that the first convolution of each block spans.
        stride: Of the first block, in space.
        dilation: Of all blocks, in space.
        recompute: Whether the backward pass computes activations a second time instead of keeping them.
    """

    def __init__(
        self, channels: int, width: int, kernels: Sequence[int], stride: int, dilation: int, recompute: bool
    ) -> None:
        rest = [Bottleneck(EXPANSION * width, width, kernel, 1, dilation) for kernel in kernels[1:]]
        super().__init__(Bottleneck(channels, width, kernels[0], stride, dilation), *rest)
        self.recompute = recompute

    def forward(self, x: Tensor, before: Tensor | None = None, after: Tensor | None = None) -> Tensor:
        """Run features (B, C, T, h, w) through the blocks.

        Args:
            x: Features.
            before, after: As ``outside`` of a block, at the resolution of the input and of the output.
        """
        for i, block in enumerate(self):
            outside = after if i else before
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(block, x, outside, use_reentrant=False)
            else:
                x = block(x, outside)
        return x
