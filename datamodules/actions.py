"""Clips around key frames of any folder of videos, with the boxes of persons and their actions, from one csv."""

import logging
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from datamodules.action_set import TRAIN, VAL, ActionSet
from datamodules.ava_index import Index
from datamodules.clip_loading import ClipLoading
from datamodules.clips import Sampling, UnreadableSource
from datamodules.key_frames import Actors, EvaluationLooks, KeyFrames, Movie, TrainingLook, collate_key_frames
from datamodules.label_map import Action, LabelMap
from datamodules.normalization import Normalization, normalize, statistics
from datamodules.video_set import AUTO, SAMPLE

log = logging.getLogger(__name__)

PARTS = {"fit": (TRAIN, VAL), "validate": (VAL,), "test": (VAL,), "predict": (VAL,), None: (TRAIN, VAL)}
LEAST = {"num_frames": 1, "frame_step": 1, "short_side": 1, "box_copies": 1, "val_every_s": 1, "batch_size": 1}
SHARES = ("flip", "box_jitter", "least_visible", "train_min_score", "min_score", "max_bad_share", "val_fraction")
CHOICES = {
    "box_units": ("auto", "pixels", "relative"),
    "train_boxes": ("both", "annotated"),
    "eval_boxes": ("auto", "proposed", "annotated"),
    "on_error": ("quarantine", "error"),
}


class Actions(ClipLoading, ActionSet):
    """Clips around key frames, with boxes of actors and their actions: a folder of videos and one csv of one's own.

    The csv has the header ``video,time_s,x1,y1,x2,y2,class``; a row is a box with one action at a time since the first
    frame of its video, sides in pixels or in [0, 1]; boxes with several actions have several rows. The classes are
    those that the csv names.

    Batches (B clips of T frames, R actors of all clips, C classes): ``video`` uint8 (B, 3, T, H, W), float32 and
    normalised once it is on the device, then with ``mean`` and ``std`` (3,), and 0 right of and below a clip's ``size``
    int64 (B, 2), height and width; ``name`` list[str]; ``second`` float64 (B,), time of the key frame as annotated;
    ``frames`` int64 (B, T), frame numbers; ``seconds`` float64 (B, T), times since the first frame of the video;
    ``index`` int64 (B,), position of the key frame in its split; ``view``, ``views`` int64 (B,), which of how many
    looks at it. Of the actors: ``clip`` int64 (R,), the clip each is in, increasing; ``rois`` float32 (R, 4), xyxy in
    [0, 1] of the clip itself; ``actor`` int64 (R,), the box within its key frame, the same in every view; ``boxes``
    float64 (R, 4), xyxy as annotated or proposed, in [0, 1] of the stored frame; ``scores`` float32 (R,), 1 for
    annotated boxes; ``targets`` float32 (R, C), 0 or 1. In evaluation ``truth``, a list of B pairs: annotated boxes
    float64 (G, 4) and their actions float32 (G, C). R and G may be 0. All views of a key frame are in the same batch.

    ``fit`` trains on the annotated boxes, and those of a detector, of the videos without the held-out share; the others
    visit the held-out videos, and there the boxes of the detector where there is one. The clip lies around its key
    frame, which frame T // 2 shows; before the first frame of a video it repeats that one, and behind the last one that
    one.

    Args:
        root: Folder of the videos, searched in depth.
        annotations: The csv, absolute or relative to ``root``; ``auto`` for the only one in ``root``.
        proposals: Boxes of a person detector, likewise, with ``score`` in place of ``class``; ``auto`` for
            ``proposals.csv`` in ``root`` if there is one; None for none.
        label_map: List of classes, a pbtxt or a name per line, likewise; ``auto`` for the names in ``annotations``.
        cache: Folder for what may be deleted: indices of videos and key frames.
        num_classes: What the model expects; None for any number.
        box_units: ``pixels``, ``relative`` ([0, 1]), or ``auto`` for what the numbers look like.
        begins_s: Time of the first frame of a video in seconds of the annotation; None for 0.
        num_frames: T, frames of a clip.
        frame_step: Distance of two frames of a clip, counted at ``fps``; videos of any frame rate are read by time.
        fps: Frame rate in Hz by which steps are counted, and that of frame folders.
        short_side: Short side of the frames in pixels.
        train_short_side: Smallest and largest one in training, drawn for each clip; None for ``short_side``.
        crop: Side of the square that is cut out of training clips; None for whole frames.
        flip: Probability of mirroring a training clip.
        box_jitter: Displacement of the sides of training boxes, in sides of the box.
        box_copies: Boxes that are made of each in training: itself and jittered copies, or one jittered box alone.
        least_visible: Share of a box's area of which more must lie in the crop.
        eval_short_sides: Short sides of the views in evaluation; None for ``short_side``.
        eval_flip: See every view mirrored as well.
        eval_shifts_s: Seconds by which the clips of the temporal views lie beside the key frame; None for 0.
        train_boxes: Train on boxes of the detector as well (``both``), without an action if they have none.
        eval_boxes: Boxes that are evaluated; ``auto``: those of the detector where there are any, else annotated ones.
        train_min_score: Score that boxes of the detector have at least in training.
        min_score: The same in evaluation.
        val_every_s: Validate on key frames whose whole seconds this divides; test and prediction visit all.
        normalization: Statistics of the pixels, those that the network was trained with.
        reader: ``auto`` reads each video with the fastest backend that is exact on it; or the name of one.
        batch_size: Key frames per step and device; in evaluation each with all its views.
        num_workers: Loader processes per device; the samples do not depend on it.
        on_error: What becomes of a training video that cannot be read, and of rows that cannot be used: under
            ``quarantine`` others take their place and they are named; under ``error`` the run stops.
        max_bad_share: Share of the training data, and of the rows of a file, that may be unusable under ``quarantine``.
        decode_timeout_s: Seconds after which a video counts as unreadable that is still not read; None for no deadline.
        seed: Decides which videos are held out, and with epoch and index what is drawn.
        val_fraction: Share of the videos that is held out, at least one; 0 validates on the training videos themselves.

    Raises:
        ValueError: When an option is out of its range.
    """

    provides = (
        "video",
        "mean",
        "std",
        "size",
        "name",
        "second",
        "frames",
        "seconds",
        "index",
        "view",
        "views",
        "clip",
        "rois",
        "actor",
        "boxes",
        "scores",
        "targets",
        "truth",
    )
    paths: ClassVar = {"root": ()}
    paths_in_root: ClassVar = {"annotations": ("auto",), "proposals": ("auto",), "label_map": ("auto",)}
    exact = ("rois", "boxes", "scores", "second", "seconds", "truth")
    staying = ("index", "view", "views", "second", "seconds", "truth")
    collate = staticmethod(collate_key_frames)
    select_on_test = True  # AVA's test labels are not public: its validation split is what everybody reports
    counted = "key frames"
    label_map: LabelMap | None = None

    def __init__(
        self,
        root: str,
        annotations: str = AUTO,
        proposals: str | None = AUTO,
        label_map: str = AUTO,
        cache: str = "data",
        num_classes: Annotated[int | None, "num_classes >= 1"] = None,
        box_units: Literal["auto", "pixels", "relative"] = "auto",
        begins_s: float | None = None,
        num_frames: Annotated[int, "num_frames >= 1"] = 32,
        frame_step: Annotated[int, "frame_step >= 1"] = 2,
        fps: Annotated[float, "fps > 0"] = 30.0,
        short_side: Annotated[int, "short_side >= 1"] = 256,
        train_short_side: Annotated[tuple[int, int] | None, "train_short_side >= 1"] = None,
        crop: Annotated[int | None, "crop >= 1"] = None,
        flip: Annotated[float, "0 <= flip <= 1"] = 0.5,
        box_jitter: Annotated[float, "0 <= box_jitter < 0.5"] = 0.075,
        box_copies: Annotated[int, "box_copies >= 1"] = 1,
        least_visible: Annotated[float, "0 <= least_visible < 1"] = 0.0,
        eval_short_sides: Annotated[tuple[int, ...] | None, "eval_short_sides >= 1"] = None,
        eval_flip: bool = False,
        eval_shifts_s: tuple[float, ...] | None = None,
        train_boxes: Literal["both", "annotated"] = "both",
        eval_boxes: Literal["auto", "proposed", "annotated"] = "auto",
        train_min_score: Annotated[float, "0 <= train_min_score <= 1"] = 0.9,
        min_score: Annotated[float, "0 <= min_score <= 1"] = 0.8,
        val_every_s: Annotated[int, "val_every_s >= 1"] = 1,
        normalization: Normalization = "slowfast",
        reader: Literal["auto", "decord", "torchcodec", "pyav"] = "auto",
        batch_size: Annotated[int, "batch_size >= 1"] = 2,
        num_workers: Annotated[int, "num_workers >= 0"] = 2,
        on_error: Literal["error", "quarantine"] = "quarantine",
        max_bad_share: Annotated[float, "0 <= max_bad_share <= 1"] = 0.01,
        decode_timeout_s: Annotated[float | None, "decode_timeout_s > 0"] = 60.0,
        seed: int = 0,
        val_fraction: Annotated[float, "0 <= val_fraction < 1"] = 0.1,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        refuse_unsuited(self.hparams)
        self.mean, self.std = statistics(normalization)

    @property
    def classes(self) -> tuple[Action, ...]:
        """Id, name and group of each class, from ``setup`` on, in the order of the channels of ``targets``."""
        return self.label_map.actions

    @property
    def protocol(self) -> str:
        """One line about what is evaluated, and what models are selected by."""
        options = self.hparams
        data = f"GENERATED sample, not {self.title}" if options.root == SAMPLE else self.title
        boxes = options.eval_boxes
        if boxes != "annotated":
            boxes += f", from score {options.min_score:g} on"
        return f"{data}, boxes: {boxes}; validation and test are of the same videos, by which models are selected too"

    def prepare_data(self) -> None:
        """Make the sample if it is asked for, and fill the caches, which would else be every process's work."""
        self.make_sample()
        movies, classes = self.movies(), self.checked_label_map()
        for split in (TRAIN, VAL) if self.trainer is not None and self.trainer.training else (VAL,):
            self.index(split, classes, movies)

    def setup(self, stage: str | None = None) -> None:
        """Build the data sets of ``fit`` (training and validation), ``validate``, ``test`` or ``predict``."""
        self.label_map = self.checked_label_map()
        movies = self.movies()
        for split in PARTS[stage]:
            index = self.index(split, self.label_map, movies)
            if split == TRAIN:
                self.train_data = self.training_clips(index, movies)
            if split == VAL and stage in ("fit", "validate", None):
                self.val_data = self.evaluation_clips(index, movies, self.hparams.val_every_s)
            if split == VAL and stage in ("test", "predict", None):
                self.eval_data = self.evaluation_clips(index, movies)

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Normalise ``video`` where it now is, leave 0 outside each clip, and add ``mean`` and ``std``."""
        mean, std = (value.to(batch["video"].device) for value in (self.mean, self.std))
        video = normalize(batch["video"], mean, std)
        for clip, (height, width) in zip(video, batch["size"].tolist(), strict=True):
            clip[..., height:, :] = 0
            clip[..., width:] = 0
        return batch | {"video": video, "mean": mean, "std": std}

    def training_clips(self, index: Index, movies: dict[str, Movie | UnreadableSource]) -> KeyFrames:
        """The key frames of training that have an actor."""
        options = self.hparams
        chosen = index.annotated.copy()
        if options.train_boxes == "both":
            chosen |= index.scores >= np.float32(options.train_min_score)
        visited = np.flatnonzero((index.count(chosen) > 0) & self.belongs(index, TRAIN))
        actors = Actors(chosen, options.box_jitter, options.box_copies, options.least_visible)
        sides = options.train_short_side or (options.short_side, options.short_side)
        data = self.key_frames(index, visited, movies, actors, TrainingLook(tuple(sides), options.crop, options.flip))
        if options.on_error == "error":
            self.require_readable(data.sources)
        else:
            self.start_quarantine(data.sources)
        return data

    def evaluation_clips(
        self, index: Index, movies: dict[str, Movie | UnreadableSource], every_s: int = 1
    ) -> KeyFrames:
        """The key frames that have a box of either kind: annotated ones do not choose among those of the detector."""
        options = self.hparams
        proposed = ~index.annotated & (index.scores >= np.float32(options.min_score))
        use_proposed = options.eval_boxes == "proposed" or (options.eval_boxes == AUTO and not index.annotated.all())
        if not use_proposed:
            log.warning(
                "the ANNOTATED boxes are evaluated, no detector's: numbers cannot be compared with published ones"
            )
        chosen = proposed if use_proposed else index.annotated
        asked = (index.count(chosen | index.annotated) > 0) & (np.floor(index.second) % every_s == 0)
        visited = np.flatnonzero(asked & self.belongs(index, VAL))
        sides = tuple(options.eval_short_sides or (options.short_side,))
        looks = EvaluationLooks(sides, tuple(options.eval_shifts_s or (0.0,)), options.eval_flip)
        data = self.key_frames(index, visited, movies, Actors(chosen), looks)
        self.require_readable(data.sources)
        return data

    def key_frames(
        self,
        index: Index,
        visited: np.ndarray,
        movies: dict[str, Movie | UnreadableSource],
        actors: Actors,
        looks: TrainingLook | EvaluationLooks,
    ) -> KeyFrames:
        """Make the data set of a split."""
        options, random = self.hparams, isinstance(looks, TrainingLook)
        if not len(visited):
            raise ValueError(
                f"{TRAIN if random else VAL}: no key frame is left of {len(index)} in datamodule.annotations"
            )
        sampling = Sampling(options.num_frames, step_s=options.frame_step / options.fps, random=random)
        rest = (options.seed, options.reader, options.decode_timeout_s)
        return KeyFrames(index, visited, movies, actors, sampling, looks, *rest)


def refuse_unsuited(options: Mapping[str, Any]) -> None:
    """Refuse options that are out of their range.

    Raises:
        ValueError: At the first one.
    """
    for name, least in LEAST.items():
        if options[name] < least:
            raise ValueError(f"datamodule.{name}: expected at least {least}, found {options[name]}")
    for name in SHARES:
        if not 0 <= options[name] <= 1:
            raise ValueError(f"datamodule.{name}: expected a number in [0, 1], found {options[name]}")
    for name in ("fps", "decode_timeout_s"):
        if options[name] is not None and not options[name] > 0:
            raise ValueError(f"datamodule.{name}: expected a positive number, found {options[name]}")
    for name, choices in CHOICES.items():
        if options[name] not in choices:
            raise ValueError(f"datamodule.{name}: expected one of {', '.join(choices)}, found {options[name]!r}")
    if options["num_workers"] < 0:
        raise ValueError(f"datamodule.num_workers: expected 0 (none) or more, found {options['num_workers']}")
    if options["box_jitter"] >= 0.5:
        raise ValueError(f"datamodule.box_jitter: expected less than 0.5, found {options['box_jitter']}")
    if options["box_copies"] > 1 and options["box_jitter"] == 0:
        raise ValueError(
            f"datamodule.box_copies={options['box_copies']}: copies are equal without datamodule.box_jitter"
        )
    low, high = options["train_short_side"] or (options["short_side"],) * 2
    if not 1 <= low <= high:
        raise ValueError(f"datamodule.train_short_side: expected a smaller and a larger side, found {low}, {high}")
    if options["crop"] is not None and not 1 <= options["crop"] <= low:
        raise ValueError(f"datamodule.crop: expected at most the short side {low}, found {options['crop']}")
