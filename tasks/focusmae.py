"""Masked pretraining of video transformers: VideoMAE, VideoMAE V2 (dual masking) and FocusMAE (region-guided masks)."""

from collections.abc import Callable
from typing import Annotated, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from metrics.weighted_mean import WeightedMean
from models.focusmae import roi_fractions
from models.masked_autoencoder import MaskedAutoencoder
from models.masking import gather_tokens
from models.reconstruction import (
    flat_cubes,
    normalised_targets,
    patchify,
    reconstruction_loss,
    sampling_loss,
    token_errors,
)
from models.region_prior import Regions
from tasks.evaluation import STAGES, ExactEvaluation
from tasks.explaining import Explainable
from tasks.noise import sample_noise
from tasks.optimization import optimizer_and_schedule
from tasks.panels import reconstruction_panels
from tasks.token_evidence import explain_clips

EVALUATION_EPOCH = 0  # masks of evaluation do not change from epoch to epoch


class Reconstruction(NamedTuple):
    """What a model predicted of a batch, beside what it should have.

    Attributes:
        output: What the model returned.
        target: (B, M, P) cubes that were to be predicted.
        errors: (B, M) mean squared error of each.
        counted: (B, M) bool, those that enter the loss.
    """

    output: dict[str, Tensor]
    target: Tensor
    errors: Tensor
    counted: Tensor


class MaskedPretraining(ExactEvaluation):
    """Train a model to paint the hidden part of a clip.

    VideoMAE (Tong et al., 2022, arXiv 2203.12602), section 3: mean squared error on the hidden tokens. VideoMAE V2
    (Wang et al., 2023, arXiv 2303.16727), section 3.2: the same on the decoded tokens that were hidden from the
    encoder. FocusMAE (Basu et al., 2024, arXiv 2403.08848; sbasu276/FocusMAE) adds AdaMAE's loss of the token sampler
    (Bandara et al., 2023, arXiv 2211.09120): L = L_reconstruction + w L_sampling. Which of the three it is depends on
    the model alone.

    Targets are pixels of each cube, normalised per cube and channel, always in float32.

    Logs ``<stage>/loss`` (training: the minimised sum; evaluation: reconstruction alone, on fixed masks), in evaluation
    ``<stage>/loss_zeros``, the loss of predicting zeros, and, for models with a region prior,
    ``<stage>/roi_visible_fraction`` and ``<stage>/roi_masked_fraction``.

    Args:
        model: The masked autoencoder.
        optimizer: Makes the optimizer from parameter groups; None for a task that only evaluates.
        scheduler: Makes a schedule, stepped once per optimizer step, from the optimizer, ``total_steps`` and
            ``steps_per_epoch``.
        normalise_targets: Predict normalised pixels; false: raw pixels in [0, 1].
        flat_threshold: Leave cubes out of the loss whose standard deviation is below this in every channel, in units of
            full intensity; 0 keeps all, as published. Normalisation blows the sensor noise of a flat cube up to unit
            variance, so that static surveillance scenes and black borders pay full weight for what cannot be predicted.
        sampling_weight: w; used with a token sampler only.
        seed: Seed of the masks, which depend on ``(seed, epoch, sample)``.
    """

    needs = ("video", "mean", "std", "index")

    def __init__(
        self,
        model: MaskedAutoencoder,
        optimizer: Callable[[list[dict]], Optimizer] | None = None,
        scheduler: Callable[..., object] | None = None,
        normalise_targets: bool = True,
        flat_threshold: Annotated[float, "flat_threshold >= 0"] = 0.0,
        sampling_weight: Annotated[float, "sampling_weight >= 0"] = 1e-4,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["model", "optimizer", "scheduler"])
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        names = ("loss", "loss_zeros", "roi_visible_fraction", "roi_masked_fraction")
        self.means = torch.nn.ModuleDict({f"{stage}_{name}": WeightedMean() for stage in STAGES for name in names})

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        output, _, errors, counted = self._reconstruct(batch, self.current_epoch + 1)
        loss = reconstruction = reconstruction_loss(errors, counted)
        size = len(batch["video"])
        if "log_probability" in output:
            sampling = sampling_loss(output["log_probability"], errors, output["index"], counted)
            loss = reconstruction + self.hparams.sampling_weight * sampling
            self.log("train/loss_reconstruction", reconstruction, batch_size=size)
            self.log("train/loss_sampling", sampling, batch_size=size)
        if "prior" in output:
            fractions = roi_fractions(output["hidden"], output["prior"])
            self.log_dict({f"train/{name}": fraction for name, fraction in fractions.items()}, batch_size=size)
        self.log("train/loss", loss, prog_bar=True, batch_size=size)
        return loss

    def evaluate(self, stage: str, batch: dict) -> None:
        output, target, errors, counted = self._reconstruct(batch, EVALUATION_EPOCH)
        zeros = token_errors(torch.zeros_like(target), target)
        weighted = {"loss": (errors, counted), "loss_zeros": (zeros, counted)}
        if "prior" in output:
            weighted["roi_visible_fraction"] = (~output["hidden"], output["prior"])
            weighted["roi_masked_fraction"] = (output["hidden"], output["prior"])
        for name, (values, weights) in weighted.items():
            metric = self.means[f"{stage}_{name}"]
            metric.update(batch["index"], values, weights)
            self.log(f"{stage}/{name}", metric, on_epoch=True, prog_bar=name == "loss", batch_size=len(batch["video"]))

    def predict_step(self, batch: dict, batch_idx: int) -> dict:
        """Encode whole clips: ``name`` list[str], ``frames`` (B, T) and ``features`` (B, D), the mean over tokens."""
        tokens = self.model.encoder.forward_features(batch["video"])
        return {"name": batch["name"], "frames": batch["frames"], "features": tokens.mean(1)}

    @torch.no_grad()
    def panels(self, batch: dict) -> dict[str, Tensor]:
        """Show what the model was given and what it made of it, on the masks of evaluation; see `tasks.panels`.

        All hidden tokens are decoded, whatever the decoder mask of training.

        Args:
            batch: As in training.

        Returns:
            Rows (B, 3, T, H, W) in [0, 1] by title.
        """
        output = self.draw(batch)
        if not output["counted"].all():  # a decoder with a mask of its own left hidden tokens out
            output = self.model(batch["video"], encoder_mask=output["hidden"], decoder_mask=~output["hidden"])
        sizes = self.model.grid, self.model.tubelet
        return reconstruction_panels(self._pixels(batch), output, *sizes, self.hparams.normalise_targets)

    def draw(self, batch: dict) -> dict[str, Tensor]:
        """What the model makes of clips under the masks of evaluation."""
        return self.model(batch["video"], regions=self._regions(batch), noise=self._noise(batch, EVALUATION_EPOCH))

    def explainables(self, batch: dict) -> list[Explainable]:
        """What is made of each clip, to be explained; see `tasks.token_evidence`."""
        return explain_clips(self, batch)

    def configure_optimizers(self) -> Optimizer | dict:
        return optimizer_and_schedule(self)

    def _reconstruct(self, batch: dict, epoch: int) -> Reconstruction:
        output = self.model(batch["video"], regions=self._regions(batch), noise=self._noise(batch, epoch))
        pixels, tubelet = self._pixels(batch), self.model.tubelet
        cubes = normalised_targets(pixels, tubelet) if self.hparams.normalise_targets else patchify(pixels, tubelet)
        target = gather_tokens(cubes, output["index"])
        counted = output["counted"]
        if self.hparams.flat_threshold > 0:
            flat = flat_cubes(pixels, tubelet, self.hparams.flat_threshold)
            counted = counted & ~flat.gather(1, output["index"])
        return Reconstruction(output, target, token_errors(output["prediction"], target), counted)

    def _noise(self, batch: dict, epoch: int) -> Tensor:
        noise = sample_noise(batch["index"].tolist(), self.model.noise_size, self.hparams.seed, epoch)
        return noise.to(batch["video"].device, non_blocking=True)

    @staticmethod
    def _regions(batch: dict) -> Regions | None:
        return Regions(batch["boxes"], batch["box_scores"], batch["box_count"]) if "boxes" in batch else None

    @staticmethod
    def _pixels(batch: dict) -> Tensor:
        """Undo the normalisation of the input: (B, 3, T, H, W) float32 in [0, 1]."""
        mean, std = (batch[key].float().view(1, -1, 1, 1, 1) for key in ("mean", "std"))
        return batch["video"].float() * std + mean
