"""Active speaker detection: whether a face speaks, in every frame of its track, by what is seen and what is heard."""

import logging
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer

from metrics.asd import STREAMS, SpeakerScores
from metrics.weighted_mean import WeightedMean
from models.asd_losses import CLASSES, UNKNOWN, ScoreKind, frame_losses, speaking_scores, track_losses
from models.light_losses import at_temperature, temperature_at
from tasks.evaluation import STAGES, ExactEvaluation
from tasks.explaining import Explainable
from tasks.face_evidence import explain_faces
from tasks.optimization import optimizer_and_schedule
from tasks.step_mean import StepMean
from tasks.track_durations import scores_by_durations
from tasks.trained_inputs import warn_of_other_inputs

INPUTS = ("crop", "audio_level", "hop")  # options of the datamodule that a model must be fed with as it was trained
THRESHOLDS = {"margin": 0.0, "probability": 0.5, "class1": 0.0}  # above which a face is said to speak

log = logging.getLogger(__name__)


class ActiveSpeaker(ExactEvaluation):
    """Train a detector of active speakers on face tracks and the sound under them.

    Tao et al., "Is someone speaking?" (2021): L = L_av + w_a L_a + w_v L_v, a cross-entropy each. What counts are the
    frames in which a face is visible and of which it is known whether it speaks: the loss of a step is the mean over
    all of them, on all processes and in all batches that are accumulated for it. A batch or a process without any
    takes part with nothing.

    With ``voice_weight`` frames without a face train the audio stream alone, on whether somebody is heard, and count by
    that weight.

    Logs ``train/loss``, that mean; in evaluation ``<stage>/loss``, the same of the split, and every number of
    `metrics.asd.SpeakerScores`: ``<stage>/ap``, ``<stage>/map50``, ``<stage>/accuracy``, ``<stage>/ap_audio``, ...

    Args:
        model: Maps faces and sound to ``logits``, ``video_logits`` and, where it has them, ``audio_logits``.
        optimizer: Makes the optimizer from parameter groups; None for a task that only evaluates.
        scheduler: Makes a schedule, stepped once per optimizer step, from the optimizer, ``total_steps`` and
            ``steps_per_epoch``.
        audio_weight: w_a.
        video_weight: w_v.
        class_weights: Of frames of not speaking and of speaking; None: both 1. The Ego4D baseline has 1 and 4.
        loss_on_interpolated: Whether frames count whose box was filled in between annotated ones.
        voice_weight: Of frames without a face.
        temperature: By which logits are divided in the loss of training, in the first epoch (Light-ASD: 1.3).
        cooling: By how much it falls with every epoch (Light-ASD: 0.02).
        rope_warmup_epochs: Epochs over which the rotary positions of the model grow from nothing to what they are, for
            weights that were trained without; see ``rope_scale`` of the model.
        without: A stream that is left out, in training and evaluation: the baseline of one stream alone.
        score: What faces are scored by, see `models.asd_losses.speaking_scores`.
        durations: Seconds of the pieces in which tracks are scored, once for each, in a test, a prediction, and a
            validation that is no part of a training; None: whole. TalkNet's program has 1 to 6.
        duration_weights: Of the scores of each duration; TalkNet's program means 3, 3, 2, 1, 1, 1.

    Attributes:
        speaker_scores: The metric of each stage.
        rope_scale: By how much the positions count so far, kept in checkpoints.

    Raises:
        ValueError: For an unknown ``without`` or ``score``, or ``rope_warmup_epochs`` of a model without positions.
    """

    needs = (
        "faces",
        "audio",
        "target",
        "voice",
        "valid",
        "annotated",
        "length",
        "frames",
        "seconds",
        "boxes",
        "width",
        "frame_size",
        "faces_in_frame",
        "scene",
        "name",
        "entity",
        "index",
        "fps",
    )

    def __init__(
        self,
        model: nn.Module,
        optimizer: Callable[[list[dict]], Optimizer] | None = None,
        scheduler: Callable[..., object] | None = None,
        audio_weight: Annotated[float, "audio_weight >= 0"] = 0.4,
        video_weight: Annotated[float, "video_weight >= 0"] = 0.4,
        class_weights: Annotated[Sequence[float] | None, "class_weights is None or class_weights > 0"] = None,
        loss_on_interpolated: bool = True,
        voice_weight: Annotated[float, "voice_weight >= 0"] = 0.0,
        temperature: Annotated[float, "temperature > 0"] = 1.0,
        cooling: Annotated[float, "cooling >= 0"] = 0.0,
        rope_warmup_epochs: Annotated[int, "rope_warmup_epochs >= 0"] = 0,
        without: Literal["audio", "video"] | None = None,
        score: ScoreKind = "margin",
        durations: Annotated[Sequence[float] | None, "durations is None or durations > 0"] = None,
        duration_weights: Annotated[Sequence[float] | None, "duration_weights is None or duration_weights >= 0"] = None,
    ) -> None:
        super().__init__()
        least_zero = {"audio_weight": audio_weight, "video_weight": video_weight, "voice_weight": voice_weight}
        least_zero |= {"cooling": cooling, "rope_warmup_epochs": rope_warmup_epochs}
        for name, value in least_zero.items():
            if value < 0:
                raise ValueError(f"task.{name}: expected 0 or more, found {value}")
        if temperature <= 0:
            raise ValueError(f"task.temperature: expected more than 0, found {temperature}")
        if class_weights is not None and (len(class_weights) != CLASSES or min(class_weights) <= 0):
            raise ValueError(f"task.class_weights: expected two numbers above 0, found {list(class_weights)}")
        if without not in (None, *STREAMS):
            raise ValueError(f"task.without: expected null, audio or video, found {without!r}")
        if score not in THRESHOLDS:
            raise ValueError(f"task.score: expected one of {', '.join(THRESHOLDS)}, found {score!r}")
        if rope_warmup_epochs and not hasattr(model, "rope_scale"):
            problem = f"{type(model).__name__} has no positions to warm up; set it to 0"
            raise ValueError(f"task.rope_warmup_epochs={rope_warmup_epochs}: {problem}")
        if durations is not None and (not durations or min(durations) <= 0):
            raise ValueError(f"task.durations: expected seconds above 0, found {list(durations)}")
        if len(duration_weights or ()) != len(durations or ()) or min(duration_weights or (0,)) < 0:
            expected = f"{len(durations or ())} numbers from 0 on, one for each of task.durations"
            raise ValueError(f"task.duration_weights: expected {expected}, found {list(duration_weights or ())}")
        self.save_hyperparameters(ignore=["model", "optimizer", "scheduler"])
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.speaker_scores = nn.ModuleDict({stage: SpeakerScores(THRESHOLDS[score]) for stage in STAGES})
        self.mean_loss = nn.ModuleDict({stage: WeightedMean() for stage in STAGES})
        self.register_buffer("rope_scale", torch.tensor(1.0))
        self.register_load_state_dict_post_hook(lambda task, _: task._turn(float(task.rope_scale)))
        self._step = StepMean()  # over frames

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Warn when faces and sound are made otherwise than those that the weights were trained on."""
        super().on_load_checkpoint(checkpoint)
        warn_of_other_inputs(checkpoint, getattr(self._trainer, "datamodule", None), INPUTS, log)

    def on_train_epoch_start(self) -> None:
        """Let the positions count for more than in the epoch before."""
        warmup = self.hparams.rope_warmup_epochs
        self._turn(min(1.0, self.current_epoch / warmup) if warmup else 1.0)

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        temperature = temperature_at(self.current_epoch, self.hparams.temperature, self.hparams.cooling)
        losses, weights = self.frame_losses(batch, at_temperature(self._forward(batch), temperature))
        return self._step.add(self.trainer, losses.sum(), weights.sum())

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Turn the gradient of the sum over all frames of the step into that of their mean."""
        loss = self._step.finish(self.trainer, optimizer)
        if loss is not None:
            self.log("train/loss", loss, prog_bar=True)

    def evaluate(self, stage: str, batch: dict) -> None:
        output, index = self._forward(batch), batch["index"]
        streams = {stream: output.get(f"{stream}_logits") for stream in STREAMS}
        streams = {stream: self.scores(logits) for stream, logits in streams.items() if logits is not None}
        self.speaker_scores[stage].update(batch, self._track_scores(batch, output), **streams)
        losses, weights = self.frame_losses(batch, output)
        self.mean_loss[stage].update(index, losses / weights.clamp(min=torch.finfo(weights.dtype).tiny), weights)
        self.log(f"{stage}/loss", self.mean_loss[stage], on_epoch=True, batch_size=len(index))

    def on_validation_epoch_end(self) -> None:
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        self._log_scores("test")

    def predict_step(self, batch: dict, batch_idx: int) -> list[dict]:
        """Score the faces of each row of the batch, where there are any.

        Returns:
            For each row ``name``, ``entity``, and of its N frames with a face ``frames``, ``seconds``, ``boxes`` (N, 4)
            and ``score`` (N,).
        """
        score, valid = self._track_scores(batch), batch["valid"]
        columns = {"frames": batch["frames"], "seconds": batch["seconds"], "boxes": batch["boxes"], "score": score}
        return [
            {"name": batch["name"][row], "entity": batch["entity"][row]}
            | {key: each[row][valid[row].to(each.device)] for key, each in columns.items()}
            for row in range(len(valid))
        ]

    def explainables(self, batch: dict) -> list[Explainable]:
        """What is said of each face track, to be explained; see `tasks.face_evidence`."""
        return explain_faces(self, batch)

    def frame_losses(self, batch: dict, output: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Weighted losses and weights (B, T) of the frames of a batch, both 0 where a frame does not count."""
        hparams = self.hparams
        counted = batch["valid"] if hparams.loss_on_interpolated else batch["annotated"]
        target = batch["target"].masked_fill(~counted, UNKNOWN)
        weights_of_streams = hparams.audio_weight, hparams.video_weight
        losses, weights = track_losses(output, target, *weights_of_streams, hparams.class_weights)
        if hparams.voice_weight:
            if "audio_logits" not in output:
                problem = f"{type(self.model).__name__} does not say what is heard; set it to 0"
                raise ValueError(f"task.voice_weight={hparams.voice_weight:g}: {problem}")
            voices = frame_losses(output["audio_logits"], batch["voice"].masked_fill(batch["valid"], UNKNOWN))
            losses, weights = losses + hparams.voice_weight * voices[0], weights + hparams.voice_weight * voices[1]
        return losses, weights

    def scores(self, logits: Tensor) -> Tensor:
        """How much faces speak, (B, T), by their logits (B, T, 2)."""
        return speaking_scores(logits, self.hparams.score)

    def configure_optimizers(self) -> Optimizer | dict:
        return optimizer_and_schedule(self)

    def _track_scores(self, batch: dict, output: dict[str, Tensor] | None = None) -> Tensor:
        """Scores (B, T) as a test and a prediction give them; ``output`` of whole tracks, where it is there."""
        if self.hparams.durations is None or self.trainer.state.fn == TrainerFn.FITTING:
            return self.scores((output or self._forward(batch))["logits"])
        settings = self.hparams.durations, self.hparams.duration_weights, self.hparams.score
        return scores_by_durations(self.model, self.inputs(batch), batch["fps"], *settings)

    def _forward(self, batch: dict) -> dict[str, Tensor]:
        return self.model(**self.inputs(batch))

    def inputs(self, batch: dict) -> dict[str, Tensor]:
        """What the model is given of a batch."""
        faces, audio, boxes = batch["faces"], batch["audio"], batch["boxes"]
        if self.hparams.without == "audio":
            audio = torch.zeros_like(audio)
        elif self.hparams.without == "video":
            faces, boxes = torch.zeros_like(faces), torch.zeros_like(boxes)  # where a face is, is seen as well
        where = {key: batch[key] for key in ("valid", "length", "seconds", "scene")}
        return {"faces": faces, "audio": audio, "boxes": boxes, **where}

    def _turn(self, scale: float) -> None:
        """Let the positions of the model, where it has any, count by ``scale``."""
        self.rope_scale.fill_(scale)
        if hasattr(self.model, "rope_scale"):
            self.model.rope_scale = scale

    def _log_scores(self, stage: str) -> None:
        self.log_numbers(stage, self.speaker_scores[stage].compute(), shown="ap")
