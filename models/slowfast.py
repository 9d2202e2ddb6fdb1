"""SlowFast: a slow pathway that sees few frames with many channels, a fast one that sees all frames with few."""

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.bottlenecks import EXPANSION, Bottleneck, Stage
from models.padded_clips import blank_, cells_outside
from models.pixel_statistics import require_statistics

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}
STAGES = 4
STEM_STRIDE = 2  # of the convolution, and again of the pooling
STRIDES = (1, 2, 2)  # of the stages but the last, in space
FUSED = 2  # channels of a lateral connection, per channel of the fast pathway


class SlowFast(nn.Module):
    """SlowFast network for boxes or, with another last stage, for whole clips.

    Feichtenhofer et al., "SlowFast networks for video recognition" (2019), section 3, and 5 for detection: there the
    last stage is dilated instead of strided, and a cell stays 16 pixels wide. Classifiers have ``last_stride`` 2 and
    ``last_dilation`` 1. Parameters have the names of Siyu-C/ACAR-Net and CKK-coder/FBI-Learning;
    ``models/slowfast_checkpoints.py`` knows the others. Initial weights are those of facebookresearch/SlowFast: He et
    al. (2015), and 0 for the last norm of a block.

    What weights cannot tell belongs to them nevertheless: ``slow_sampling``, ``last_stride``, ``last_dilation``,
    ``mean`` and ``std`` must be those of their training. One node of the config holds them all.

    Args:
        depth: Layers of the residual network: 50, 101, 152 or 200.
        base_width: Channels of the slow stem; all others are multiples of it.
        alpha: Frames of the fast pathway per frame of the slow one.
        beta_inv: Channels of the slow pathway per channel of the fast one.
        fusion: Lateral connections, fast to slow: a convolution alone (``conv``) or with batch norm and ReLU.
        fusion_kernel: Frames that a lateral connection spans.
        slow_sampling: Frames of the slow pathway: ``strided``, every alpha-th from the first on; ``linspace``, evenly
            from the first to the last, rounded down.
        slow_kernels, fast_kernels: Frames that the stem and the first convolution of blocks span, for the stem and
            each stage.
        temporal_blocks: Blocks at the beginning of each stage that span more than a frame; None for all. R101_50_50 of
            facebookresearch/SlowFast has (3, 4, 6, 3).
        last_stride, last_dilation: Of the last stage, in space.
        layers: Blocks of each stage, instead of those of ``depth``.
        frozen_norm: Leave means and variances of batch norms as they are, in training as well; their weights and
            biases are trained nevertheless.
        mean, std: Of red, green and blue in [0, 1]; clips come normalised with them. Nothing is computed from them
            here: who normalises takes them from here.
        activation_checkpointing: Recompute activations in the backward pass to save memory.
        channels_last: Keep the channels of a pixel together in memory.

    Attributes:
        widths: Channels of the slow and of the fast features.
        strides: Of the stages, in space.
        stride: Pixels per cell of the features.
        streams: Layer that each of the features comes from, by the name of its pathway.

    Raises:
        ValueError: For values outside these ranges.
    """

    streams = MappingProxyType({path: f"{path}_res{STAGES}" for path in ("slow", "fast")})

    def __init__(
        self,
        depth: Literal[50, 101, 152, 200] = 50,
        base_width: Annotated[int, "base_width >= 1 and base_width % beta_inv == 0"] = 64,
        alpha: Annotated[int, "alpha >= 1"] = 4,
        beta_inv: Annotated[int, "beta_inv >= 1"] = 8,
        fusion: Literal["conv", "conv_norm"] = "conv",
        fusion_kernel: Annotated[int, "fusion_kernel >= 1 and fusion_kernel % 2 == 1"] = 5,
        slow_sampling: Literal["strided", "linspace"] = "strided",
        slow_kernels: Annotated[tuple[int, int, int, int, int], "slow_kernels >= 1 and slow_kernels % 2 == 1"] = (
            1,
            1,
            1,
            3,
            3,
        ),
        fast_kernels: Annotated[tuple[int, int, int, int, int], "fast_kernels >= 1 and fast_kernels % 2 == 1"] = (
            5,
            3,
            3,
            3,
            3,
        ),
        temporal_blocks: Annotated[tuple[int, int, int, int] | None, "temporal_blocks >= 0"] = None,
        last_stride: Literal[1, 2] = 1,
        last_dilation: Annotated[int, "last_dilation >= 1"] = 2,
        layers: Annotated[tuple[int, int, int, int] | None, "layers >= 1"] = None,
        frozen_norm: bool = True,
        mean: Annotated[tuple[float, float, float], "0 <= mean <= 1"] = (0.45, 0.45, 0.45),
        std: Annotated[tuple[float, float, float], "std > 0"] = (0.225, 0.225, 0.225),
        activation_checkpointing: Annotated[bool, "frozen_norm or not activation_checkpointing"] = False,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        layers = BLOCKS.get(depth) if layers is None else tuple(layers)
        if layers is None:
            raise ValueError(f"depth: expected one of {', '.join(map(str, BLOCKS))}, found {depth}")
        temporal_blocks = layers if temporal_blocks is None else tuple(temporal_blocks)
        _check_numbers(1, STAGES, layers=layers)
        _check_numbers(0, STAGES, temporal_blocks=temporal_blocks)
        _check_numbers(1, 1, base_width=base_width, alpha=alpha, beta_inv=beta_inv, last_dilation=last_dilation)
        _check_numbers(1, STAGES + 1, odd=True, slow_kernels=slow_kernels, fast_kernels=fast_kernels)
        _check_numbers(1, 1, odd=True, fusion_kernel=fusion_kernel)
        require_statistics(mean, std)
        if base_width % beta_inv:
            raise ValueError(f"base_width: expected a multiple of beta_inv={beta_inv}, found {base_width}")
        if fusion not in ("conv", "conv_norm"):
            raise ValueError(f"fusion: expected 'conv' or 'conv_norm', found {fusion!r}")
        if slow_sampling not in ("strided", "linspace"):
            raise ValueError(f"slow_sampling: expected 'strided' or 'linspace', found {slow_sampling!r}")
        if last_stride not in (1, 2):
            raise ValueError(f"last_stride: expected 1 or 2, found {last_stride!r}")
        if activation_checkpointing and not frozen_norm:
            raise ValueError("activation_checkpointing: needs frozen_norm, other batch norms would count clips twice")
        self.alpha, self.slow_sampling = alpha, slow_sampling
        self.last_stride, self.last_dilation = last_stride, last_dilation
        self.strides = (*STRIDES, last_stride)
        self.stride = STEM_STRIDE**2 * math.prod(self.strides)
        self.mean, self.std = tuple(mean), tuple(std)
        self.frozen_norm, self.channels_last = frozen_norm, channels_last

        slow, fast = base_width, base_width // beta_inv
        self.slow_conv1, self.slow_bn1 = _stem(slow, slow_kernels[0]), nn.BatchNorm3d(slow)
        self.fast_conv1, self.fast_bn1 = _stem(fast, fast_kernels[0]), nn.BatchNorm3d(fast)
        for stage, (blocks, temporal, stride) in enumerate(zip(layers, temporal_blocks, self.strides, strict=True)):
            dilation = last_dilation if stage == STAGES - 1 else 1
            lateral = _lateral(fast, fusion_kernel, alpha, fusion == "conv_norm")
            self.add_module(f"Tconv{stage + 1}", lateral)
            for path, channels, kernels in (("slow", slow + FUSED * fast, slow_kernels), ("fast", fast, fast_kernels)):
                width = (base_width if path == "slow" else base_width // beta_inv) << stage
                spans = [kernels[stage + 1] if block < temporal else 1 for block in range(blocks)]
                part = Stage(channels, width, spans, stride, dilation, activation_checkpointing)
                self.add_module(f"{path}_res{stage + 1}", part)
            slow, fast = (EXPANSION * width << stage for width in (base_width, base_width // beta_inv))
        self.widths = (slow, fast)
        self._initialise()
        if channels_last:
            self.to(memory_format=torch.channels_last_3d)
        self.train()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)

    def train(self, mode: bool = True) -> "SlowFast":
        """Set the mode of all parts; frozen batch norms stay in evaluation."""
        super().train(mode)
        for module in self.modules():
            if self.frozen_norm and isinstance(module, nn.BatchNorm3d):
                module.eval()
        return self

    def slow_frames(self, num_frames: int) -> list[int]:
        """Which of ``num_frames`` frames the slow pathway sees.

        Raises:
            ValueError: When they are to be sampled evenly, but alpha does not divide their number.
        """
        if self.slow_sampling == "strided":
            return list(range(0, num_frames, self.alpha))
        count, rest = divmod(num_frames, self.alpha)
        if rest:
            raise ValueError(f"slow_sampling='linspace' with alpha={self.alpha} cannot sample {num_frames} frames")
        return [i * (num_frames - 1) // max(1, count - 1) for i in range(count)]

    def forward(self, video: Tensor, size: Tensor | None = None) -> list[Tensor]:
        """Compute the features of clips.

        Args:
            video: (B, 3, T, H, W) float, normalised.
            size: (B, 2) int64, height and width of each clip in pixels, of which what lies beyond is no part: features
                there are 0 and, with frozen batch norms, those within are what they are for the clip alone. None: all
                of ``video`` is seen, as in the published training.

        Returns:
            Slow features (B, widths[0], T / alpha, h, w) and fast features (B, widths[1], T, h, w) with h = H / stride,
            w = W / stride; all rounded up.
        """
        stride, padded = STEM_STRIDE, tuple(video.shape[-2:])
        if size is not None:
            video = video.masked_fill(cells_outside(size, 1, padded), 0)
        if self.channels_last:
            video = video.contiguous(memory_format=torch.channels_last_3d)
        after = cells_outside(size, stride, padded)
        slow = _pool(blank_(self.slow_bn1(self.slow_conv1(video[:, :, self.slow_frames(video.shape[2])])), after))
        fast = _pool(blank_(self.fast_bn1(self.fast_conv1(video)), after))
        stride *= STEM_STRIDE
        after = cells_outside(size, stride, padded)
        for stage in range(STAGES):
            lateral, *parts = (self.get_submodule(f"{name}{stage + 1}") for name in ("Tconv", "slow_res", "fast_res"))
            stride *= self.strides[stage]
            before, after = after, cells_outside(size, stride, padded)
            joined = torch.cat([slow, lateral(fast)], 1)
            slow, fast = (part(x, before, after) for part, x in zip(parts, (joined, fast), strict=True))
        return [x if after is None else x.masked_fill(after, 0) for x in (slow, fast)]


def _pool(x: Tensor) -> Tensor:
    return F.max_pool3d(x.relu_(), (1, 3, 3), (1, 2, 2), (0, 1, 1))


def _stem(width: int, kernel: int) -> nn.Conv3d:
    return nn.Conv3d(3, width, (kernel, 7, 7), (1, 2, 2), (kernel // 2, 3, 3), bias=False)


def _lateral(channels: int, kernel: int, alpha: int, with_norm: bool) -> nn.Module:
    fused = FUSED * channels
    conv = nn.Conv3d(channels, fused, (kernel, 1, 1), (alpha, 1, 1), (kernel // 2, 0, 0), bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(fused), nn.ReLU(inplace=True)) if with_norm else conv


def _check_numbers(least: int, length: int, odd: bool = False, **values: int | Sequence[int]) -> None:
    """Refuse what is not ``length`` integers of at least ``least``."""
    for name, value in values.items():
        numbers = [value] if isinstance(value, int) else list(value)
        if len(numbers) != length or any(number < least or (odd and number % 2 == 0) for number in numbers):
            kind = "odd number" if odd else "number"
            found = value if isinstance(value, int) else numbers
            raise ValueError(f"{name}: expected {length} {kind}{'s' * (length > 1)} of at least {least}, found {found}")
