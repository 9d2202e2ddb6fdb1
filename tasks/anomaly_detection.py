"""Weakly supervised anomaly detection on dumped features: trained on labels of videos, measured on those of frames."""

import logging
from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from metrics.alignment import frame_scores
from metrics.frame_anomaly import FrameAnomaly
from metrics.weighted_mean import WeightedMean
from models.anomaly_detector import AnomalyDetector
from tasks.evaluation import STAGES, ExactEvaluation
from tasks.explaining import Explainable
from tasks.optimization import optimizer_and_schedule
from tasks.row_evidence import explain_rows

log = logging.getLogger(__name__)


class AnomalyDetection(ExactEvaluation):
    """Train a detector to find anomalies in videos of which is known only whether they hold one.

    Sultani et al., "Real-world anomaly detection in surveillance videos" (2018): every step sees videos with and
    without an anomaly. What is minimised is up to the model: AR-Net's top-k cross-entropy (`models.mil.MIL`), RTFM's
    magnitudes (`models.rtfm.RTFM`). Every frame of a video gets the score of the rows that cover it
    (`metrics.alignment.frame_scores`).

    Logs ``train/loss``, the minimised sum, and its terms as ``train/loss_<term>``; in evaluation ``<stage>/loss``, the
    cross-entropy of what speaks for each video, and every number of `metrics.frame_anomaly.FrameAnomaly`:
    ``<stage>/auc``, ``<stage>/ap`` and so on.

    Args:
        model: The detector.
        optimizer: Makes the optimizer from parameter groups; None for a task that only evaluates.
        scheduler: Makes a schedule, stepped once per optimizer step, from the optimizer, ``total_steps`` and
            ``steps_per_epoch``.
        smoothing: In evaluation, rows over which scores are averaged, the row itself in the middle; 1 for none.

    Attributes:
        frame_anomaly: The metric of each stage, ``val`` and ``test``; after an evaluation its ``curves`` hold scores
            and labels of the frames of every video.

    Raises:
        ValueError: When ``smoothing`` is not an odd number.
    """

    needs = ("features", "mask", "label", "name", "index", "spans", "num_frames", "frame_label", "scene")

    def __init__(
        self,
        model: AnomalyDetector,
        optimizer: Callable[[list[dict]], Optimizer] | None = None,
        scheduler: Callable[..., object] | None = None,
        smoothing: Annotated[int, "smoothing >= 1 and smoothing % 2 == 1"] = 3,
    ) -> None:
        super().__init__()
        if smoothing < 1 or smoothing % 2 == 0:
            raise ValueError(f"smoothing: expected an odd number of rows, found {smoothing}")
        self.save_hyperparameters(ignore=["model", "optimizer", "scheduler"])
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.frame_anomaly = nn.ModuleDict({stage: FrameAnomaly() for stage in STAGES})
        self.mean_loss = nn.ModuleDict({stage: WeightedMean() for stage in STAGES})

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        require_both_kinds(batch["label"])
        output = self.model(batch["features"], batch["mask"])
        terms = self.model.loss(output, batch["label"], batch["mask"])
        loss, size = torch.stack(list(terms.values())).sum(), len(batch["label"])
        self.log_dict({f"train/loss_{name}": term for name, term in terms.items()}, batch_size=size)
        self.log("train/loss", loss, prog_bar=True, batch_size=size)
        return loss

    def evaluate(self, stage: str, batch: dict) -> None:
        mask, num_frames = batch["mask"], batch["num_frames"].tolist()
        output = self.model(batch["features"], mask)
        loss = self.mean_loss[stage]
        loss.update(batch["index"], *self.model.errors(output, batch["label"], mask))
        self.log(f"{stage}/loss", loss, on_epoch=True, batch_size=len(mask))
        scores = torch.cat(self.frame_scores(output, batch))
        labels = torch.cat([label[:frames] for label, frames in zip(batch["frame_label"], num_frames, strict=True)])
        self.frame_anomaly[stage].update(batch["index"], batch["num_frames"], scores, labels, batch["scene"])

    def predict_step(self, batch: dict, batch_idx: int) -> dict[str, Tensor]:
        """Score the frames of videos: float64 (N,) by the name of each."""
        output = self.model(batch["features"], batch["mask"])
        return dict(zip(batch["name"], self.frame_scores(output, batch), strict=True))

    def on_validation_epoch_end(self) -> None:
        self._log_frame_anomaly("val")

    def on_test_epoch_end(self) -> None:
        self._log_frame_anomaly("test")

    def explainables(self, batch: dict) -> list[Explainable]:
        """What is said of each video, to be explained; see `tasks.row_evidence`."""
        return explain_rows(self, batch)

    def configure_optimizers(self) -> Optimizer | dict:
        return optimizer_and_schedule(self)

    def frame_scores(self, output: dict[str, Tensor], batch: dict) -> list[Tensor]:
        """Scores (N,) of the frames of each video."""
        scores = []
        for video, frames in enumerate(batch["num_frames"].tolist()):
            there = batch["mask"][video]
            rows = centred_mean(output["logits"][video, there].sigmoid(), self.hparams.smoothing)
            scores.append(frame_scores(rows, frames, batch["spans"][video, there]))
        return scores

    def _log_frame_anomaly(self, stage: str) -> None:
        found = self.frame_anomaly[stage].compute()
        if "auc" not in found:
            log.warning("%s: the videos have frames of one kind only, so that there is no %s/auc", stage, stage)
        self.log_numbers(stage, found, shown="auc")


def require_both_kinds(label: Tensor) -> None:
    """Refuse a training batch without an anomalous or without a normal video; label (B,)."""
    kinds = {1: "with", 0: "without"}
    lacking = [text for kind, text in kinds.items() if not (label == kind).any()]
    if lacking:
        raise ValueError(
            f"a training batch holds no video {' and none '.join(lacking)} an anomaly: weak supervision takes both in "
            "every step; choose a split that has both in training (datamodule.split=weak)"
        )


def centred_mean(scores: Tensor, window: int) -> Tensor:
    """Average each score with its neighbours, fewer at the ends.

    Pu et al., "Learning prompt-enhanced context features for weakly-supervised video anomaly detection" (2024;
    yujiangpu20/PEL4VAD), with 3 rows on ShanghaiTech.

    Args:
        scores: (T,).
        window: Odd number of rows.

    Returns:
        (T,) float64 unless ``window`` is 1.
    """
    if window == 1:
        return scores
    mean = F.avg_pool1d(scores.double().view(1, 1, -1), window, 1, window // 2, count_include_pad=False)
    return mean.view(-1)
