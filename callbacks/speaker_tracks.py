"""The scores of the faces of videos, gathered from the batches of a prediction and from all processes."""

import warnings
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from numpy.typing import NDArray

from callbacks.between_ranks import Notes
from core.atomic import replace_file, unlink

COLUMNS = ("frames", "seconds", "boxes", "score")
PREDICTED = ("name", "entity", *COLUMNS)
ROW = np.dtype([("frame", "<i8"), ("second", "<f8"), ("box", "<f4", 4), ("score", "<f4")])


@dataclass(frozen=True)
class SpeakerTrack:
    """A face of a video, and how much it seems to speak.

    Attributes:
        entity: Which face it is, unique within the video.
        frames: int64 (N,), numbers of the frames in which it has a box, increasing.
        seconds: float64 (N,), their times since the first frame of the video.
        boxes: float32 (N, 4), xyxy in [0, 1] of the frame.
        scores: float32 (N,), the higher the more it speaks.
        fps: Frame rate of the video in Hz.
    """

    entity: str
    frames: NDArray[np.int64]
    seconds: NDArray[np.float64]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    fps: float


class ScoredFaces:
    """Frames of faces with their scores, as they come."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], list[NDArray]] = {}
        self._fps: dict[tuple[str, str], float] = {}

    def add(self, prediction: Mapping[str, Any], fps: float) -> None:
        """Take in a part of a face track.

        Args:
            prediction: ``name``, ``entity``, and of N frames ``frames``, ``seconds``, ``boxes`` (N, 4) and ``score``.
            fps: Frame rate of the video in Hz.
        """
        rows = np.empty(len(prediction["frames"]), ROW)
        for name, key in zip(ROW.names, COLUMNS, strict=True):
            column = prediction[key]
            rows[name] = (column.float() if key == "score" else column).cpu().numpy()
        track = prediction["name"], prediction["entity"]
        self._rows.setdefault(track, []).append(rows)
        self._fps[track] = fps

    def tracks(self) -> dict[str, list[SpeakerTrack]]:
        """The faces of each video in the order in which they appear.

        Raises:
            ValueError: When a face has two scores in one frame.
        """
        found: dict[str, list[SpeakerTrack]] = {}
        for (video, entity), parts in sorted(self._rows.items()):
            rows = np.sort(np.concatenate(parts), order="frame")
            twice = rows["frame"][1:][rows["frame"][1:] == rows["frame"][:-1]]
            if len(twice):
                raise ValueError(
                    f"{video}, face {entity}: frame {twice[0]} was predicted twice; a sampler repeats rows"
                )
            if len(rows):
                columns = (np.ascontiguousarray(rows[name]) for name in ROW.names)
                found.setdefault(video, []).append(SpeakerTrack(entity, *columns, self._fps[video, entity]))
        return {video: sorted(tracks, key=lambda track: track.frames[0]) for video, tracks in found.items()}

    def save(self, path: Path) -> None:
        """Write everything into a file that `load` reads."""
        parts = {key: np.concatenate(rows) for key, rows in self._rows.items()}
        keys = np.array(list(parts), dtype=np.str_).reshape(-1, 2)
        fps = np.array([self._fps[key] for key in parts], dtype=np.float64)
        lengths = np.array([len(rows) for rows in parts.values()], dtype=np.int64)
        rows = np.concatenate([np.empty(0, ROW), *parts.values()])
        replace_file(path, lambda file: np.savez(file, keys=keys, fps=fps, lengths=lengths, rows=rows))

    def load(self, path: Path) -> None:
        """Take in what another process has written."""
        with np.load(path, allow_pickle=False) as file:
            rows, keys = file["rows"], [tuple(key) for key in file["keys"].tolist()]
            stops = np.cumsum(file["lengths"])
            self._fps |= dict(zip(keys, file["fps"].tolist(), strict=True))
            for key, length, stop in zip(keys, file["lengths"], stops, strict=True):
                self._rows.setdefault(key, []).append(rows[stop - length : stop])


class SpeakerWriter(BasePredictionWriter):
    """Base of what is written of the faces of each video: gathers their scores, on any number of processes.

    Works with tasks whose ``predict_step`` returns for each row of a batch of face tracks (docs/design.md) a dict:
    ``name``, ``entity``, and of its N frames with a face ``frames``, ``seconds``, ``boxes`` (N, 4) and ``score`` (N,).
    The datamodule names in ``feature_sources()`` the videos that are visited, also those without a face.

    Args:
        folder: Where the files go; shared by all processes.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(write_interval="batch")
        self.folder = Path(folder)
        self._faces: ScoredFaces | None = None  # None unless a prediction is under way
        self._runs = 0

    @abstractmethod
    def write(self, trainer: Trainer, videos: Mapping[str, list[SpeakerTrack]]) -> None:
        """Write the files of all videos; called once, in the first process."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage != "predict":
            return
        warnings.filterwarnings("ignore", message="Couldn't infer the batch indices")  # rows are told by their names
        self._faces, self._runs = ScoredFaces(), self._runs + 1
        if trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)

    def write_on_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, prediction: Any, batch_indices: Any, batch: dict, *_: Any
    ) -> None:
        for row, fps in zip(self._checked(pl_module, prediction), batch["fps"].tolist(), strict=True):
            self._faces.add(row, fps)

    def _checked(self, task: LightningModule, prediction: Any) -> list[Mapping[str, Any]]:
        """The rows that a step has returned."""
        rows = prediction if isinstance(prediction, list) else [prediction]
        for row in rows:
            if not isinstance(row, Mapping) or not set(PREDICTED) <= set(row):
                found = ", ".join(row) if isinstance(row, Mapping) else f"a {type(row).__name__}"
                expected = f"{type(self).__name__} expects a dict for each row with {', '.join(PREDICTED)}"
                raise ValueError(f"callbacks: {type(task).__name__}.predict_step returned {found}; {expected}")
        return rows

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Bring together what all processes have; also those that had no batch, for which no other hook is called."""
        faces, self._faces = self._faces, None
        if faces is None:
            return
        topic = f"{type(self).__name__}/{self.folder.absolute()}/{self._runs}"
        if not trainer.is_global_zero:
            part = self.folder / f".{type(self).__name__}-{trainer.global_rank}.npz"
            faces.save(part)
            Notes(trainer, topic).collect(part.name)
            return
        for name in filter(None, Notes(trainer, topic).collect(None)):
            faces.load(self.folder / name)
            unlink(self.folder / name)
        found = faces.tracks()
        visited = getattr(trainer.datamodule, "feature_sources", dict)()
        self.write(trainer, {video: found.get(video, []) for video in sorted({*visited, *found})})

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._faces = None
