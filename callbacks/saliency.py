"""Maps of what a model sees in clips, for every task that can say what there is to explain."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import torch
from lightning import Callback, LightningModule, Trainer
from PIL import Image
from torch import nn

from callbacks.between_ranks import Notes
from callbacks.panels import log_picture
from callbacks.saliency_choice import TRUE, Choice, Which, explained_class
from callbacks.saliency_faithfulness import RANDOM, measure, measure_random
from callbacks.saliency_files import FORMATS, SampleFiles
from callbacks.saliency_report import REPORT, spoken, write_report
from callbacks.saliency_sample import find_evidence, sample_of
from core.atomic import replace_file, unlink
from models.saliency import METHODS, settled
from models.saliency.colours import Colours
from models.saliency.explain import network
from models.saliency.spline import Zoom

INDEX = "samples.json"  # what was written, with what was measured

log = logging.getLogger(__name__)


class Saliency(Callback):
    """Explain some answers of a validation, test or prediction: maps over the clips, as numbers, sheets and films.

    Works with every task that has ``explainables(batch)``, a list of `tasks.explaining.Explainable`. They are computed
    beside the steps of the task, in full precision, so that nothing it measures is touched; that is one more pass over
    the data. A few are kept, and explained at the end, each by the process that saw it. Of the very first one the
    evidence is found at once, so that what cannot be explained says so at the start. A training is left alone; in
    ``test_after_fit`` the test is explained.

    Writes into ``<folder>/<mode>/`` the files of `callbacks.saliency_files.SampleFiles`; ``samples.json``, which files
    there are, and the numbers of each answer; with ``faithfulness`` the files of
    `callbacks.saliency_report.write_report`. What an earlier run wrote there goes. Loggers that take images get the
    sheets.

    Args:
        folder: Where the files go; shared by all processes.
        method: One of `models.saliency.METHODS`, or a list of them, which are then compared on the same answers; None
            for that of the model.
        target: What is explained, see `callbacks.saliency_choice.explained_class`.
        layer: Dotted name of the layer of the model to look at; None for that of the model.
        which: Which answers, see `callbacks.saliency_choice.Choice`.
        num_samples: How many; of ``which=listed`` for each name.
        names: Videos of ``which=listed``, as ``video`` or ``video:frame``.
        formats: Files of each answer: ``npz``, ``png``, ``mp4``, ``gif``; ``tubes``, every frame in folders as the
            published script of Saliency Tubes leaves them (`callbacks.saliency_tubes`).
        num_frames: Frames on a sheet.
        zoom: How maps are brought to the size of clips.
        colours: Of the maps.
        alpha: Share of the colour in overlays.
        faithfulness: Whether to measure if the maps are right; of each answer that takes some hundred times as long.

    Raises:
        ValueError: When an option is out of its range.
        UnknownLayerError: In `setup`, when the model has no such layer, with a list of those it has.
    """

    writes_in_prediction = True

    def __init__(
        self,
        folder: str,
        method: str | Sequence[str] | None = None,
        target: str | int | bool = "predicted",
        layer: str | None = None,
        which: Which = "worst",
        num_samples: Annotated[int, "num_samples >= 1"] = 4,
        names: Sequence[str] = (),
        formats: Sequence[str] = ("npz", "png", "mp4"),
        num_frames: Annotated[int, "num_frames >= 1"] = 6,
        zoom: Zoom = "spline",
        colours: Colours = "viridis",
        alpha: Annotated[float, "0 <= alpha <= 1"] = 0.5,
        faithfulness: bool = False,
    ) -> None:
        for name, value in (("num_samples", num_samples), ("num_frames", num_frames)):
            if value < 1:
                raise ValueError(f"callbacks.saliency.{name}: expected at least 1, found {value}")
        if not 0 <= alpha <= 1:
            raise ValueError(f"callbacks.saliency.alpha: expected a share from 0 to 1, found {alpha}")
        if unknown := set(formats) - set(FORMATS):
            known = ", ".join(FORMATS)
            raise ValueError(
                f"callbacks.saliency.formats: expected some of {known}, found {', '.join(sorted(unknown))}"
            )
        _require_one_of(("which", which, Which), ("zoom", zoom, Zoom), ("colours", colours, Colours))
        if (which == "listed") != bool(names):
            raise ValueError(
                f"callbacks.saliency.names: expected videos with which=listed and none otherwise, found {list(names)} "
                f"with which={which}"
            )
        for name in [method] if isinstance(method, str) else method or ():
            if name not in METHODS:
                raise ValueError(f"callbacks.saliency.method: expected one of {', '.join(METHODS)}, found {name!r}")
        target = TRUE if target is True else target  # what a command line makes of the word
        self.folder, self.layer, self.target = Path(folder), layer, target
        self.methods = [method] if method is None or isinstance(method, str) else list(method)
        self.zoom, self.faithfulness = zoom, faithfulness
        self._choosing = (which, num_samples, target, list(names))
        self._drawing = (list(formats), num_frames, alpha, colours)
        self._choice: Choice | None = None  # None unless there is something to choose from
        self._rehearsed, self._runs = False, 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not callable(getattr(pl_module, "explainables", None)):
            raise ValueError(
                f"callbacks.saliency: {type(pl_module).__name__} has no method 'explainables(batch)' to explain; "
                "leave this callback out with callbacks=[default]"
            )
        # A model that says nothing of itself may have no clips to look into, as detectors on features.
        if self.layer is not None or hasattr(network(pl_module), "saliency_spec"):
            for method in self.methods:
                settled(pl_module, method, self.layer)
        if stage == "fit":
            return
        self._choice, self._rehearsed, self._runs = Choice(*self._choosing), False, self._runs + 1

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: Any, batch_idx: int, *_: object
    ) -> None:
        self._look(pl_module, batch)

    on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Explain what was chosen; also those processes take part that had no batch, and so no other hook."""
        choice, self._choice = self._choice, None
        if choice is None:
            return
        mode = str(trainer.state.fn.value)
        folder, topic = self.folder / mode, f"Saliency/{self.folder.absolute()}/{mode}/{self._runs}"
        folder.mkdir(parents=True, exist_ok=True)
        chosen, missing = choice.settle(Notes(trainer, f"{topic}/choice").exchange, trainer.global_rank)
        with torch.inference_mode(False):
            written = self._explain(chosen, pl_module, SampleFiles(folder, *self._drawing))
        notes = Notes(trainer, f"{topic}/written").collect(written)
        if trainer.is_global_zero:
            for name in missing:
                log.warning("callbacks.saliency.names: no clip of %s was seen", name)
            self._finish(trainer, folder, [sample for note in notes for sample in note])

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._choice = None

    @torch.inference_mode(False)
    @torch.no_grad()
    def _look(self, task: LightningModule, batch: Any) -> None:
        if self._choice is None:
            return
        answers = task.explainables(batch)
        self._choice.offer(answers)
        able = [each for each in answers if explained_class(each, self.target) is not None]
        if able and not self._rehearsed:
            self._rehearsed = True
            for method in self.methods:
                find_evidence(able[0], network(task), self.target, method, self.layer)

    def _explain(self, chosen: Sequence[tuple[int, Any]], task: nn.Module, files: SampleFiles) -> list[dict[str, Any]]:
        """Write the files of answers; what is known of each, and of every method."""
        model, written = network(task), []
        for number, answer in chosen:
            for place, method in enumerate(self.methods):
                evidence = find_evidence(answer, model, self.target, method, self.layer)
                sample = sample_of(number, answer, self.target, evidence, self.zoom)
                note = sample.facts() | {"files": files.write(sample), "measured": []}
                known = {key: note[key] for key in ("sample", "name", "subject", "target")}
                if self.faithfulness and evidence is not None:
                    on = (answer, sample.target, evidence, model)
                    note["measured"].append(known | {"method": sample.method} | measure(*on, self.layer))
                    if place == 0:
                        note["measured"].append(known | {"method": RANDOM} | measure_random(*on))
                written.append(note)
        return written

    def _finish(self, trainer: Trainer, folder: Path, written: list[dict[str, Any]]) -> None:
        written.sort(key=lambda note: note["sample"])
        measured = [each for note in written for each in note.pop("measured")]
        files = {name for note in written for name in note["files"]}
        index = folder / INDEX
        earlier = json.loads(index.read_text()) if index.is_file() else []
        for name in {name for note in earlier for name in note["files"]} - files:
            unlink(folder / name)
            clear(folder, Path(name).parent)
        replace_file(index, lambda file: file.write(f"{json.dumps(written, indent=1)}\n".encode()))
        pictures = sorted(name for name in files if name.endswith(".png") and "/" not in name)
        sheets = {name.removesuffix(".png"): folder / name for name in pictures}
        if measured:
            write_report(folder, measured)
            sheets[REPORT] = folder / f"{REPORT}.png"
            log.info("are the maps right? means by method in %s\n%s", folder / f"{REPORT}.csv", spoken(measured))
        for title, path in sheets.items():
            for logger in trainer.loggers:
                log_picture(logger, f"saliency/{title}", Image.open(path), trainer.global_step)
        log.info(
            "saliency: %d files of %d answers in %s", len(files), len({note["sample"] for note in written}), folder
        )


def clear(folder: Path, inner: Path) -> None:
    """Remove a folder within ``folder`` and those around it, as far as they are empty."""
    for path in (folder / each for each in (inner, *inner.parents) if each != Path()):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _require_one_of(*options: tuple[str, str, Any]) -> None:
    for name, value, known in options:
        if value not in get_args(known):
            raise ValueError(
                f"callbacks.saliency.{name}: expected one of {', '.join(get_args(known))}, found {value!r}"
            )
