"""What a model makes of every video, in files that say how they were made."""

import logging
import warnings
from collections.abc import Mapping
from time import perf_counter
from typing import Annotated, Any, Literal

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from callbacks.between_ranks import Notes
from callbacks.feature_files import FeatureFolder
from callbacks.feature_plan import Plan, agreed_plan
from callbacks.feature_recipe import network, recipe_of, told_by, versions
from callbacks.feature_run import FeatureRun, conclude
from callbacks.layer_output import LayerOutput, described
from callbacks.pace import speeds
from callbacks.pooling import POOLS, Pool, axes_of_a_clip, pool_clips

STAGES = ("predict", "test")
DTYPES = {"float32": torch.float32, "float16": torch.float16}
_MOST_LISTED = 10
# Batches say themselves what they hold; and where everything was there before, there are none.
_NO_NEWS = ("Couldn't infer the batch indices", "Total length of .* across ranks is zero")

log = logging.getLogger(__name__)


class MissingFeaturesError(RuntimeError):
    """Some videos have no features at the end of a run; the manifest says why."""


class Features(BasePredictionWriter):
    """Write features of every video that a task predicts on or tests, on any number of ranks, after any interruption.

    Features are what ``predict_step`` or ``test_step`` returns, a tensor (B, C), (B, N, C) or (B, C, ...), or a dict
    with key ``features``; or what a layer of the task's ``model`` returns. Clips are put together by the keys ``name``,
    ``row`` and ``view`` of their batches, and a video is written as soon as its last clip is there. Clips with row -1
    are nothing; ``failed`` in a batch names videos that cannot be read.

    ``<folder>/<video>.npy`` is (rows, [views,] ...), and ``<video>.json`` beside it says of which source, model,
    weights and preprocessing it was made, and which frames and seconds every row is of. What is there, whole and made
    in the same way, is verified and left out; what is damaged is computed again; what was made in another way is
    refused before anything is computed. ``manifest.json`` says at the end which videos were done, skipped or failed.

    The datamodule has ``recipe()``, ``feature_sources()`` and, where finished videos can be left out, ``leave_out``
    (docs/design.md).

    Args:
        folder: Where the files go; shared by all ranks.
        layer: Name of a submodule of the model whose output is taken, such as ``blocks.11``; None for what the step
            returns.
        pool: What is kept of the tokens of a clip: ``none``, as it is; ``mean``; ``mean_std_max``, three rows; or
            ``tokens``, all of them (`callbacks.pooling.pool_clips`).
        dtype: Of the files: ``float32`` or ``float16``.
        overwrite: Replace features of other settings instead of refusing them.
        report_every_s: Seconds between two lines about how far it is.

    Raises:
        ValueError: When an option is unknown, the model has no such layer, the datamodule does not say how its clips
            are made, or the folder holds features of other settings.
        MissingFeaturesError: At the end, when videos failed.
    """

    def __init__(
        self,
        folder: str,
        layer: str | None = None,
        pool: Pool = "none",
        dtype: Literal["float32", "float16"] = "float32",
        overwrite: bool = False,
        report_every_s: Annotated[float, "report_every_s >= 0"] = 30.0,
    ) -> None:
        super().__init__(write_interval="batch")
        for name, value, possible in (("pool", pool, POOLS), ("dtype", dtype, tuple(DTYPES))):
            if value not in possible:
                raise ValueError(f"callbacks.features.{name}: expected one of {', '.join(possible)}, found {value!r}")
        if report_every_s < 0:
            raise ValueError(f"callbacks.features.report_every_s: expected at least 0, found {report_every_s}")
        self.files = FeatureFolder(folder)
        self.layer, self.pool, self.dtype, self.overwrite = layer, pool, dtype, overwrite
        self.report_every_s = report_every_s
        self._layer_output: LayerOutput | None = None
        self._stage: str | None = None  # of the run that is under way
        self._runs = 0

    # Before the first batch.

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._stage = next((known for known in STAGES if known == stage), None)  # Lightning's own is not plain text
        if self._stage is None:
            return
        super().setup(trainer, pl_module, stage)
        for message in _NO_NEWS:
            warnings.filterwarnings("ignore", message=message)
        self._layer_output = None if self.layer is None else LayerOutput(network(pl_module), self.layer)
        self._sources, self._data_recipe = told_by(trainer.datamodule)
        self._runs += 1
        self._notes = Notes(trainer, f"{self.files.folder.absolute()}/{self._runs}")
        self._run: FeatureRun | None = None
        self._knows_checkpoint = False
        self._make_plan(trainer, pl_module)
        self._leave_out(trainer)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Plan again with the weights of ``ckpt_path``, which come after the setup and before the loader."""
        if self._stage is not None:
            self._knows_checkpoint = True
            self._make_plan(trainer, pl_module)
            self._leave_out(trainer)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start(trainer, pl_module)

    def _make_plan(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find out what is there already, for the weights as they are now."""
        options = {"layer": self.layer, "pool": self.pool, "dtype": self.dtype}
        recipe = recipe_of(trainer, pl_module, f"{self._stage}_step", self._data_recipe, **options)
        self._facts = {"recipe": recipe, "versions": versions(pl_module)}
        self._plan: Plan = agreed_plan(trainer, self.files, self._sources, recipe, self.overwrite)

    def _leave_out(self, trainer: Trainer) -> None:
        """Spare the datamodule what is finished, unless another callback may still need it."""
        alone = sum(isinstance(callback, Features) for callback in trainer.callbacks) == 1
        if self._stage == "predict" and alone and hasattr(trainer.datamodule, "leave_out"):
            trainer.datamodule.leave_out(self._plan.skipped)

    def _start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse what cannot be continued, and begin to listen and to count."""
        if trainer.ckpt_path is not None and not self._knows_checkpoint:
            self._make_plan(trainer, pl_module)  # a file of weights alone, of which Lightning tells no callback
        if self._plan.refusal is not None:
            raise ValueError(self._plan.refusal)
        self._to_do = len(self._sources) - len(self._plan.skipped)
        if trainer.is_global_zero:
            for line in self._plan.again:
                log.warning("warning: %s; computed again", line)
            weights = self._facts["recipe"]["model"]["weights_sha256"][:12]
            what = f"features of {type(network(pl_module)).__name__}, weights {weights}, into {self.files.folder}"
            log.info("%s: %d videos to do, %d are there and verified", what, self._to_do, len(self._plan.skipped))
        if self._layer_output is not None:
            self._layer_output.attach()
        self._run = FeatureRun(self.files, self._sources, self._facts, self._plan.skipped)
        self._said_at = perf_counter()

    # Batches.

    def on_predict_batch_start(self, *_: Any) -> None:
        self._run.pace.batch_came()

    def on_test_batch_start(self, *_: Any) -> None:
        self._run.pace.batch_came()

    def write_on_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, prediction: Any, batch_indices: Any, batch: dict, *_: Any
    ) -> None:
        self._take(trainer, pl_module, prediction, batch)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: dict, *_: Any
    ) -> None:
        self._take(trainer, pl_module, outputs, batch)

    def _take(self, trainer: Trainer, pl_module: LightningModule, output: Any, batch: dict) -> None:
        features = self._features(pl_module, output)
        pooled = pool_clips(features, self.pool).to("cpu", DTYPES[self.dtype])
        written = self._run.take(batch, pooled, axes_of_a_clip(features.ndim, self.pool))
        done = self._notes.add("videos", written)
        self._run.pace.batch_done()
        if trainer.is_global_zero and perf_counter() - self._said_at >= self.report_every_s:
            self._said_at = perf_counter()
            whose = " on the first of several processes" if trainer.world_size > 1 else ""
            log.info("features: %d of %d videos; %s%s", done, self._to_do, speeds(self._run.pace.counts), whose)

    def _features(self, pl_module: LightningModule, output: Any) -> Tensor:
        if self._layer_output is not None:
            return self._layer_output.take()
        found = output.get("features") if isinstance(output, Mapping) else output
        if isinstance(found, Tensor):
            return found
        layers = ", ".join(name for name, _ in network(pl_module).named_children())
        raise ValueError(
            f"callbacks.features: {type(pl_module).__name__}.{self._stage}_step returned {described(output)}; expected "
            "a tensor of features or a dict with key 'features'. Or take what a layer of the model returns, with "
            f"callbacks.features.layer=NAME (the first level: {layers})"
        )

    # After the last batch.

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self._stage is None:
            return
        if self._run is None:  # there was no batch, as when everything was there
            self._start(trainer, pl_module)
        self._stop_listening()
        outcomes = self._notes.collect(self._run.outcome())
        if trainer.is_global_zero:
            self._conclude(outcomes, in_part=_in_part(trainer, self._stage))
        self._stage = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop_listening()
        if self._stage is not None and not isinstance(exception, Exception) and trainer.is_global_zero:
            folder = self.files.folder
            log.warning("features: what is written is whole; add callbacks.features.folder=%s to go on", folder)
        self._stage = None

    def _stop_listening(self) -> None:
        if self._layer_output is not None:
            self._layer_output.detach()

    def _conclude(self, outcomes: list[dict[str, Any]], in_part: bool) -> None:
        """Write the manifest and say what was done.

        Raises:
            MissingFeaturesError: When videos failed.
        """
        manifest, left, counts = conclude(outcomes, self._sources, self._plan.skipped, in_part)
        failed = manifest["failed"]
        for entry in failed:
            self.files.remove(entry["video"])
        self.files.write_manifest(manifest)
        done = f"{len(manifest['done'])} videos written, {len(manifest['skipped'])} there before, {len(failed)} failed"
        log.info("features: %s; %d clips in %.1f s; %s", done, counts.clips, counts.elapsed_s, speeds(counts))
        if left:
            log.warning("warning: a part of the data was asked for; %d videos are not finished", left)
        if failed:
            reasons = [f"{entry['video']} ({entry['path']}): {entry['reason']}" for entry in failed[:_MOST_LISTED]]
            more = [] if len(failed) <= _MOST_LISTED else ["..."]
            said = f"{len(failed)} of {len(self._sources)} videos have no features; all others are written"
            raise MissingFeaturesError("\n  ".join([f"{said} ({self.files.manifest}):", *reasons, *more]))


def _in_part(trainer: Trainer, stage: str) -> bool:
    """Whether the run was told not to go through all batches."""
    limit = trainer.limit_predict_batches if stage == "predict" else trainer.limit_test_batches
    return isinstance(limit, int) or limit < 1
