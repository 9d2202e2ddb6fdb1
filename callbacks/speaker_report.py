"""What an evaluation of a detector of active speakers leaves behind: scores, numbers and their origin, pictures."""

import math
from typing import Annotated

import numpy as np
from lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.evaluation_report import Evaluation, EvaluationReport, due
from callbacks.speaker_charts import Track, draw_precision_recall, draw_tracks, slots_of


class SpeakerReport(EvaluationReport):
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

    name, asks = "speaker_report", ("speaker_scores",)

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
        super().__init__(folder)
        self.num_tracks, self.num_faces, self.header = num_tracks, num_faces, header
        self._shown: dict[int, tuple[float, tuple[float, float], dict[int, np.ndarray]]] = {}  # parts of a `Track`

    def begin(self) -> None:
        super().begin()
        self._shown = {}

    def look(
        self, trainer: Trainer, pl_module: LightningModule, evaluation: Evaluation, batch: dict, done: float
    ) -> None:
        self.remember(batch["index"], batch["name"], batch["entity"])
        missing = due(self.num_tracks, done) - len(self._shown)
        if not trainer.is_global_zero or missing <= 0:
            return
        index = batch["index"].tolist()
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

    def report(self, trainer: Trainer, pl_module: LightningModule, evaluation: Evaluation) -> None:
        metric, names = pl_module.speaker_scores[evaluation.stage], self.samples
        metric.write_ava(self.folder / f"ava_scores{evaluation.suffix}.csv", names, self.header)
        metric.write_ego4d(self.folder / f"ego4d_scores{evaluation.suffix}", names)
        faces = metric.faces
        facts = {
            "faces": {"measured": len(faces.label), "speaking": int(faces.label.sum())},
            "tracks": len(set(names.values())),
            "videos": len({video for video, _ in names.values()}),
        }
        self.write_results(trainer, evaluation, metric, facts)
        ap = float(trainer.callback_metrics.get(f"{evaluation.stage}/ap", math.nan))
        measured = f"{len(faces.label):,} faces in {len(names)} rows of {evaluation.stage}"
        tracks = self._tracks(faces)
        pictures = {
            "precision_recall": None if math.isnan(ap) else draw_precision_recall(
                *metric.curve, ap, float(faces.label.mean()), measured
            ),
            "tracks": draw_tracks(tracks, self.num_faces, metric.threshold, measured) if tracks else None,
        }  # fmt: skip
        self.show(trainer, evaluation, pictures)

    def _tracks(self, faces: object) -> list[Track]:
        """What is drawn of the tracks that are shown."""
        found = []
        for sample, pictures in self._shown.items():
            mine = faces.sample == sample
            measured = faces.seconds[mine], faces.score[mine], faces.label[mine]
            found.append(Track("   ".join(self.samples[sample]), *measured, *pictures))
        return found
