"""Toy models."""

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

Activation = Literal["relu", "gelu"]


class Autoencoder(nn.Module):
    """Squeeze and restore clips (B, 3, T, H, W), with dropout, so that the random stream matters.

    Args:
        num_frames: T.
        image_size: H and W.
        hidden: Width.
        activation: Between the layers.
        dropout: Probability.
    """

    def __init__(
        self,
        num_frames: int = 2,
        image_size: int = 4,
        hidden: Annotated[int, "hidden % 2 == 0"] = 8,
        activation: Activation = "relu",
        dropout: Annotated[float, "0 <= dropout < 1"] = 0.1,
    ) -> None:
        super().__init__()
        if hidden % 2:
            raise ValueError(f"hidden: expected an even number, found {hidden}")
        self.num_frames, self.image_size = num_frames, image_size
        size = 3 * num_frames * image_size**2
        self.encoder = nn.Sequential(nn.Linear(size, hidden), nn.ReLU() if activation == "relu" else nn.GELU())
        self.decoder = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, size))

    def forward(self, video: Tensor) -> Tensor:
        return self.decoder(self.encoder(video.flatten(1))).view_as(video)


class DeepAutoencoder(Autoencoder):
    """The same with one more layer, and a path that depends on the data, which the meta device cannot follow."""

    def __init__(self, extra: int = 4, **kwargs) -> None:
        super().__init__(**kwargs)
        self.middle = nn.Linear(extra, extra)

    def forward(self, video: Tensor) -> Tensor:
        if video.sum() > 0:
            return super().forward(video)
        return super().forward(-video)


class Classifier(nn.Module):
    """A model that the toy task cannot use."""

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.head = nn.Linear(1, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)


def wide_autoencoder(hidden: int = 16) -> Autoencoder:
    """Builder of a wider autoencoder."""
    return Autoencoder(hidden=hidden)


def ones() -> Tensor:
    """A function that builds no model."""
    return torch.ones(1)
