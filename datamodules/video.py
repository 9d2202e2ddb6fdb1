"""One video file, or a folder of videos, for whatever a task needs to predict on them."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from datamodules.faces.detector import CenterFace, FaceDetector
from datamodules.faces.finding import FaceFinding
from datamodules.normalization import Normalization, statistics
from datamodules.video_clips import VideoClips
from datamodules.video_faces import VideoFaces
from datamodules.windows import Windows

Crop = Literal["ava", "talkset", "ego4d_upstream", "none", "center", "multi_scale", "random_resized"]
POSITIVE = ("window_s", "longest_s", "fps_of_frames", "decode_timeout_s")
SHARES = ("min_overlap", "cut_threshold")
CROPS = {"faces": "talkset", "clips": "center"}  # where nothing is said
FINDING = ("min_overlap", "max_gap", "min_frames", "cut_threshold")
READING = ("path", "cache", "reader", "fps_of_frames", "num_workers", "decode_timeout_s", "seed")
FACES = (
    *("tracks", "max_gap", "face_size", "audio_level", "hop", "missing_audio", "batching", "window_s", "longest_s"),
    "first_image",
)
CLIPS = ("num_frames", "frame_step", "step_s", "eval_clips", "image_size", "resize", "normalization", "batch_size")


class Video(LightningDataModule):
    """A video file of one's own, or a folder of them, for prediction; what batches hold follows from the task.

    For a task that needs clips they are those of `datamodules.video_clips.VideoClips`, cut out as for the model's
    training. For a task that needs faces they are batches of face tracks (`datamodules.speakers.Speakers`) of
    `datamodules.video_faces.VideoFaces`: of the tracks of a csv, or of the faces that a detector finds, which are
    followed from frame to frame up to the next cut. What was found and cut out is kept in the cache, so that the same
    video is looked at once; memory does not grow with its length.

    Args:
        path: The video file or frame folder, or a folder that is searched for them in depth.
        tracks: A csv of face tracks, or of boxes of a detector (`datamodules.tracks.own_tracks`); None to look for
            faces.
        cache: Folder for what may be deleted: tracks that were found, faces, sounds, the index of videos.
        detector: Finds the faces of a frame; None for CenterFace.
        min_overlap: Intersection over union from one frame to the next with which a face is followed.
        min_frames: Frames in which a face was found; shorter tracks are left out.
        max_gap: Frames without a box that are filled in between two; longer gaps part a track, or end it.
        cut_threshold: Share of pixels of other colours than in the frame before from which a scene begins.
        face_size: Side of a face in pixels.
        crop: What the model was trained with. How faces are cut out (`datamodules.faces.crops`), None for ``talkset``;
            or clips, ``none`` for the whole frame, everything else of `datamodules.videos.Videos` for its centre.
        audio_level: Level of the sound that the model was trained with: that of 16-bit files, or normalised.
        hop: Where rows of coefficients begin: ``exact``, or with the rounding of published code.
        missing_audio: What becomes of videos without sound: ``error``, or ``silence`` takes its place.
        batching: ``budget``: parts of tracks, one at a time; ``windows``: all faces of a window, for models that look
            at several.
        window_s: Length of a window in seconds.
        longest_s: Length of the longest part of a track in seconds.
        fps_of_frames: Frame rate of frame folders in Hz; None for 25.
        first_image: Number of the image of a frame folder that shows frame 0.
        reader: ``auto`` for what reads whole videos in order best; or the name of a backend.
        num_frames: T, frames of a clip, as all that follows described with `datamodules.videos.Videos`.
        frame_step: Distance of two frames of a clip.
        step_s: The same in seconds, instead of ``frame_step``; None for that.
        eval_clips: Clips of a video, spread evenly over it.
        image_size: Height and width of a clip in pixels, or one number for both.
        resize: How frames are brought to size.
        normalization: Statistics of the pixels.
        batch_size: Videos of clips per step and device.
        windows: Sliding windows instead of clips.
        num_workers: Loader processes per device, and videos that are worked on at the same time.
        decode_timeout_s: Seconds after which a video counts as unreadable that is still not read; None for no deadline.
        seed: Of the loader.
        **training: What tasks say of their training data; it has no part in a prediction.

    Raises:
        ValueError: When an option is out of its range.
    """

    provides = (
        "faces",
        "audio",
        "target",
        "voice",
        "valid",
        "annotated",
        "length",
        "frames",
        "seconds",
        "boxes",
        "width",
        "frame_size",
        "faces_in_frame",
        "scene",
        "name",
        "entity",
        "index",
        "fps",
        "video",
        "mean",
        "std",
        "row",
        "rows",
        "view",
        "views",
        "label",
        "box_scores",
        "box_count",
        "class_id",
    )
    paths: ClassVar = {"path": (), "tracks": ()}
    exact = ("boxes", "box_scores", "width", "seconds", "fps", "pools")

    def __init__(
        self,
        path: str,
        tracks: str | None = None,
        cache: str = "data",
        detector: FaceDetector | None = None,
        min_overlap: Annotated[float, "0 < min_overlap <= 1"] = 0.5,
        min_frames: Annotated[int, "min_frames >= 1"] = 10,
        max_gap: Annotated[int, "max_gap >= 0"] = 10,
        cut_threshold: Annotated[float, "0 < cut_threshold <= 1"] = 0.5,
        face_size: Annotated[int, "face_size >= 1"] = 112,
        crop: Crop | None = None,
        audio_level: Literal["int16", "rms0.1"] = "int16",
        hop: Literal["exact", "upstream"] = "exact",
        missing_audio: Literal["error", "silence"] = "error",
        batching: Literal["budget", "windows"] = "budget",
        window_s: Annotated[float, "window_s > 0"] = 3.0,
        longest_s: Annotated[float, "longest_s > 0"] = 60.0,
        fps_of_frames: Annotated[float | None, "fps_of_frames > 0"] = None,
        first_image: int = 1,
        reader: Literal["auto", "decord", "torchcodec", "pyav"] = "auto",
        num_frames: Annotated[int, "num_frames >= 1"] = 16,
        frame_step: Annotated[int, "frame_step >= 1"] = 2,
        step_s: Annotated[float | None, "step_s > 0"] = None,
        eval_clips: Annotated[int, "eval_clips >= 1"] = 1,
        image_size: Annotated[int | tuple[int, int], "image_size >= 1"] = 224,
        resize: Literal["none", "short_side", "squash"] = "none",
        normalization: Normalization = "imagenet",
        batch_size: Annotated[int, "batch_size >= 1"] = 1,
        windows: Windows | None = None,
        num_workers: Annotated[int, "num_workers >= 0"] = 2,
        decode_timeout_s: Annotated[float | None, "decode_timeout_s > 0"] = 60.0,
        seed: int = 0,
        **training: Any,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False, ignore=["detector", "windows", *training])
        self.windows = windows
        self.mean, self.std = statistics(normalization)  # of clips
        self.detector = detector or CenterFace()
        for name, least in {"min_frames": 1, "max_gap": 0, "face_size": 1, "num_workers": 0}.items():
            if self.hparams[name] < least:
                raise ValueError(f"datamodule.{name}: expected {least} or more, found {self.hparams[name]}")
        for name in POSITIVE:
            if self.hparams[name] is not None and not self.hparams[name] > 0:
                raise ValueError(f"datamodule.{name}: expected a positive number, found {self.hparams[name]}")
        for name in SHARES:
            if not 0 < self.hparams[name] <= 1:
                raise ValueError(f"datamodule.{name}: expected a share above 0, up to 1, found {self.hparams[name]}")
        self.allow_zero_length_dataloader_with_multiple_devices = True  # a process may have no face to score

    def prepare_data(self) -> None:
        """Make what batches are made of, once."""
        self.content.prepare_data()

    def setup(self, stage: str | None = None) -> None:
        """Build the data set of prediction.

        Raises:
            ValueError: For another stage: nothing is known of a video but what is seen and heard.
        """
        if stage not in ("predict", None):
            raise ValueError(f"datamodule=video has no labels, mode={stage} needs some; it is for mode=predict")
        self.content.setup(stage)

    def predict_dataloader(self) -> DataLoader:
        return self.content.predict_dataloader()

    def transfer_batch_to_device(
        self, batch: dict[str, Any], device: torch.device, dataloader_idx: int
    ) -> dict[str, Any]:
        return self.content.transfer_batch_to_device(batch, device, dataloader_idx)

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        return self.content.on_after_batch_transfer(batch, dataloader_idx)

    def feature_sources(self) -> dict[str, dict[str, Any]]:
        """Describe the videos by name (``datamodules.clips.describe``)."""
        return self.content.feature_sources()

    def shown(self, name: str) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
        """Number, time in seconds and pixels, (H, W, 3), of each frame of a video."""
        return self.content.shown(name)

    def heard(self, name: str) -> Path | None:
        """The file with the sound of a video; None where there is none."""
        return self.content.heard(name)

    @cached_property
    def content(self) -> VideoFaces | VideoClips:
        """What makes the batches that the task needs.

        Raises:
            ValueError: When nothing does.
        """
        task = None if self.trainer is None else self.trainer.lightning_module
        needs = getattr(task, "needs", ())
        for provides, make in ((VideoFaces.provides, self._faces), (VideoClips.provides, self._clips)):
            if set(needs) <= set(provides):
                content = make()
                content.trainer = self.trainer
                return content
        lacking = ", ".join(sorted(set(needs) - set(self.provides)))
        raise ValueError(f"datamodule=video: its batches have no {lacking}, which {type(task).__name__} needs")

    def _faces(self) -> VideoFaces:
        finding = FaceFinding(self.detector, *self._options(FINDING).values())
        return VideoFaces(finding=finding, crop=self._crop("faces"), **self._options(READING + FACES))

    def _clips(self) -> VideoClips:
        return VideoClips(crop=self._crop("clips"), windows=self.windows, **self._options(READING + CLIPS))

    def _options(self, names: Sequence[str]) -> dict[str, Any]:
        return {name: self.hparams[name] for name in names}

    def _crop(self, content: str) -> str:
        return self.hparams.crop or CROPS[content]
