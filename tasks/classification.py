"""Classification of videos: a pretrained encoder, or any network for clips, is fine-tuned or probed on labels."""

import logging
from collections.abc import Callable
from typing import Annotated, Any, Literal

import torch
from lightning import LightningDataModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from metrics.video_classes import Rule, VideoClasses
from metrics.weighted_mean import WeightedMean
from tasks.evaluation import STAGES, ExactEvaluation
from tasks.explaining import Explainable, explainable_clips
from tasks.mixing import Mixing, Mode
from tasks.optimization import optimizer_and_schedule
from tasks.trained_inputs import require_normalisation, warn_of_other_inputs

CLASSES = "classes"  # their names, in checkpoints
INPUTS = ("normalization",)  # options of the datamodule that a model must be fed with as it was trained

log = logging.getLogger(__name__)


class Classification(ExactEvaluation):
    """Train a network to tell the class of a clip, measure it on videos.

    Fine-tuning of VideoMAE (Tong et al., 2022; MCG-NJU/VideoMAE) and VideoMAE V2 (Wang et al., 2023;
    OpenGVLab/VideoMAEv2): cross-entropy with soft targets from mixup, CutMix and label smoothing; learning rates that
    fall towards the input; repeated augmentation is the datamodule's ``clips_per_video``. Logits enter the loss as they
    are; the softmax before it in sbasu276/FocusMAE is not repeated.

    In evaluation a video may be seen in several clips and crops, which are fused (``video_rule``).

    Logs ``train/loss``, the mean over the clips of all processes; in evaluation ``<stage>/loss``, the cross-entropy
    with the true classes as the mean over clips, and every number of `metrics.video_classes.VideoClasses`:
    ``<stage>/acc``, ``<stage>/balanced_acc``, ``<stage>/sensitivity``, ``<stage>/specificity``, ``<stage>/auc``.

    Args:
        model: Maps clips (B, 3, T, H, W) to logits (B, K).
        optimizer: Makes the optimizer from parameter groups; None for a task that only evaluates.
        scheduler: Makes a schedule, stepped once per optimizer step, from the optimizer, ``total_steps`` and
            ``steps_per_epoch``.
        num_classes: K.
        train: ``all`` of the model, or its last linear layer alone (``head``): a linear probe. The rest is then frozen
            and in evaluation mode, without dropout and with its statistics of batches.
        layer_decay: Factor by which learning rates fall from block to block towards the input
            (`tasks.parameter_groups.parameter_groups`); None for one rate.
        label_smoothing: Share of the target that is spread over all classes.
        mixup: Parameter of the beta distribution of mixup; 0 for none.
        cutmix: The same of CutMix; 0 for none.
        mix_switch: Probability of CutMix where both are there.
        mix_mode: What is mixed by one draw: the ``batch``, a ``pair`` of clips, or each clip (``elem``).
        video_rule: How a video is decided upon: ``mean_prob``, ``any`` or ``fraction``.
        rule_fraction: Share of the clips that must be positive for more than this under ``fraction``.
        positive: The positive one of two classes.
        seed: Seed of the mixing.

    Attributes:
        classes: Names of the classes, from the datamodule, or the checkpoint that was loaded; empty where neither
            knows them. Checkpoints keep them.

    Raises:
        ValueError: When an argument is out of its range, or the model has no linear layer to train as its head.
    """

    needs = ("video", "name", "index", "row", "rows", "view", "views", "frames", "class_id")

    def __init__(
        self,
        model: nn.Module,
        optimizer: Callable[[list[dict]], Optimizer] | None = None,
        scheduler: Callable[..., object] | None = None,
        num_classes: Annotated[int, "num_classes >= 2"] = 2,
        train: Literal["all", "head"] = "all",
        layer_decay: Annotated[float | None, "0 < layer_decay <= 1"] = None,
        label_smoothing: Annotated[float, "0 <= label_smoothing < 1"] = 0.0,
        mixup: Annotated[float, "mixup >= 0"] = 0.0,
        cutmix: Annotated[float, "cutmix >= 0"] = 0.0,
        mix_switch: Annotated[float, "0 <= mix_switch <= 1"] = 0.5,
        mix_mode: Mode = "batch",
        video_rule: Rule = "mean_prob",
        rule_fraction: Annotated[float, "0 <= rule_fraction < 1"] = 0.1,
        positive: Annotated[int, "0 <= positive <= 1"] = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if layer_decay is not None and not 0 < layer_decay <= 1:
            raise ValueError(f"layer_decay: expected a factor in (0, 1], or None for one rate, found {layer_decay}")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing: expected a share in [0, 1), found {label_smoothing}")
        if not 0 <= mix_switch <= 1:
            raise ValueError(f"mix_switch: expected a probability in [0, 1], found {mix_switch}")
        for name, parameter in {"mixup": mixup, "cutmix": cutmix}.items():
            if parameter < 0:
                raise ValueError(f"{name}: expected 0 (none) or more, found {parameter}")
        for name, value, possible in (
            ("train", train, ("all", "head")),
            ("mix_mode", mix_mode, ("batch", "pair", "elem")),
        ):
            if value not in possible:
                raise ValueError(f"{name}: expected one of {', '.join(possible)}, found {value!r}")
        self.save_hyperparameters(ignore=["model", "optimizer", "scheduler"])
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.mixing = Mixing(num_classes, mixup, cutmix, mix_switch, mix_mode, label_smoothing, seed)
        options = (num_classes, video_rule, rule_fraction, positive)
        self.video_classes = nn.ModuleDict({stage: VideoClasses(*options) for stage in STAGES})
        self.mean_loss = nn.ModuleDict({stage: WeightedMean() for stage in STAGES})
        if train == "head":
            model.requires_grad_(False)
            last_linear(model).requires_grad_(True)
        self.classes: tuple[str, ...] = ()
        self.train()  # Lightning trains modules in the modes that it finds them in

    def check_inputs(self, data: LightningDataModule | None) -> None:
        """Refuse pixels that are normalised otherwise than the model says; what no data is needed to see."""
        require_normalisation(data, self.model, "model")

    def setup(self, stage: str) -> None:
        """Take the names of the classes from the datamodule's ``classes``, where it knows them.

        Raises:
            ValueError: When they are more than the model knows, or pixels are not normalised as the model says.
        """
        data = getattr(self.trainer, "datamodule", None)
        self.check_inputs(data)
        classes = getattr(data, "classes", ())
        advice = f"the data has {len(classes)} classes; set model.num_classes={len(classes)}"
        if len(classes) > self.hparams.num_classes:
            raise ValueError(f"task.num_classes={self.hparams.num_classes}: {advice}")
        if stage == "fit" and 0 < len(classes) < self.hparams.num_classes:
            unless = "unless the head knows classes that these videos do not show"
            log.warning("task.num_classes=%d: %s, %s", self.hparams.num_classes, advice, unless)
        self.classes = tuple(classes)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the names of the classes, which a video file does not know."""
        checkpoint[CLASSES] = list(self.classes)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the names of the classes that the weights were trained on; name what was otherwise in their training."""
        super().on_load_checkpoint(checkpoint)
        warn_of_other_inputs(checkpoint, getattr(self._trainer, "datamodule", None), INPUTS, log)
        trained = tuple(checkpoint.get(CLASSES, ()))
        if trained and trained[: len(self.classes)] != self.classes:
            problem = "these weights were trained on %s, which is what they answer; give the data the same classes"
            log.warning(f"the data has the classes %s: {problem}", ", ".join(self.classes), ", ".join(trained))
        self.classes = trained or self.classes

    def train(self, mode: bool = True) -> "Classification":
        """Switch to training; a model of which the head alone is trained stays in evaluation mode."""
        super().train(mode)
        if self.hparams.train == "head":
            self.model.eval()
        return self

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        video, target = self.mixing(batch["video"], batch["class_id"], batch["index"], self.current_epoch)
        loss = soft_cross_entropy(self.logits(video), target)
        # every process has equally many clips, so that the mean over processes is that over clips
        self.log("train/loss", loss, prog_bar=True, sync_dist=True, batch_size=len(video))
        return loss

    def evaluate(self, stage: str, batch: dict) -> None:
        logits, label, index = self.logits(batch["video"]), batch["class_id"], batch["index"]
        losses, loss = F.cross_entropy(logits, label, reduction="none"), self.mean_loss[stage]
        loss.update(index, losses, torch.ones_like(losses))
        self.log(f"{stage}/loss", loss, on_epoch=True, batch_size=len(index))
        video = index // (batch["rows"] * batch["views"])
        self.video_classes[stage].update(index, video, logits.softmax(-1), label)

    def predict_step(self, batch: dict, batch_idx: int) -> dict:
        """Classify clips.

        Returns:
            ``name`` list[str], ``frames`` (B, T), ``row`` and ``view`` (B,), ``scores`` (B, K), and ``classes``,
            list[str], see `names`.
        """
        told = {key: batch[key] for key in ("name", "frames", "row", "view")}
        return told | {"scores": self.logits(batch["video"]).softmax(-1), CLASSES: self.names()}

    def explainables(self, batch: dict) -> list[Explainable]:
        """What is said of each clip, to be explained."""
        return explainable_clips(self.model, batch, self.names())

    def on_validation_epoch_end(self) -> None:
        self._log_video_classes("val")

    def on_test_epoch_end(self) -> None:
        self._log_video_classes("test")

    def configure_optimizers(self) -> Optimizer | dict:
        return optimizer_and_schedule(self, self.hparams.layer_decay)

    def names(self) -> list[str]:
        """A name of each of the K outputs, ``class <number>`` of one without; empty where no class has a name."""
        numbers = range(len(self.classes), self.hparams.num_classes if self.classes else 0)
        return [*self.classes, *(f"class {number}" for number in numbers)]

    def logits(self, video: Tensor) -> Tensor:
        """What the model makes of clips, (B, K) float32.

        Raises:
            ValueError: When the model has another number of outputs than there are classes.
        """
        logits = self.model(video)
        if logits.shape != (len(video), self.hparams.num_classes):
            expected = f"({len(video)}, {self.hparams.num_classes})"
            raise ValueError(
                f"{type(self.model).__name__}: expected logits of shape {expected}, found {tuple(logits.shape)}; "
                f"set model.num_classes={self.hparams.num_classes}"
            )
        return logits.float()

    def _log_video_classes(self, stage: str) -> None:
        found = self.video_classes[stage].compute()
        if "auc" not in found:
            log.warning("%s: the videos are of one class only, so that there is no %s/auc", stage, stage)
        for name, value in found.items():
            # Every process holds the same number already: the highest of them is it, to the last bit.
            self.log(f"{stage}/{name}", value, prog_bar=name == "acc", reduce_fx="max", sync_dist=True)


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over clips of the cross-entropy of logits (B, K) with targets (B, K) whose rows sum to 1."""
    return -(target * F.log_softmax(logits, dim=-1)).sum(-1).mean()


def last_linear(model: nn.Module) -> nn.Linear:
    """The last linear layer of a model, which makes logits of features.

    Raises:
        ValueError: When there is none.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise ValueError(f"train=head: {type(model).__name__} has no linear layer; found none to train as its head")
    return layers[-1]
