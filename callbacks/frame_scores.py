"""The scores that a detector gives the frames of every video it predicts on."""

import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter

from callbacks.between_ranks import Notes
from core.atomic import replace_file, unlink, write_file

INDEX = "scores.json"

log = logging.getLogger(__name__)


class FrameScores(BasePredictionWriter):
    """Write what a task's ``predict_step`` returns: scores (N,) of the frames of each video, by its name.

    ``<folder>/<video>.npy`` is float32 (N,), from whatever rank. ``<folder>/scores.json`` comes last: the number of
    frames of every video, and the checkpoint; where it is missing, a prediction was interrupted.

    Args:
        folder: Where the files go; shared by all ranks.

    Raises:
        ValueError: When ``predict_step`` returns something else.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(write_interval="batch")
        self.folder = Path(folder)
        self._frames: dict[str, int] = {}
        self._runs = 0

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        warnings.filterwarnings("ignore", message="Couldn't infer the batch indices")  # videos are told by their names
        self._frames, self._runs = {}, self._runs + 1
        if trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            unlink(self.folder / INDEX)
        trainer.strategy.barrier()

    def write_on_batch_end(self, trainer: Trainer, pl_module: LightningModule, prediction: Any, *_: Any) -> None:
        if not isinstance(prediction, Mapping):
            raise ValueError(
                f"callbacks.frame_scores: {type(pl_module).__name__}.predict_step returned a "
                f"{type(prediction).__name__}; expected scores of frames by the name of their video"
            )
        for name, scores in prediction.items():
            array = scores.detach().cpu().numpy().astype(np.float32)
            path = self.folder / f"{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, lambda file, array=array: np.save(file, array, allow_pickle=False))
            self._frames[name] = len(array)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        notes = Notes(trainer, f"{self.folder.absolute()}/{self._runs}").collect(self._frames)
        if trainer.is_global_zero:
            frames = dict(sorted(pair for note in notes for pair in note.items()))
            content = {"checkpoint": None if trainer.ckpt_path is None else str(trainer.ckpt_path), "frames": frames}
            write_file(self.folder / INDEX, f"{json.dumps(content, indent=1)}\n".encode())
            log.info("scores of the frames of %d videos: %s", len(frames), self.folder)
