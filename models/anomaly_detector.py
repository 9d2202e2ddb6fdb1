"""What all detectors of anomalies on features of snippets have in common."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class AnomalyDetector(nn.Module, ABC):
    """Score the rows of videos; train on what is known of whole videos.

    Args:
        dim: C, channels of a feature.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    @abstractmethod
    def forward(self, features: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Score every row.

        Args:
            features: (B, V, T, C), V views (crops) of T rows.
            mask: (B, T) bool, True = a row of the video. What is in the other rows changes nothing of these.

        Returns:
            ``logits`` (B, T) float32, of the mean score of the views, and what `loss` needs beside.

        Raises:
            ValueError: When the features have other than C channels.
        """

    @abstractmethod
    def errors(self, output: dict[str, Tensor], label: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of what speaks for a video, to be averaged over any number of videos.

        Args:
            output: Of `forward`.
            label: (B,), 1 = holds an anomaly.
            mask: (B, T) bool.

        Returns:
            (B, K) errors and (B, K) bool, which of them count.
        """

    def standing(self, output: dict[str, Tensor], mask: Tensor) -> Tensor:
        """Choose the rows that stand for their video, (B, T) bool: all, unless a detector has a rule of its own.

        How a video's evidence is spread over time follows from it: `models.saliency.exact.chosen_rows`. Arguments are
        those of `errors`.
        """
        return mask

    @abstractmethod
    def loss(self, output: dict[str, Tensor], label: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Terms of the loss of a batch by name, weighted, so that their sum is minimised; arguments as of `errors`."""

    def require_channels(self, features: Tensor) -> None:
        """Refuse features (..., C) of another number of channels."""
        if features.shape[-1] != self.dim:
            raise ValueError(
                f"model.dim={self.dim}: the features have {features.shape[-1]} channels; set "
                f"model.dim={features.shape[-1]}"
            )
