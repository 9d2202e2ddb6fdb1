"""MFNet: residual units whose convolutions see a group of channels each, a fiber, and mixers that let fibers talk."""

import math
from collections import OrderedDict
from typing import Annotated

from torch import Tensor, nn
from torch.nn import functional as F

from models.pixel_statistics import require_statistics
from models.saliency_spec import SaliencySpec

Size = tuple[int, int, int]
POINT: Size = (1, 1, 1)
STRIDES: tuple[Size, ...] = ((2, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2))  # of the stages, in time and space
SQUEEZE = 4  # channels of a unit, per channel between the convolutions of its mixer


class NormedConvolution(nn.Module):
    """Batch norm, ReLU and a convolution, in this order; what it is padded with, half the kernel, is zero."""

    def __init__(self, channels: int, width: int, kernel: Size = POINT, stride: Size = POINT, fibers: int = 1) -> None:
        super().__init__()
        padding = tuple(side // 2 for side in kernel)
        self.bn = nn.BatchNorm3d(channels)
        self.conv = nn.Conv3d(channels, width, kernel, stride, padding, groups=fibers, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, channels, T, h, w) to (B, width, T, h, w), the latter divided by the stride, rounded up."""
        return self.conv(F.relu(self.bn(x), inplace=True))


class FiberUnit(nn.Module):
    """Residual unit of two convolutions in fibers, behind a mixer of all channels with a shortcut of its own.

    The first unit of a stage has a convolution on its shortcut as well, and in place of its second one in fibers one
    over all channels.

    Args:
        channels: Of the input.
        width: Of the output and in between.
        fibers: Groups of channels that do not see each other.
        stride: Of the first convolution; None: this is not the first unit of a stage.
    """

    def __init__(self, channels: int, width: int, fibers: int, stride: Size | None = None) -> None:
        super().__init__()
        first, stride = stride is not None, stride or POINT
        self.conv_i1 = NormedConvolution(channels, width // SQUEEZE)
        self.conv_i2 = NormedConvolution(width // SQUEEZE, channels)
        self.conv_m1 = NormedConvolution(channels, width, (3, 3, 3), stride, fibers)
        self.conv_m2 = NormedConvolution(width, width, *([] if first else [(1, 3, 3), POINT, fibers]))
        self.conv_w1 = NormedConvolution(channels, width, stride=stride) if first else None

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, channels, T, h, w) to (B, width, T, h, w), the latter divided by the stride, rounded up."""
        mixed = x + self.conv_i2(self.conv_i1(x))
        shortcut = x if self.conv_w1 is None else self.conv_w1(x)
        return self.conv_m2(self.conv_m1(mixed)) + shortcut


class MFNet(nn.Module):
    """Multi-fiber network for clips, with the state-dict layout of its authors.

    Chen et al., "Multi-fiber networks for video recognition" (2018); cypw/PyTorch-MFNet. The defaults are the published
    network, 8.0 M parameters. It ends in the mean over time and space and a linear map, so that saliency tubes explain
    it exactly: it is the example of Stergiou et al. (2019). Initial weights are those of Glorot and Bengio (2010).

    Unlike there, clips may have any size; those of the training are 16 frames of 224 pixels.

    Args:
        num_frames: T, frames per clip; the datamodule takes it from here.
        image_size: Side of a frame in pixels, or ``(H, W)``; the datamodule takes it from here.
        num_classes: Classes K; 0 returns features instead of logits.
        width: Channels of the first stage; each further one has twice as many.
        fibers: Groups of channels in the convolutions of units.
        stem_width: Channels before the first stage.
        layers: Units of each stage.
        head_dropout: Dropout before the classifier.
        mean, std: Of red, green and blue in [0, 1]; clips come normalised with them. Nothing is computed from them
            here: who normalises takes them from here.

    Attributes:
        num_features: Channels F of the features.

    Raises:
        ValueError: For values outside these ranges.
    """

    def __init__(
        self,
        num_frames: Annotated[int, "num_frames >= 1"] = 16,
        image_size: Annotated[int | tuple[int, int], "image_size >= 1"] = 224,
        num_classes: Annotated[int, "num_classes >= 0"] = 400,
        width: Annotated[int, "width >= 4 and width % 4 == 0 and width % fibers == 0"] = 96,
        fibers: Annotated[int, "fibers >= 1"] = 16,
        stem_width: Annotated[int, "stem_width >= 1 and stem_width % fibers == 0"] = 16,
        layers: Annotated[tuple[int, int, int, int], "layers >= 1"] = (3, 4, 6, 3),
        head_dropout: Annotated[float, "0 <= head_dropout <= 1"] = 0.0,
        mean: Annotated[tuple[float, float, float], "0 <= mean <= 1"] = (0.48627451, 0.45882353, 0.40784314),
        std: Annotated[tuple[float, float, float], "std > 0"] = (0.23482447, 0.23482447, 0.23482447),
    ) -> None:
        super().__init__()
        sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        for name, value, least in (
            ("num_frames", num_frames, 1),
            ("image_size", min(sides), 1),
            ("num_classes", num_classes, 0),
            ("fibers", fibers, 1),
        ):
            if value < least:
                raise ValueError(f"{name}: expected a number >= {least}, found {value}")
        if len(layers) != len(STRIDES) or min(layers) < 1:
            raise ValueError(f"layers: expected {len(STRIDES)} numbers >= 1, found {list(layers)}")
        for name, value, divisor in (("width", width, math.lcm(SQUEEZE, fibers)), ("stem_width", stem_width, fibers)):
            if value < 1 or value % divisor:
                raise ValueError(f"{name}: expected a multiple of {divisor} for {fibers} fibers, found {value}")
        require_statistics(mean, std)
        self.num_frames, self.image_size = num_frames, sides
        self.mean, self.std = tuple(mean), tuple(std)

        stem = nn.Conv3d(3, stem_width, (3, 5, 5), (1, 2, 2), (1, 2, 2), bias=False)
        norm = nn.BatchNorm3d(stem_width)
        self.conv1 = nn.Sequential(OrderedDict(conv=stem, bn=norm, relu=nn.ReLU(inplace=True)))
        self.maxpool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        channels = stem_width
        for stage, (units, stride) in enumerate(zip(layers, STRIDES, strict=True)):
            self.add_module(f"conv{stage + 2}", _stage(channels, width << stage, fibers, units, stride))
            channels = width << stage
        self.tail = nn.Sequential(OrderedDict(bn=nn.BatchNorm3d(channels), relu=nn.ReLU(inplace=True)))
        self.num_features = channels
        self.head_drop = nn.Dropout(head_dropout)
        self.classifier = nn.Linear(channels, num_classes) if num_classes else nn.Identity()
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv3d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def saliency_spec(self) -> SaliencySpec:
        """Say how this model can be explained: exactly, by the last activation and the classifier."""
        classifier = "classifier" if isinstance(self.classifier, nn.Linear) else None
        return SaliencySpec(layers={"clip": "tail"}, head="pooled_linear", classifier=classifier)

    def forward_volume(self, video: Tensor) -> Tensor:
        """Compute the last activation, (B, F, T / 2, H / 32, W / 32) rounded up, of clips (B, 3, T, H, W)."""
        x = self.maxpool(self.conv1(video))
        for stage in range(len(STRIDES)):
            x = self.get_submodule(f"conv{stage + 2}")(x)
        return self.tail(x)

    def classify(self, volume: Tensor) -> Tensor:
        """Make logits (B, K) of a last activation (B, F, T', H', W'); without classes features (B, F), its means."""
        features = volume.mean((2, 3, 4))
        return self.classifier(self.head_drop(features)) if isinstance(self.classifier, nn.Linear) else features

    def forward(self, video: Tensor) -> Tensor:
        """Classify clips (B, 3, T, H, W), normalised: logits (B, K), or the features where there are no classes."""
        return self.classify(self.forward_volume(video))


def _stage(channels: int, width: int, fibers: int, units: int, stride: Size) -> nn.Sequential:
    first = FiberUnit(channels, width, fibers, stride)
    rest = [FiberUnit(width, width, fibers) for _ in range(units - 1)]
    return nn.Sequential(OrderedDict((f"B{number:02d}", unit) for number, unit in enumerate([first, *rest], 1)))
