"""Multiple-instance learning with one hidden layer: the detector of AR-Net."""

from typing import Annotated, Literal

from torch import Tensor, nn

from models.anomaly_detector import AnomalyDetector
from models.anomaly_losses import logit_of_mean, row_errors, score_variance, top_rows
from models.masked_norm import MaskedBatchNorm


class MIL(AnomalyDetector):
    """Score every row by itself; the highest scores of a video stand for it.

    AR-Net (Wan et al., "Weakly supervised video anomaly detection via center-guided discriminative learning", 2020;
    wanboyang/Anomaly_AR_Net_ICME_2020), with ``hidden`` = ``dim`` and ``norm`` = none: cross-entropy of the
    ceil(T / a) highest scores of each video, all of a batch in one mean, plus w times the variance of the scores of
    normal videos. Unlike there, filled up rows do not count in the variance.

    Args:
        dim: C, channels of a feature.
        hidden: Width of the hidden layer.
        norm: ``layer`` normalises every feature by itself; ``batch`` every channel by the rows of training, so that
            channels that vary little, as with a static camera, count as much as others; ``none``, as published.
        dropout: Of the hidden layer.
        top_one_in: a; of a rows of a video, one is taken for anomalous when the video is.
        variance_weight: w.

    Raises:
        ValueError: For an unknown ``norm``, or numbers out of range.
    """

    def __init__(
        self,
        dim: Annotated[int, "dim >= 1"] = 768,
        hidden: Annotated[int, "hidden >= 1"] = 512,
        norm: Literal["layer", "batch", "none"] = "layer",
        dropout: Annotated[float, "0 <= dropout < 1"] = 0.7,
        top_one_in: Annotated[int, "top_one_in >= 1"] = 4,
        variance_weight: Annotated[float, "variance_weight >= 0"] = 20.0,
    ) -> None:
        super().__init__(dim)
        if norm not in ("layer", "batch", "none"):
            raise ValueError(f"norm: expected 'layer', 'batch' or 'none', found {norm!r}")
        if min(dim, hidden, top_one_in) < 1:
            found = f"found {dim}, {hidden} and {top_one_in}"
            raise ValueError(f"dim, hidden and top_one_in: expected whole numbers >= 1, {found}")
        if variance_weight < 0:
            raise ValueError(f"variance_weight: expected a number >= 0, found {variance_weight}")
        self.top_one_in, self.variance_weight = top_one_in, variance_weight
        self.norm = nn.LayerNorm(dim) if norm == "layer" else nn.Identity()
        if norm == "batch":
            self.norm = MaskedBatchNorm(dim, momentum=None, affine=False)  # evaluation: the mean over all steps
        self.fc = nn.Linear(dim, hidden)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden, 1)
        for layer in (self.fc, self.classifier):
            nn.init.xavier_uniform_(layer.weight)  # as published
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """See `AnomalyDetector.forward`."""
        self.require_channels(features)
        rows = self.dropout(self.relu(self.fc(self._normalised(features, mask))))
        return {"logits": logit_of_mean(self.classifier(rows).squeeze(-1), dim=1)}

    def errors(self, output: dict[str, Tensor], label: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy (B, T) of all rows, and the ceil(T / a) rows of each video that count."""
        return row_errors(output["logits"], label), self.standing(output, mask)

    def standing(self, output: dict[str, Tensor], mask: Tensor) -> Tensor:
        """The ceil(T / a) rows of each video with the highest scores; see `AnomalyDetector.standing`."""
        return top_rows(output["logits"], mask, -(-mask.sum(1) // self.top_one_in))

    def loss(self, output: dict[str, Tensor], label: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Terms ``bce`` and ``variance``; see `AnomalyDetector.loss`."""
        errors, counted = self.errors(output, label, mask)
        variance = score_variance(output["logits"].sigmoid(), label, mask)
        return {"bce": errors[counted].mean(), "variance": self.variance_weight * variance}

    def _normalised(self, features: Tensor, mask: Tensor) -> Tensor:
        if not isinstance(self.norm, MaskedBatchNorm):
            return self.norm(features)
        videos, views = features.shape[:2]
        rows = self.norm(features.flatten(0, 1).transpose(1, 2), mask.repeat_interleave(views, 0))
        return rows.transpose(1, 2).unflatten(0, (videos, views))
