"""What an evaluation of an action detector leaves behind: detections, numbers and where they come from, pictures."""

import io
from pathlib import Path
from typing import Annotated

from lightning import LightningModule, Trainer
from PIL import Image

from callbacks.action_charts import draw_confusion, draw_precisions
from callbacks.action_pictures import Scene, film, sheet
from callbacks.action_scenes import scenes_of
from callbacks.evaluation_report import Evaluation, EvaluationReport, due
from callbacks.video_file import mp4
from core.atomic import unlink, write_file


class ActionReport(EvaluationReport):
    """Write detections, numbers and pictures after a test, and after a validation that is no part of a training.

    Works with batches of key frames (docs/design.md) and with every task that has

    - ``frame_map``, by stage (``val``, ``test``) a metric like `metrics.ava.FrameMAP`, with its ``classes``,
      ``evaluator``, ``precisions``, ``true_boxes``, ``confusion``, ``match`` and ``write_results``;
    - ``detections(batch) -> Tensor (R, C)``, the scores in [0, 1] of the actors of a batch as it comes to a step, every
      clip by itself. It is called in the first process alone, without gradients, for some batches.

    ``<folder>/detections.csv`` has every box and class in the official format; ``<folder>/results.json`` all numbers,
    how they were measured, and the checkpoint; ``<folder>/pictures/`` ``test_precision.png``, the average precision of
    each class, ``test_confusion.png``, which class is taken for which, ``test_clips.png``, some clips with their boxes,
    true and predicted labels, and ``test_clip_1.mp4`` and so on, the same as films. After a validation:
    ``detections_validate.csv``, ``pictures/validate_clips.png`` and so on.

    Clips come from batches spread over what the first process evaluates, the first view of each, those with boxes
    first; their frame number T // 2 is taken for the key frame.

    Args:
        folder: The run folder.
        num_clips: Clips of the sheet; 0 for no sheet and no films.
        num_films: How many of them also become films.
        num_frames: Frames of a clip shown in small below its key frame.
        threshold: Score from which a label is shown as predicted; the highest one always is.
        decimals: Of the numbers in the csv file; 3 as in logs of ACAR and FBIL, null for all there are.
        confusion: The group of classes of which one is chosen (``pose``); those of boxes with several do not count.
    """

    name, asks = "action_report", ("frame_map", "detections")

    def __init__(
        self,
        folder: str,
        num_clips: Annotated[int, "num_clips >= 0"] = 6,
        num_films: Annotated[int, "num_films >= 0"] = 2,
        num_frames: Annotated[int, "num_frames >= 1"] = 8,
        threshold: Annotated[float, "0 <= threshold <= 1"] = 0.5,
        decimals: Annotated[int | None, "decimals is None or decimals >= 1"] = None,
        confusion: str = "pose",
    ) -> None:
        least = {"num_clips": (num_clips, 0), "num_films": (num_films, 0), "num_frames": (num_frames, 1)}
        for name, (value, lowest) in (least | ({} if decimals is None else {"decimals": (decimals, 1)})).items():
            if value < lowest:
                raise ValueError(f"callbacks.action_report.{name}: expected at least {lowest}, found {value}")
        if not 0 <= threshold <= 1:
            raise ValueError(f"callbacks.action_report.threshold: expected a score from 0 to 1, found {threshold}")
        super().__init__(folder)
        self.num_clips, self.num_films, self.num_frames = num_clips, num_films, num_frames
        self.threshold, self.decimals, self.confusion = threshold, decimals, confusion
        self._scenes: list[Scene] = []

    def begin(self) -> None:
        super().begin()
        self._scenes = []

    def look(
        self, trainer: Trainer, pl_module: LightningModule, evaluation: Evaluation, batch: dict, done: float
    ) -> None:
        self.remember(batch["index"], batch["name"], batch["second"].tolist())
        missing = due(self.num_clips, done) - len(self._scenes)
        if trainer.is_global_zero and missing > 0 and (batch["view"] == 0).any():
            scores, metric = pl_module.detections(batch), pl_module.frame_map[evaluation.stage]
            self._scenes += scenes_of(batch, scores, metric, self.threshold)[:missing]

    def report(self, trainer: Trainer, pl_module: LightningModule, evaluation: Evaluation) -> None:
        metric = pl_module.frame_map[evaluation.stage]
        names = [name for _, name, _ in metric.classes]
        true_boxes = dict(zip(names, map(int, metric.true_boxes), strict=True))
        metric.write_results(self.folder / f"detections{evaluation.suffix}.csv", self.samples, self.decimals)
        self.write_results(trainer, evaluation, metric, {"key_frames": len(self.samples), "true_boxes": true_boxes})
        note, group = metric.evaluator, f"group of actions: {self.confusion}"
        pictures = {
            "precision": draw_precisions(metric.classes, metric.precisions, metric.true_boxes, note),
            "confusion": draw_confusion(*metric.confusion(self.confusion), group),
            "clips": png(sheet(self._scenes, self.num_frames)) if self._scenes else None,
        }
        self.show(trainer, evaluation, pictures)
        self._film(self.folder / "pictures", evaluation.stem)

    def _film(self, folder: Path, stem: str) -> None:
        for old in folder.glob(f"{stem}_clip_*.mp4"):
            unlink(old)
        for number, scene in enumerate(self._scenes[: self.num_films], start=1):
            write_file(folder / f"{stem}_clip_{number}.mp4", mp4(film(scene), scene.fps))


def png(picture: Image.Image) -> bytes:
    """A picture as a file."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
