"""What all tasks with exact metrics share: their metrics know how many samples an evaluation has."""

import logging
from typing import Any

from lightning import LightningModule
from lightning.pytorch.utilities import CombinedLoader

from metrics.exact import ExactMetric

log = logging.getLogger(__name__)


class ExactEvaluation(LightningModule):
    """A task that tells every `metrics.exact.ExactMetric` of it, before an evaluation, how many samples to expect.

    The number is the length of the loader's data set; a data set whose samples are several clips says in ``num_clips``
    how many values ``index`` takes. An evaluation that does not run through all batches (``trainer.limit_val_batches``,
    ``fast_dev_run``, the sanity check) is one of a part: its metrics allow for missing samples, and that is logged.

    Metrics belong to evaluations; one that was fed while training would be emptied by the first validation.
    """

    _said_part = False

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
