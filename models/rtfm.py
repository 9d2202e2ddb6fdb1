"""RTFM: features of anomalies are made long, and the longest ones stand for a video."""

from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.anomaly_detector import AnomalyDetector
from models.anomaly_losses import logit_of_mean, magnitude_distance, roughness, sparsity, top_rows
from models.masked_norm import MaskedBatchNorm

DILATIONS = (1, 2, 4)
PARTS = len(DILATIONS) + 1  # and the non-local block
HEAD_WIDTHS = (512, 128)


class NonLocalBlock(nn.Module):
    """Add to every row a mean over all rows, weighted by their dot products.

    Wang et al., "Non-local neural networks" (2018), section 3.2, dot product; as in tianyu0207/RTFM. The block does
    nothing at first: the scale of its last norm begins at 0.

    Args:
        width: Channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(1, width // 2)
        self.theta, self.phi, self.g = (nn.Conv1d(width, inner, 1) for _ in range(3))
        self.project = nn.Conv1d(inner, width, 1)
        self.norm = MaskedBatchNorm(width)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Mix the rows of x (N, C, T) that mask (N, T) bool counts."""
        affinity = self.theta(x).transpose(1, 2) @ self.phi(x)  # (N, T, T)
        values = self.g(x) * mask.unsqueeze(1) / mask.sum(1).clamp(min=1).view(-1, 1, 1)
        return x + self.norm(self.project(values @ affinity.transpose(1, 2)), mask)


class TemporalNetwork(nn.Module):
    """Look at rows in their surroundings, near and far (Tian et al., 2021).

    Args:
        dim: C; each of the four parts has C / 4 channels, rounded down.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        width = max(1, dim // PARTS)
        self.near = nn.ModuleList(nn.Conv1d(dim, width, 3, padding=step, dilation=step) for step in DILATIONS)
        self.near_norms = nn.ModuleList(MaskedBatchNorm(width) for _ in DILATIONS)
        self.reduce = nn.Conv1d(dim, width, 1, bias=False)
        self.far = NonLocalBlock(width)
        self.fuse = nn.Conv1d(PARTS * width, dim, 3, padding=1, bias=False)
        self.fuse_norm = MaskedBatchNorm(dim)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Map features (N, T, C) to (N, T, C); rows that mask (N, T) bool does not count are as if not there."""
        x = (features * mask.unsqueeze(-1)).transpose(1, 2)
        near = [norm(conv(x).relu(), mask) for conv, norm in zip(self.near, self.near_norms, strict=True)]
        far = self.far(self.reduce(x).relu(), mask)
        fused = self.fuse_norm(self.fuse(torch.cat([*near, far], 1)).relu(), mask)
        return (x + fused).transpose(1, 2)


class RTFM(AnomalyDetector):
    """Learn features that are long where there is an anomaly, and scores on them.

    Tian et al., "Weakly-supervised video anomaly detection with robust temporal feature magnitude learning" (2021);
    tianyu0207/RTFM, whose losses differ from the paper's and are followed. There 32 segments of 10 crops with 2048
    channels are hard-wired; here sizes are free, and videos of different lengths do not touch each other.

    The T // 10 longest features of a video (at least one) stand for it; in training, lengths are dropped at random
    before, so that others get their turn. L = cross-entropy of the mean score of these rows + the distance of lengths
    + sparsity and roughness of the scores of anomalous videos.

    Args:
        dim: C, channels of a feature.
        dropout: Of the features, of both hidden layers of the head, and of the lengths.
        select_one_in: Of as many rows, one is taken; rounded down.
        margin: Length that features of anomalies are drawn to, those of others to 0.
        magnitude_weight: Of the distance of lengths.
        sparsity_weight: Of the norm of the scores.
        smoothness_weight: Of the squared differences of neighbouring scores.
        smooth_across_videos: As published, take the last row of a video and the first one of the next for neighbours.

    Raises:
        ValueError: For numbers out of range.
    """

    def __init__(
        self,
        dim: Annotated[int, "dim >= 1"] = 768,
        dropout: Annotated[float, "0 <= dropout < 1"] = 0.7,
        select_one_in: Annotated[int, "select_one_in >= 1"] = 10,
        margin: Annotated[float, "margin >= 0"] = 100.0,
        magnitude_weight: Annotated[float, "magnitude_weight >= 0"] = 1e-4,
        sparsity_weight: Annotated[float, "sparsity_weight >= 0"] = 8e-3,
        smoothness_weight: Annotated[float, "smoothness_weight >= 0"] = 8e-4,
        smooth_across_videos: bool = False,
    ) -> None:
        super().__init__(dim)
        if min(dim, select_one_in) < 1:
            raise ValueError(f"dim and select_one_in: expected whole numbers >= 1, found {dim} and {select_one_in}")
        weights = margin, magnitude_weight, sparsity_weight, smoothness_weight
        if min(weights) < 0:
            raise ValueError(f"margin and weights of the terms: expected numbers >= 0, found {weights}")
        self.select_one_in, self.margin, self.smooth_across_videos = select_one_in, margin, smooth_across_videos
        self.magnitude_weight, self.sparsity_weight = magnitude_weight, sparsity_weight
        self.smoothness_weight = smoothness_weight
        self.temporal = TemporalNetwork(dim)
        self.dropout = nn.Dropout(dropout)
        first, second = HEAD_WIDTHS
        self.head = nn.Sequential(
            *(nn.Linear(dim, first), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Linear(first, second), nn.ReLU(), nn.Dropout(dropout)),
            nn.Linear(second, 1),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)  # as published
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, features: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """See `AnomalyDetector.forward`; beside ``logits``, ``features`` (B, V, T, C) and ``magnitude`` (B, T)."""
        self.require_channels(features)
        videos, views = features.shape[:2]
        rows = self.temporal(features.flatten(0, 1), mask.repeat_interleave(views, 0))
        rows = self.dropout(rows).unflatten(0, (videos, views))
        magnitude = torch.linalg.vector_norm(rows.float(), dim=-1).mean(1)
        return {"logits": logit_of_mean(self.head(rows).squeeze(-1), dim=1), "features": rows, "magnitude": magnitude}

    def errors(self, output: dict[str, Tensor], label: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy (B, 1) of the mean score of the selected rows; every video counts."""
        return self._errors(output, label, self.standing(output, mask))

    def loss(self, output: dict[str, Tensor], label: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Terms ``bce``, ``magnitude``, ``sparsity`` and ``smoothness``; see `AnomalyDetector.loss`.

        Raises:
            ValueError: When the batch has not as many videos with as without an anomaly.
        """
        selected = self.standing(output, mask)
        errors, _ = self._errors(output, label, selected)
        chosen = selected[:, None, :, None]
        features = (output["features"].float() * chosen).sum(2) / chosen.sum(2)  # (B, V, C)
        pair = (features[label == kind] for kind in (1, 0))
        scores, rows = output["logits"].sigmoid()[label == 1], mask[label == 1]
        return {
            "bce": errors.mean(),
            "magnitude": self.magnitude_weight * magnitude_distance(*pair, self.margin),
            "sparsity": self.sparsity_weight * sparsity(scores, rows),
            "smoothness": self.smoothness_weight * roughness(scores, rows, self.smooth_across_videos),
        }

    def standing(self, output: dict[str, Tensor], mask: Tensor) -> Tensor:
        """The T // 10 longest rows of each video, at least one; see `AnomalyDetector.standing`."""
        return self.select(output["magnitude"], mask)

    def select(self, magnitude: Tensor, mask: Tensor) -> Tensor:
        """Choose the rows that stand for their video: magnitude (B, T), mask (B, T) bool; (B, T) bool."""
        count = (mask.sum(1) // self.select_one_in).clamp(min=1)
        return top_rows(F.dropout(magnitude, self.dropout.p, self.training), mask, count)

    @staticmethod
    def _errors(output: dict[str, Tensor], label: Tensor, selected: Tensor) -> tuple[Tensor, Tensor]:
        video = logit_of_mean(output["logits"], 1, selected).unsqueeze(1)
        errors = F.binary_cross_entropy_with_logits(video, label.to(video.dtype).unsqueeze(1), reduction="none")
        return errors, torch.ones_like(errors, dtype=torch.bool)
