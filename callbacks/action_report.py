"""What an evaluation of an action detector leaves behind: detections, numbers and where they come from, pictures."""

import io
import json
from pathlib import Path
from typing import Annotated

import numpy as np
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image

from callbacks.action_charts import draw_confusion, draw_precisions
from callbacks.action_pictures import Scene, film, sheet
from callbacks.action_scenes import scenes_of
from callbacks.anomaly_report import put, selection
from callbacks.between_ranks import Notes
from callbacks.panels import log_picture
from callbacks.video_file import mp4
from core.atomic import unlink


class ActionReport(Callback):
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
        self.folder, self.num_clips, self.num_films, self.num_frames = Path(folder), num_clips, num_films, num_frames
        self.threshold, self.decimals, self.confusion = threshold, decimals, confusion
        self._frames: dict[int, tuple[str, float]] = {}
        self._scenes: list[Scene] = []
        self._runs = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for name in ("frame_map", "detections"):
            if not hasattr(pl_module, name):
                raise ValueError(
                    f"callbacks.action_report: {type(pl_module).__name__} has no '{name}' to report on; "
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
            self._look(trainer, pl_module, "val", batch, (batch_idx + 1) / trainer.num_val_batches[0])

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: dict, batch_idx: int, *_: object
    ) -> None:
        self._look(trainer, pl_module, "test", batch, (batch_idx + 1) / trainer.num_test_batches[0])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._report(trainer, pl_module, "val", "validate")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._report(trainer, pl_module, "test", "test")

    def _begin(self) -> None:
        self._frames, self._scenes, self._runs = {}, [], self._runs + 1

    def _look(self, trainer: Trainer, pl_module: LightningModule, stage: str, batch: dict, done: float) -> None:
        frames = zip(batch["name"], batch["second"].tolist(), strict=True)
        self._frames |= dict(zip(batch["index"].tolist(), frames, strict=True))
        missing = int(np.ceil(self.num_clips * done - 1e-9)) - len(self._scenes)
        if trainer.is_global_zero and missing > 0 and (batch["view"] == 0).any():
            scores, metric = pl_module.detections(batch), pl_module.frame_map[stage]
            self._scenes += scenes_of(batch, scores, metric, self.threshold)[:missing]

    def _report(self, trainer: Trainer, pl_module: LightningModule, stage: str, stem: str) -> None:
        note = [[index, *frame] for index, frame in self._frames.items()]
        notes = Notes(trainer, f"{self.folder.absolute()}/{stem}/{self._runs}").collect(note)
        if not trainer.is_global_zero:
            return
        frames = {index: (name, second) for note in notes for index, name, second in note}
        metric, suffix = pl_module.frame_map[stage], "" if stem == "test" else f"_{stem}"
        self.folder.mkdir(parents=True, exist_ok=True)
        metric.write_results(self.folder / f"detections{suffix}.csv", frames, self.decimals)
        numbers = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        names = [name for _, name, _ in metric.classes]
        results = {
            "metrics": {name: value for name, value in numbers.items() if name.startswith(f"{stage}/")},
            "evaluator": metric.evaluator,
            "protocol": getattr(trainer.datamodule, "protocol", None),
            "checkpoint": selection(trainer.ckpt_path, trainer.datamodule),
            "key_frames": len(frames),
            "true_boxes": dict(zip(names, map(int, metric.true_boxes), strict=True)),
        }
        put(self.folder / f"results{suffix}.json", f"{json.dumps(results, indent=1)}\n".encode())
        self._draw(trainer, metric, stage, stem)

    def _draw(self, trainer: Trainer, metric: object, stage: str, stem: str) -> None:
        folder, note = self.folder / "pictures", metric.evaluator
        folder.mkdir(exist_ok=True)
        pictures = {
            "precision": draw_precisions(metric.classes, metric.precisions, metric.true_boxes, note),
            "confusion": draw_confusion(*metric.confusion(self.confusion), f"group of actions: {self.confusion}"),
            "clips": png(sheet(self._scenes, self.num_frames)) if self._scenes else None,
        }
        for old in folder.glob(f"{stem}_clip_*.mp4"):
            unlink(old)
        for name, picture in pictures.items():
            if picture is None:
                unlink(folder / f"{stem}_{name}.png")
                continue
            put(folder / f"{stem}_{name}.png", picture)
            for logger in trainer.loggers:
                log_picture(logger, f"{stage}/{name}", Image.open(io.BytesIO(picture)), trainer.global_step)
        for number, scene in enumerate(self._scenes[: self.num_films], start=1):
            put(folder / f"{stem}_clip_{number}.mp4", mp4(film(scene), scene.fps))


def png(picture: Image.Image) -> bytes:
    """A picture as a file."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
