"""Base of what an evaluation leaves behind: its numbers and where they come from, and its pictures."""

import io
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image
from torch import Tensor

from callbacks.between_ranks import Notes
from callbacks.panels import log_picture
from callbacks.selection import selection
from core.atomic import unlink, write_file


class Evaluation(NamedTuple):
    """What an evaluation is called.

    Attributes:
        stage: In the names of its numbers, metrics and loaders.
        stem: In front of the names of its pictures.
        suffix: Behind the names of its other files; those of a test have none.
    """

    stage: str
    stem: str
    suffix: str


VALIDATION = Evaluation("val", "validate", "_validate")
TEST = Evaluation("test", "test", "")


class EvaluationReport(Callback, ABC):
    """Report on a test, and on a validation that is no part of a training.

    ``<folder>/results.json`` has every number; how it was measured where the metric says so in ``evaluator``, and what
    it can be compared with where the datamodule says so in ``protocol``, each one line; the checkpoint and how it was
    selected. After a validation: ``results_validate.json``. Pictures go to ``<folder>/pictures/`` and to loggers.

    Args:
        folder: The run folder.

    Attributes:
        name: The key of the report in the config.
        asks: What a task must have.
        samples: What samples are called (`remember`), by their index: those of all processes while it reports.
    """

    name: ClassVar[str]
    asks: ClassVar[tuple[str, ...]]

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.samples: dict[int, tuple[Any, ...]] = {}
        self._runs = 0

    def begin(self) -> None:
        """Forget what an earlier evaluation has shown."""
        self.samples, self._runs = {}, self._runs + 1

    def look(
        self, trainer: Trainer, pl_module: LightningModule, evaluation: Evaluation, batch: dict, done: float
    ) -> None:
        """See a batch that was evaluated, in every process; ``done`` is the part of them so far, in (0, 1]."""

    @abstractmethod
    def report(self, trainer: Trainer, pl_module: LightningModule, evaluation: Evaluation) -> None:
        """Write everything; called in the first process when all is measured."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for asked in self.asks:
            if not hasattr(pl_module, asked):
                raise ValueError(
                    f"callbacks.{self.name}: {type(pl_module).__name__} has no '{asked}' to report on; "
                    "leave this callback out with callbacks=[default]"
                )

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begin()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begin()

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: dict, batch_idx: int, *_: object
    ) -> None:
        if trainer.state.fn == TrainerFn.VALIDATING:
            self.look(trainer, pl_module, VALIDATION, batch, (batch_idx + 1) / trainer.num_val_batches[0])

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: dict, batch_idx: int, *_: object
    ) -> None:
        self.look(trainer, pl_module, TEST, batch, (batch_idx + 1) / trainer.num_test_batches[0])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._report(trainer, pl_module, VALIDATION)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._report(trainer, pl_module, TEST)

    def _report(self, trainer: Trainer, pl_module: LightningModule, evaluation: Evaluation) -> None:
        topic = f"{self.name}/{self.folder.absolute()}/{evaluation.stem}/{self._runs}"
        notes = Notes(trainer, topic).collect([[index, *names] for index, names in self.samples.items()])
        if trainer.is_global_zero:
            self.samples = {index: tuple(names) for note in notes for index, *names in note}
            self.folder.mkdir(parents=True, exist_ok=True)
            self.report(trainer, pl_module, evaluation)

    def remember(self, index: Tensor, *names: Sequence[Any]) -> None:
        """Keep what the samples of a batch are called: ``index`` (B,), and ``names`` with B entries each, for JSON."""
        self.samples |= dict(zip(index.tolist(), zip(*names, strict=True), strict=True))

    def write_results(self, trainer: Trainer, evaluation: Evaluation, metric: object, facts: Mapping[str, Any]) -> None:
        """Write all numbers of an evaluation, where they come from, and ``facts`` behind them."""
        numbers = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        results = {
            "metrics": {name: value for name, value in numbers.items() if name.startswith(f"{evaluation.stage}/")},
            **({"evaluator": metric.evaluator} if hasattr(metric, "evaluator") else {}),
            "protocol": getattr(trainer.datamodule, "protocol", None),
            "checkpoint": selection(trainer.ckpt_path, trainer.datamodule),
            **facts,
        }
        write_file(self.folder / f"results{evaluation.suffix}.json", f"{json.dumps(results, indent=1)}\n".encode())

    def show(self, trainer: Trainer, evaluation: Evaluation, pictures: Mapping[str, bytes | None]) -> None:
        """Write pictures, PNG files by name, and hand them to the loggers; an earlier one makes way also for None."""
        folder = self.folder / "pictures"
        folder.mkdir(exist_ok=True)
        for name, picture in pictures.items():
            path = folder / f"{evaluation.stem}_{name}.png"
            if picture is None:
                unlink(path)
                continue
            write_file(path, picture)
            for logger in trainer.loggers:
                log_picture(logger, f"{evaluation.stage}/{name}", Image.open(io.BytesIO(picture)), trainer.global_step)


def due(count: int, done: float) -> int:
    """How many of ``count`` things, spread over an evaluation, are there when ``done`` of it is, in (0, 1]."""
    return math.ceil(count * done - 1e-9)
