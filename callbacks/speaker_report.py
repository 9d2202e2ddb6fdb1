"""What an evaluation of a detector of active speakers leaves behind: scores, numbers and their origin, pictures."""

import io
import json
import math
from pathlib import Path
from typing import Annotated

import numpy as np
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image
from torch import Tensor

from callbacks.anomaly_report import put, selection
from callbacks.between_ranks import Notes
from callbacks.panels import log_picture
from callbacks.speaker_charts import Track, draw_precision_recall, draw_tracks, slots_of
from core.atomic import unlink


class SpeakerReport(Callback):
    """Write scores, numbers and pictures after a test, and after a validation that is no part of a training.

    Works with batches of face tracks (docs/design.md) and with every task that has ``speaker_scores``, by stage
    (``val``, ``test``) a metric like `metrics.asd.SpeakerScores`, with its ``faces``, ``curve``, ``threshold``,
    ``evaluator``, ``write_ava`` and ``write_ego4d``.

    ``<folder>/ava_scores.csv`` and ``<folder>/ego4d_scores/`` hold the scores for the official evaluators;
    ``<folder>/results.json`` all numbers, how they were measured, and the checkpoint; ``<folder>/pictures/``
    ``test_precision_recall.png``, and ``test_tracks.png``: the scores of some faces over time, with their pictures.
    After a validation: ``ava_scores_validate.csv``, ``pictures/validate_tracks.png`` and so on.

    Tracks that are shown come from batches spread over what the first process evaluates; those that speak and fall
    silent come first.

    Args:
        folder: The run folder.
        num_tracks: Tracks that are shown; 0 for none.
        num_faces: Crops of each.
        header: Begin ``ava_scores.csv`` with the names of its columns, as the evaluator expects that TalkNet ships.
    """

    def __init__(
        self,
        folder: str,
        num_tracks: Annotated[int, "num_tracks >= 0"] = 8,
        num_faces: Annotated[int, "num_faces >= 1"] = 12,
        header: bool = False,
    ) -> None:
        for name, (value, lowest) in {"num_tracks": (num_tracks, 0), "num_faces": (num_faces, 1)}.items():
            if value < lowest:
                raise ValueError(f"callbacks.speaker_report.{name}: expected at least {lowest}, found {value}")
        self.folder, self.num_tracks, self.num_faces, self.header = Path(folder), num_tracks, num_faces, header
        self._names: dict[int, tuple[str, str]] = {}
        self._shown: dict[int, tuple[float, tuple[float, float], dict[int, np.ndarray]]] = {}  # parts of a `Track`
        self._runs = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not hasattr(pl_module, "speaker_scores"):
            raise ValueError(
                f"callbacks.speaker_report: {type(pl_module).__name__} has no 'speaker_scores' to report on; "
                "leave this callback out with callbacks=[default]"
            )

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin()

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: dict, batch_idx: int, *_: object
    ) -> None:
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._look(trainer, batch, (batch_idx + 1) / trainer.num_val_batches[0])

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: dict, batch_idx: int, *_: object
    ) -> None:
        self._look(trainer, batch, (batch_idx + 1) / trainer.num_test_batches[0])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._report(trainer, pl_module, "val", "validate")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._report(trainer, pl_module, "test", "test")

    def _begin(self) -> None:
        self._names, self._shown, self._runs = {}, {}, self._runs + 1

    def _look(self, trainer: Trainer, batch: dict, done: float) -> None:
        index = batch["index"].tolist()
        self._names |= dict(zip(index, zip(batch["name"], batch["entity"], strict=True), strict=True))
        missing = math.ceil(self.num_tracks * done - 1e-9) - len(self._shown)
        if not trainer.is_global_zero or missing <= 0:
            return
        target = batch["target"].masked_fill(~batch["annotated"], -1)
        speaks, silent = ((target == label).any(1).tolist() for label in (1, 0))
        rows = [row for row in range(len(index)) if speaks[row] or silent[row]]
        for row in sorted(rows, key=lambda row: not (speaks[row] and silent[row]))[:missing]:
            parts = (batch[key][row] for key in ("faces", "valid", "seconds"))
            self._shown[index[row]] = self._pictures(*parts, float(batch["fps"][row]))

    def _pictures(
        self, faces: Tensor, valid: Tensor, seconds: Tensor, fps: float
    ) -> tuple[float, tuple[float, float], dict[int, np.ndarray]]:
        """Rate, span and some faces of a row of a batch."""
        [there] = valid.cpu().numpy().nonzero()
        times = seconds.cpu().numpy()[there]
        span = float(times[0] - 0.5 / fps), float(times[-1] + 0.5 / fps)
        places = slots_of(times, span, self.num_faces)
        return fps, span, {slot: faces[there[place]].cpu().numpy() for slot, place in places.items()}

    def _report(self, trainer: Trainer, pl_module: LightningModule, stage: str, stem: str) -> None:
        note = [[index, *names] for index, names in self._names.items()]
        notes = Notes(trainer, f"{self.folder.absolute()}/{stem}/{self._runs}").collect(note)
        if not trainer.is_global_zero:
            return
        names = {index: (video, entity) for note in notes for index, video, entity in note}
        metric, suffix = pl_module.speaker_scores[stage], "" if stem == "test" else f"_{stem}"
        self.folder.mkdir(parents=True, exist_ok=True)
        metric.write_ava(self.folder / f"ava_scores{suffix}.csv", names, self.header)
        metric.write_ego4d(self.folder / f"ego4d_scores{suffix}", names)
        numbers = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        results = {
            "metrics": {name: value for name, value in numbers.items() if name.startswith(f"{stage}/")},
            "evaluator": metric.evaluator,
            "protocol": getattr(trainer.datamodule, "protocol", None),
            "checkpoint": selection(trainer.ckpt_path, trainer.datamodule),
            "faces": {"measured": len(metric.faces.label), "speaking": int(metric.faces.label.sum())},
            "tracks": len(set(names.values())),
            "videos": len({video for video, _ in names.values()}),
        }
        put(self.folder / f"results{suffix}.json", f"{json.dumps(results, indent=1)}\n".encode())
        self._draw(trainer, metric, names, numbers.get(f"{stage}/ap", math.nan), stage, stem)

    def _draw(
        self, trainer: Trainer, metric: object, names: dict[int, tuple[str, str]], ap: float, stage: str, stem: str
    ) -> None:
        folder, faces = self.folder / "pictures", metric.faces
        folder.mkdir(exist_ok=True)
        tracks, measured = self._tracks(faces, names), f"{len(faces.label):,} faces in {len(names)} rows of {stage}"
        pictures = {
            "precision_recall": None if math.isnan(ap) else draw_precision_recall(
                *metric.curve, ap, float(faces.label.mean()), measured
            ),
            "tracks": draw_tracks(tracks, self.num_faces, metric.threshold, measured) if tracks else None,
        }  # fmt: skip
        for name, picture in pictures.items():
            if picture is None:
                unlink(folder / f"{stem}_{name}.png")
                continue
            put(folder / f"{stem}_{name}.png", picture)
            for logger in trainer.loggers:
                log_picture(logger, f"{stage}/{name}", Image.open(io.BytesIO(picture)), trainer.global_step)

    def _tracks(self, faces: object, names: dict[int, tuple[str, str]]) -> list[Track]:
        """What is drawn of the tracks that are shown."""
        found = []
        for sample, pictures in self._shown.items():
            mine = faces.sample == sample
            measured = faces.seconds[mine], faces.score[mine], faces.label[mine]
            found.append(Track("   ".join(names[sample]), *measured, *pictures))
        return found
