"""Spatio-temporal action detection: what every person around a key frame does, where the persons are is given."""

import logging
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from lightning import LightningDataModule
from torch import Tensor, nn
from torch.optim import Optimizer

from metrics.ava import FrameMAP
from metrics.weighted_mean import WeightedMean
from models.action_detector import ActionDetector
from models.action_losses import action_losses, action_scores
from tasks.actor_evidence import explain_actors
from tasks.evaluation import STAGES, ExactEvaluation
from tasks.explaining import Explainable
from tasks.key_frames import KeyFrame, fuse_views
from tasks.mask_draws import MaskDraws, Masks
from tasks.optimization import optimizer_and_schedule
from tasks.step_mean import StepMean
from tasks.trained_inputs import require_normalisation

POSE = "pose"

log = logging.getLogger(__name__)


class ActionDetection(ExactEvaluation):
    """Train a detector on the actions of annotated persons, measure it on proposed ones.

    Gu et al., "AVA" (2018); the criterion of Siyu-C/ACAR-Net and CKK-coder/FBI-Learning: binary cross-entropy of a
    softmax over the classes of pose and of a sigmoid for the others. Every actor counts the same: the loss of a step is
    the mean over all actors of all processes and of all batches that are accumulated for it. A batch or a process
    without actors takes part with nothing.

    Logs ``train/loss``, that mean; in evaluation ``<stage>/loss``, the mean over the proposed persons that overlap an
    annotated one, and every number of `metrics.ava.FrameMAP`: ``<stage>/map``, ``<stage>/map_pose``,
    ``<stage>/ap_<class>``. What the views of a key frame say of a person is averaged before it becomes scores.

    Args:
        model: The detector.
        optimizer: Makes the optimizer from parameter groups; None for a task that only evaluates.
        scheduler: Makes a schedule, stepped once per optimizer step, from the optimizer, ``total_steps`` and
            ``steps_per_epoch``.
        pose_softmax: Softmax over the classes of pose; false: a sigmoid for every class.
        masks: Masks of evaluation, see `tasks.mask_draws.MaskDraws`.
        mask_draws: How many of them ``masks=average`` takes.
        cap: Rows of a key frame that are measured, see `metrics.ava.FrameMAP`.
        seed: Seed of the masks.

    Attributes:
        frame_map: The metric of each stage, from `setup` on.

    Raises:
        ValueError: When the model has another number of classes than the data.
    """

    needs = ("video", "size", "name", "second", "index", "view", "clip", "rois", "actor", "boxes", "targets", "truth")

    def __init__(
        self,
        model: ActionDetector,
        optimizer: Callable[[list[dict]], Optimizer] | None = None,
        scheduler: Callable[..., object] | None = None,
        pose_softmax: bool = True,
        masks: Masks = "seeded",
        mask_draws: Annotated[int, "mask_draws >= 1"] = 8,
        cap: Literal["official", "none"] = "official",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["model", "optimizer", "scheduler"])
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.mask_draws = MaskDraws(model.head, masks, mask_draws, seed)
        self.frame_map = nn.ModuleDict()  # the classes are known from `setup` on
        self.mean_loss = nn.ModuleDict({stage: WeightedMean() for stage in STAGES})
        self.num_pose = 0
        self._step = StepMean()  # over actors

    def check_inputs(self, data: LightningDataModule) -> None:
        """Refuse pixels that are normalised otherwise than the backbone says; what no data is needed to see."""
        require_normalisation(data, self.model.backbone, "model.backbone")

    def setup(self, stage: str) -> None:
        """Take the classes from the datamodule's ``classes``: id, name and group of each."""
        self.check_inputs(self.trainer.datamodule)
        classes = self.trainer.datamodule.classes
        if len(classes) != self.model.head.num_classes:
            raise ValueError(
                f"model.head.num_classes={self.model.head.num_classes}: the data has {len(classes)} classes; "
                f"set model.head.num_classes={len(classes)}"
            )
        if self.hparams.pose_softmax:
            self.num_pose = sum(group == POSE for _, _, group in classes)
            if any(group != POSE for _, _, group in classes[: self.num_pose]):
                raise ValueError("the classes of pose are not the first ones of the data: set task.pose_softmax=false")
        self.frame_map.update({stage: FrameMAP(classes, self.hparams.cap) for stage in STAGES})

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        output = self._forward(batch, self.mask_draws.of_training(batch, self.current_epoch))
        losses = action_losses(output["logits"], batch["targets"], self.num_pose)
        return self._step.add(self.trainer, losses.sum(), len(losses))

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Turn the gradient of the sum over all actors of the step into that of their mean."""
        loss = self._step.finish(self.trainer, optimizer)
        if loss is not None:
            self.log("train/loss", loss, prog_bar=True)

    def evaluate(self, stage: str, batch: dict) -> None:
        key_frames, metric = self.detect(batch), self.frame_map[stage]
        index = torch.tensor([each.index for each in key_frames])
        metric.update(
            index,
            [(each.boxes, self.scores(each.logits)) for each in key_frames],
            [(each.true_boxes, each.true_labels) for each in key_frames],
        )
        means, counts = zip(*(self._loss_of_found(metric, each) for each in key_frames), strict=True)
        self.mean_loss[stage].update(index, torch.tensor(means), torch.tensor(counts))
        self.log(f"{stage}/loss", self.mean_loss[stage], on_epoch=True, batch_size=len(key_frames))

    def on_validation_epoch_end(self) -> None:
        self._log_frame_map("val")

    def on_test_epoch_end(self) -> None:
        self._log_frame_map("test")

    def predict_step(self, batch: dict, batch_idx: int) -> list[dict]:
        """Say of each key frame of the batch ``name``, ``second``, ``boxes`` (R, 4) and ``scores`` (R, C)."""
        return [
            {"name": each.name, "second": each.second, "boxes": each.boxes, "scores": self.scores(each.logits)}
            for each in self.detect(batch)
        ]

    def detections(self, batch: dict) -> Tensor:
        """Probabilities (R, C) of the actors of an evaluation batch, every clip by itself."""
        return self.scores(self._forward(batch, self.mask_draws.of_evaluation(batch))["logits"])

    def detect(self, batch: dict) -> list[KeyFrame]:
        """Classify the actors of an evaluation batch, over all views of every key frame."""
        return fuse_views(batch, self._forward(batch, self.mask_draws.of_evaluation(batch))["logits"])

    def explainables(self, batch: dict) -> list[Explainable]:
        """What is said of each actor of each clip, to be explained; see `tasks.actor_evidence`."""
        return explain_actors(self, batch)

    def scores(self, logits: Tensor) -> Tensor:
        """Probabilities (R, C) of the logits (R, C) of actors."""
        return action_scores(logits, self.num_pose)

    def configure_optimizers(self) -> Optimizer | dict:
        return optimizer_and_schedule(self)

    def _forward(self, batch: dict, draws: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.model(batch["video"], batch["rois"], batch["clip"], batch["size"], **draws)

    def _loss_of_found(self, metric: FrameMAP, key_frame: KeyFrame) -> tuple[float, int]:
        """The mean loss of the actors that overlap an annotated person, by its labels, and how many they are."""
        found = torch.tensor(metric.match(key_frame.boxes, key_frame.true_boxes), dtype=torch.int64)
        right = found >= 0
        if not right.any():
            return 0.0, 0
        targets = key_frame.true_labels[found[right]].to(key_frame.logits.device)
        losses = action_losses(key_frame.logits[right.to(key_frame.logits.device)], targets, self.num_pose)
        return losses.mean().item(), int(right.sum())

    def _log_frame_map(self, stage: str) -> None:
        metric = self.frame_map[stage]
        found = metric.compute()
        if "map" not in found:
            log.warning("%s: there is no true box, and so no %s/map", stage, stage)
        self.log_numbers(stage, found, shown="map")
