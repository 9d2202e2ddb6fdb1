"""The ear of TalkNet: a narrow residual network with squeeze and excitation over cepstra, four rows per frame."""

from collections.abc import Sequence

from torch import Tensor, nn

from models.masked_norm import MaskedBatchNorm, masked_mean, over_time

STRIDES = (1, 2, 2, 1)  # along frequency and time: four rows become one
SE_REDUCTION = 8


class SqueezeExcitation(nn.Module):
    """Weigh channels by what all of them are on average (Hu et al., 2018).

    Args:
        width: Channels C, at least 8.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(width, width // SE_REDUCTION)
        self.expand = nn.Linear(width // SE_REDUCTION, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Weigh the channels of x (B, C, F, T), whose mean is that of the columns mask (B, T) bool counts."""
        mean = masked_mean(x, mask, by_channel=True).flatten(1)
        weights = self.expand(self.reduce(mean).relu()).sigmoid()
        return x * weights[..., None, None]


class ResidualBlock(nn.Module):
    """Two convolutions with squeeze and excitation; after the first one the ReLU comes before the norm.

    Args:
        width_in: Channels.
        width: Channels of the result.
        stride: Along frequency and time.
        shortcut: Convolve the residual.
    """

    def __init__(self, width_in: int, width: int, stride: int, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.norm1 = MaskedBatchNorm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = MaskedBatchNorm(width)
        self.excitation = SqueezeExcitation(width)
        self.shortcut = nn.Conv2d(width_in, width, 1, stride, bias=False) if shortcut else None
        self.shortcut_norm = MaskedBatchNorm(width) if shortcut else None

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Transform x (B, C, F, T); mask is that of the result, (B, T') bool or None."""
        found = self.norm1(self.conv1(x).relu(), mask)
        found = self.excitation(self.norm2(self.conv2(found), mask), mask)
        if self.shortcut is not None:
            x = self.shortcut_norm(self.shortcut(x), mask)
        return (found + x).relu()


class AudioEncoder(nn.Module):
    """Encode cepstra, four rows per video frame, as a token per frame.

    TaoRuijie/TalkNet-ASD, after Chung et al., "In defence of metric learning for speaker recognition" (2020).

    Args:
        widths: Channels of the four stages, each at least 8.
        layers: Blocks of each.
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64, 128), layers: Sequence[int] = (3, 4, 6, 3)) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, widths[0], 7, stride=(2, 1), padding=3, bias=False)
        self.norm = MaskedBatchNorm(widths[0])
        self.stages = nn.ModuleList()
        before = widths[0]
        for stage, (width, depth, stride) in enumerate(zip(widths, layers, STRIDES, strict=True)):
            # As published the first block convolves the residual in all stages but the first, needed or not.
            blocks = [ResidualBlock(before, width, stride, shortcut=stage > 0)]
            blocks += [ResidualBlock(width, width, 1, shortcut=False) for _ in range(depth - 1)]
            self.stages.append(nn.ModuleList(blocks))
            before = width
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, cepstra: Tensor, mask: Tensor | None = None) -> Tensor:
        """Encode sound.

        Args:
            cepstra: (B, N, 13).
            mask: (B, N) bool, False behind the end of an item; None: all items are N rows long.

        Returns:
            (B, ceil(ceil(N / 2) / 2), C).
        """
        x = cepstra.transpose(1, 2).unsqueeze(1)  # (B, 1, frequency, time)
        if mask is not None:
            x = x.masked_fill(~over_time(mask, x), 0)
        x = self.norm(self.conv(x), mask).relu()
        for stage, stride in zip(self.stages, STRIDES, strict=True):
            mask = mask if mask is None else mask[:, ::stride]
            for block in stage:
                x = block(x, mask)
        return x.mean(2).transpose(1, 2)
