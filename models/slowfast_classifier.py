"""SlowFast as a classifier of clips: the means of both pathways over time and space, and a linear map."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor, nn

from models.saliency_spec import SaliencySpec

INIT_STD = 0.01  # of the classifier's weights in facebookresearch/SlowFast


class SlowFastClassifier(nn.Module):
    """Say what a clip shows.

    Feichtenhofer et al., "SlowFast networks for video recognition" (2019); facebookresearch/SlowFast. There, frames
    larger than those of the training are averaged over windows of the training's size; here each cell counts the same,
    so that the evidence of both pathways adds up to the logit for frames of any size.

    Args:
        backbone: Makes slow and fast features of clips (B, 3, T, H, W) and has ``widths``, ``streams``, ``mean`` and
            ``std``, as `models.slowfast.SlowFast` does. Published classifiers have ``last_stride`` 2 and
            ``last_dilation`` 1.
        num_frames: T, frames per clip; the datamodule takes it from here.
        image_size: Side of a frame in pixels, or ``(H, W)``; the datamodule takes it from here.
        num_classes: Classes K; 0 returns features instead of logits.
        head_dropout: Dropout before the classifier.

    Attributes:
        num_features: Channels F of the features, slow ones first.
        mean, std: Of the backbone; clips come normalised with them.

    Raises:
        ValueError: For numbers out of range.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_frames: Annotated[int, "num_frames >= 1"] = 32,
        image_size: Annotated[int | tuple[int, int], "image_size >= 1"] = 224,
        num_classes: Annotated[int, "num_classes >= 0"] = 400,
        head_dropout: Annotated[float, "0 <= head_dropout <= 1"] = 0.5,
    ) -> None:
        super().__init__()
        sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        for name, value, least in (
            ("num_frames", num_frames, 1),
            ("image_size", min(sides), 1),
            ("num_classes", num_classes, 0),
        ):
            if value < least:
                raise ValueError(f"{name}: expected a number >= {least}, found {value}")
        self.num_frames, self.image_size, self.num_classes = num_frames, sides, num_classes
        self.backbone, self.num_features = backbone, sum(backbone.widths)
        self.mean, self.std = backbone.mean, backbone.std
        if num_classes:
            classifier = nn.Linear(self.num_features, num_classes)
            nn.init.normal_(classifier.weight, std=INIT_STD)
            nn.init.zeros_(classifier.bias)
            self.head = nn.Sequential(OrderedDict(dropout=nn.Dropout(head_dropout), classifier=classifier))
        else:
            self.head = nn.Identity()

    def saliency_spec(self) -> SaliencySpec:
        """Say how this model can be explained: exactly, by the last stage of both pathways and the classifier."""
        return SaliencySpec(
            layers={path: f"backbone.{layer}" for path, layer in self.backbone.streams.items()},
            head="pooled_linear",
            classifier="head.classifier" if isinstance(self.head, nn.Sequential) else None,
        )

    def classify(self, volumes: Sequence[Tensor]) -> Tensor:
        """Make logits (B, K) of slow and fast features (B, widths[i], T', H', W'), of which T' may differ."""
        return self.head(torch.cat([volume.mean((2, 3, 4)) for volume in volumes], 1))

    def forward(self, video: Tensor) -> Tensor:
        """Classify clips (B, 3, T, H, W), normalised: logits (B, K), or the features where there are no classes."""
        return self.classify(self.backbone(video))
