"""The eye of TalkNet: a residual network on each face, then convolutions over time."""

from collections.abc import Sequence

from torch import Tensor, nn

from models.masked_norm import GlobalNorm, MaskedBatchNorm

STRIDES = (1, 2, 2, 2)
NORM = {"momentum": 0.01, "eps": 1e-3}  # of the frontend, as published


class ResidualPair(nn.Module):
    """Two residual units, of which the second starts from the sum of the first before its norm.

    Args:
        width_in: Channels.
        width: Channels of the result.
        stride: Of the first unit.
    """

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = _unit(width_in, width, stride)
        self.shortcut = nn.Conv2d(width_in, width, 1, stride, bias=False)
        self.first_norm = MaskedBatchNorm(width, **NORM)
        self.second = _unit(width, width, 1)
        self.second_norm = MaskedBatchNorm(width, **NORM)
        self.stride = stride
        if stride == 1:  # published weights have it and never use it: no gradient, so nothing for DDP to wait for
            self.shortcut.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform x (N, C, h, w)."""
        between = self.first(x) + (x if self.stride == 1 else self.shortcut(x))
        return self.second_norm(self.second(self.first_norm(between).relu()) + between).relu()


class VisualFrontend(nn.Module):
    """Encode faces: a convolution over five frames, then four pairs of residual units on each frame.

    Stafylakis and Tzimiropoulos, "Combining residual networks with LSTMs for lipreading" (2017); TaoRuijie/TalkNet-ASD,
    whose convolution over time runs across the items of a batch: here none knows of another.

    Args:
        widths: Channels of the four pairs; those of the first convolution are the first.
    """

    def __init__(self, widths: Sequence[int] = (64, 128, 256, 512)) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, widths[0], (5, 7, 7), (1, 2, 2), (2, 3, 3), bias=False)
        self.norm = MaskedBatchNorm(widths[0], **NORM)
        self.pool = nn.MaxPool2d(3, 2, 1)
        pairs = zip((widths[0], *widths[:-1]), widths, STRIDES, strict=True)
        self.pairs = nn.Sequential(*(ResidualPair(*pair) for pair in pairs))
        self.maps = nn.Identity()  # maps over time (B, C, T, h, w), to be looked at from outside

    def forward(self, faces: Tensor, mask: Tensor | None = None) -> Tensor:
        """Encode faces.

        Args:
            faces: (B, 1, T, S, S) normalised, 0 where there is none; see `models.face_tracks.normalised_faces`.
            mask: (B, T) bool, False where there is no face; None: all are there.

        Returns:
            (B, T, C), 0 where there is no face.
        """
        maps = self.pairs(self.stem(faces, mask))
        if mask is None:
            maps = maps.unflatten(0, (len(faces), -1))
        else:
            maps = maps.new_zeros(*mask.shape, *maps.shape[1:]).index_put((mask,), maps)
        return self.maps(maps.transpose(1, 2)).mean((3, 4)).transpose(1, 2)

    def stem(self, faces: Tensor, mask: Tensor | None = None) -> Tensor:
        """Maps (N, C, S / 4, S / 4) of the N faces that are there, item by item."""
        x = self.conv(faces).transpose(1, 2)
        frames = x.flatten(0, 1) if mask is None else x[mask]
        return self.pool(self.norm(frames).relu())


class TemporalBlock(nn.Module):
    """Look at the neighbouring frames, channel by channel, and mix the channels; added to the input.

    Args:
        width: Channels C.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = MaskedBatchNorm(width)
        self.depthwise = nn.Conv1d(width, width, 3, padding=1, groups=width, bias=False)
        self.activation = nn.PReLU()
        self.global_norm = GlobalNorm(width)
        self.pointwise = nn.Conv1d(width, width, 1, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Transform x (B, C, T), of which mask (B, T) bool counts some times; what was 0 elsewhere stays so."""
        found = self.activation(self.depthwise(self.norm(x.relu(), mask)))
        return x + self.pointwise(self.global_norm(found, mask))


class VisualHead(nn.Module):
    """Narrow the channels, looking at five frames.

    Args:
        width_in: Channels.
        width: Channels between.
        width_out: Channels of the result.
    """

    def __init__(self, width_in: int, width: int, width_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width_in, width, 5, padding=2)
        self.norm = MaskedBatchNorm(width)
        self.project = nn.Conv1d(width, width_out, 1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map x (B, C, T), 0 where mask (B, T) bool does not count, to (B, C', T)."""
        return self.project(self.norm(self.conv(x), mask).relu())


class VisualEncoder(nn.Module):
    """Encode a track of faces as a token per frame.

    Args:
        widths: Channels of the frontend.
        blocks: Temporal blocks.
        head_width: Channels between these and the tokens.
        dim: Width D of tokens.
    """

    def __init__(self, widths: Sequence[int], blocks: int, head_width: int, dim: int) -> None:
        super().__init__()
        self.frontend = VisualFrontend(widths)
        self.temporal = nn.ModuleList(TemporalBlock(widths[-1]) for _ in range(blocks))
        self.head = VisualHead(widths[-1], head_width, dim)

    def forward(self, faces: Tensor, mask: Tensor | None = None) -> Tensor:
        """Encode faces (B, 1, T, S, S), normalised, where mask (B, T) bool says they are: (B, T, D)."""
        x = self.frontend(faces, mask).transpose(1, 2)
        for block in self.temporal:
            x = block(x, mask)
        return self.head(x, mask).transpose(1, 2)


def _unit(width_in: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False),
        MaskedBatchNorm(width, **NORM),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
    )
