"""What all tasks with exact metrics share: one evaluation in two stages, whose metrics know how many samples it has."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from lightning import LightningModule
from lightning.pytorch.utilities import CombinedLoader

from metrics.exact import ExactMetric

STAGES = ("val", "test")

log = logging.getLogger(__name__)


class ExactEvaluation(LightningModule, ABC):
    """A task whose validation and test are one evaluation, of which its metrics know how many samples to expect.

    Every `metrics.exact.ExactMetric` of the task is told that number: the length of the loader's data set; a data set
    whose samples are several clips says in ``num_clips`` how many values ``index`` takes. An evaluation that does not
    run through all batches (``trainer.limit_val_batches``, ``fast_dev_run``, the sanity check) is one of a part: its
    metrics allow for missing samples, and that is logged.

    Metrics belong to evaluations; one that was fed while training would be emptied by the first validation.
    """

    _said_part = False

    @abstractmethod
    def evaluate(self, stage: str, batch: dict) -> None:
        """Feed the metrics of ``stage``, one of `STAGES`, with a batch, and log them."""

    def log_numbers(self, stage: str, numbers: Mapping[str, Any], shown: str) -> None:
        """Log numbers that every process has computed over all samples, as ``<stage>/<name>``.

        Args:
            stage: One of `STAGES`.
            numbers: By name, the same on all processes.
            shown: The one that stands in the progress bar as well.
        """
        for name, value in numbers.items():
            # Every process holds the same number already: the highest of them is it, to the last bit.
            self.log(f"{stage}/{name}", value, prog_bar=name == shown, reduce_fx="max", sync_dist=True)

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        self.evaluate("val", batch)

    def test_step(self, batch: dict, batch_idx: int) -> None:
        self.evaluate("test", batch)

    def on_validation_epoch_start(self) -> None:
        self._expect()

    def on_test_epoch_start(self) -> None:
        self._expect()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let a validation that the run was stopped in begin anew.

        Lightning begins anew with the batches, but not with their count, and would leave out as many at the end.
        """
        progress = checkpoint.get("loops", {}).get("fit_loop", {}).get("epoch_loop.val_loop.batch_progress")
        if progress is not None:
            progress["current"] = dict.fromkeys(progress["current"], 0)

    def _expect(self) -> None:
        num_samples = self._samples_to_evaluate()
        for metric in self.modules():
            if isinstance(metric, ExactMetric):
                metric.expect(num_samples)

    def _samples_to_evaluate(self) -> int | None:
        trainer = self.trainer
        if trainer.testing:
            loaders, limits = trainer.test_dataloaders, trainer.num_test_batches
        else:
            limits = trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches
            loaders = trainer.val_dataloaders
        [loader], [limit] = CombinedLoader(loaders).flattened, limits
        if limit < len(loader):
            if trainer.is_global_zero and not (trainer.sanity_checking or self._said_part):
                stage = trainer.state.stage.dataloader_prefix
                log.info("%s: %d of %d batches, metrics are those of a part of the split", stage, limit, len(loader))
                self._said_part = True
            return None
        return getattr(loader.dataset, "num_clips", len(loader.dataset))
