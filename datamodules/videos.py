"""Clips of any folder of videos, and what all datamodules of videos have in common."""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch.utils.data import DataLoader

from datamodules.clip_loading import ClipLoading
from datamodules.clips import Clips, Sampling, Source, UnreadableSource, describe
from datamodules.loading import WholeBatches, seeded
from datamodules.normalization import Normalization, normalize, statistics
from datamodules.reading import in_order
from datamodules.transforms import ClipTransform
from datamodules.video_set import AUTO, SAMPLE, VideoSet
from datamodules.window_batches import WindowBatches, WindowClips, as_it_is
from datamodules.windows import Windows

log = logging.getLogger(__name__)


class Videos(ClipLoading, VideoSet):
    """Clips of the videos and frame folders below a folder, or of those that a list file names.

    Batches (B = ``batch_size * clips_per_video`` clips): ``video`` uint8 (B, 3, T, H, W), float32 and normalised once
    it is on the device, then with ``mean`` and ``std`` (3,); ``name`` list[str]; ``frames`` int64 (B, T), frame
    numbers; ``seconds`` float64 (B, T), times since the first frame of the video; ``index`` int64 (B,), position of the
    clip in its split; ``row`` int64 (B,), its place among the ``rows`` clips of its video in an epoch; ``view`` int64
    (B,), which of the ``views`` cuts of these frames it is (here always 0 of 1); ``label`` int64 (B, T), 1 anomalous, 0
    normal, -1 unknown (here always); ``boxes`` (B, T, R, 4), xyxy in pixels of the clip (of the stored frame without
    ``boxes_follow``), ``box_scores`` (B, T, R), ``box_count`` int64 (B, T), rows from there on are padding.

    ``fit`` trains on the videos without the held-out share and validates on that; ``test`` and ``predict`` visit all
    videos. Training clips start at random frames, evaluation clips at fixed ones.

    Args:
        root: Folder of videos (mp4, avi, ...) and of folders of numbered images, searched in depth; ``sample`` makes
            and uses a small generated data set.
        list_file: File that names the videos, one per line (``datamodules.listing.read_list``), with paths relative to
            ``root``; None for all videos below ``root``.
        cache: Folder for what may be deleted: the index of the videos, and the sample.
        num_frames: T, frames of a clip.
        frame_step: Distance of two frames of a clip.
        step_s: Distance of two frames of a clip in seconds; takes the place of ``frame_step`` unless None.
        clips_per_video: Clips of one visit of a training video; they share its decoding (repeated sampling).
        eval_clips: Clips of a video in validation, test and prediction, spread evenly over it.
        repeat: Visits of every training video in an epoch.
        image_size: Height and width of a clip in pixels, or one number for both.
        resize: How frames are brought to size before they are cropped: ``none``, ``short_side`` or ``squash``.
        crop: What is cut out of training clips: ``multi_scale``, ``random_resized``, ``center`` or ``none``
            (``datamodules.transforms.ClipTransform``). Evaluation takes the centre, or the whole frame for ``none``.
        flip: Probability of mirroring a training clip.
        normalization: Statistics of the pixels (`datamodules.normalization.STATISTICS`), those that the network was
            trained with.
        regions: Candidate regions of a detector (``datamodules.regions.read_regions``), a file or a folder, absolute or
            relative to ``root``; ``auto`` takes the folder ``regions`` of ``root`` if there is one; None for no boxes.
        boxes_follow: Boxes follow the pixels through every crop and resize. False leaves them where the detector saw
            them, in pixels of the stored frame, which is what ``model.prior=upstream`` expects.
        reader: ``auto`` reads each video with the fastest backend that is exact on it; or the name of one.
        fps_of_frames: Frame rate in Hz of frame folders, used by ``step_s``; None for that of the data set, else 25.
        batch_size: Videos per step and device; a batch has ``clips_per_video`` times as many clips.
        num_workers: Loader processes per device; the samples do not depend on it.
        on_error: What a training video does that cannot be read. ``quarantine``: another sample of the epoch, chosen by
            seed, epoch and index, takes its place, it is logged and listed in ``bad_samples.jsonl`` in the trainer's
            ``default_root_dir``, and the run stops when there are too many. ``error``: the run stops at once, as it
            does in validation, test and prediction in any case.
        max_bad_share: Share of the training data that may be unreadable under ``quarantine``; one video always may.
        decode_timeout_s: Seconds after which a video counts as unreadable that is still not read; None for no deadline.
            Does not hold for ``num_workers=0``, where there is no process that could be killed.
        seed: Decides which videos are held out, and with epoch and index what is drawn.
        val_fraction: Share of the training videos that is held out for validation, rounded, at least one; 0 validates
            on the training videos themselves.
        windows: Have ``predict`` visit the videos of all splits as sliding windows of ``num_frames`` frames
            (``datamodules.windows.Windows``), in batches of ``batch_size`` clips, of a window in a view each. Their
            rows are the windows of a video; a clip of row -1 is nothing and fills up a batch; ``failed`` lists (name,
            path, reason) of videos that cannot be read, which end no prediction; there are no boxes. ``eval_clips``,
            ``resize`` and ``crop`` have no part in it.
        frames: Folder that ``mode=prepare`` writes the frames of all videos into, as JPEG images
            ``<video>/img_00001.jpg`` (``datamodules.export.frames``).
        frame_quality: Quality of these images.
        video_list: File that ``mode=prepare`` writes the names of all videos into.
        label_lists: Folder that ``mode=prepare`` writes lists of frames and labels into (``datamodules.export.lists``).

    Raises:
        ValueError: When an option is out of its range.
    """

    provides = (
        "video",
        "mean",
        "std",
        "name",
        "frames",
        "seconds",
        "index",
        "row",
        "rows",
        "view",
        "views",
        "label",
        "boxes",
        "box_scores",
        "box_count",
    )
    prepares = ("frames", "video_list", "label_lists")
    paths: ClassVar = {"root": ("sample",), "list_file": ()}
    paths_in_root: ClassVar = {"regions": ("auto",)}
    exact = ("boxes", "box_scores", "seconds", "pools")
    staying = (
        "index",
        "row",
        "rows",
        "view",
        "views",
        "seconds",
    )  # masks are drawn from index, the rest says what it is
    more_samples = ", or raise datamodule.repeat (training) or datamodule.val_fraction (validation)"

    def __init__(
        self,
        root: str = SAMPLE,
        list_file: str | None = None,
        cache: str = "data",
        num_frames: Annotated[int, "num_frames >= 1"] = 16,
        frame_step: Annotated[int, "frame_step >= 1"] = 2,
        step_s: Annotated[float | None, "step_s > 0"] = None,
        clips_per_video: Annotated[int, "clips_per_video >= 1"] = 1,
        eval_clips: Annotated[int, "eval_clips >= 1"] = 1,
        repeat: Annotated[int, "repeat >= 1"] = 1,
        image_size: Annotated[int | tuple[int, int], "image_size >= 1"] = 224,
        resize: Literal["none", "short_side", "squash"] = "none",
        crop: Literal["multi_scale", "random_resized", "center", "none"] = "multi_scale",
        flip: Annotated[float, "0 <= flip <= 1"] = 0.0,
        normalization: Normalization = "imagenet",
        regions: str | None = AUTO,
        boxes_follow: bool = True,
        reader: Literal["auto", "decord", "torchcodec", "pyav"] = "auto",
        fps_of_frames: Annotated[float | None, "fps_of_frames > 0"] = None,
        batch_size: Annotated[int, "batch_size >= 1"] = 8,
        num_workers: Annotated[int, "num_workers >= 0"] = 2,
        on_error: Literal["error", "quarantine"] = "quarantine",
        max_bad_share: Annotated[float, "0 <= max_bad_share <= 1"] = 0.01,
        decode_timeout_s: Annotated[float | None, "decode_timeout_s > 0"] = 60.0,
        seed: int = 0,
        val_fraction: Annotated[float, "0 <= val_fraction < 1"] = 0.1,
        windows: Windows | None = None,
        frames: str | None = None,
        frame_quality: Annotated[int, "1 <= frame_quality <= 100"] = 95,
        video_list: str | None = None,
        label_lists: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False, ignore=["windows"])
        for name in ("num_frames", "frame_step", "clips_per_video", "eval_clips", "repeat", "batch_size"):
            if self.hparams[name] < 1:
                raise ValueError(f"datamodule.{name}: expected at least 1, found {self.hparams[name]}")
        if num_workers < 0:
            raise ValueError(f"datamodule.num_workers: expected 0 (none) or more processes, found {num_workers}")
        for name in ("step_s", "fps_of_frames", "decode_timeout_s"):
            if self.hparams[name] is not None and not self.hparams[name] > 0:
                raise ValueError(f"datamodule.{name}: expected a positive number, found {self.hparams[name]}")
        if not 0 <= val_fraction < 1:
            raise ValueError(f"datamodule.val_fraction: expected a share in [0, 1), found {val_fraction}")
        if not 0 <= max_bad_share <= 1:
            raise ValueError(f"datamodule.max_bad_share: expected a share in [0, 1], found {max_bad_share}")
        if not 1 <= frame_quality <= 100:
            raise ValueError(f"datamodule.frame_quality: expected 1 to 100, found {frame_quality}")
        if on_error not in ("error", "quarantine"):
            raise ValueError(f"datamodule.on_error: expected error or quarantine, found {on_error!r}")
        if windows is not None and (frame_step, step_s) != (1, None):
            found = f"frame_step={frame_step}" if step_s is None else f"step_s={step_s}"
            raise ValueError(f"datamodule.frame_step: expected 1 with datamodule.windows, found datamodule.{found}")
        size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        self.train_transform = ClipTransform(size, resize, crop, flip)
        self.eval_transform = ClipTransform(size, resize, "none" if crop == "none" else "center")
        self.mean, self.std = statistics(normalization)
        self.windows = windows
        self.window_sources: list[Source | UnreadableSource] | None = None
        self.left_out: frozenset[str] = frozenset()
        self.allow_zero_length_dataloader_with_multiple_devices = True  # prediction may leave nothing to a process

    def prepare_data(self) -> None:
        """Make the sample if it is asked for, check that the data are there, and fill the index of the videos."""
        self.make_sample()
        training = self.trainer is None or self.trainer.training or self.trainer.validating
        evaluation = self.all_videos if self.slides() else self.evaluation_videos
        self.look(self.training_videos() if training else evaluation())  # setup says what is broken

    def setup(self, stage: str | None = None) -> None:
        """Build the data sets of ``fit`` (training and validation), ``validate``, ``test`` or ``predict``."""
        if stage in ("fit", "validate", None) and self.val_data is None:
            sources = self.sources(self.training_videos())
            train, val = self.split(sources)
            if self.hparams.on_error == "error":
                self.require_readable(sources)
            elif stage != "validate":
                self.start_quarantine(train)
            if len(train) == len(sources):  # nothing is held out: validation looks at what can be trained on
                val = [source for source in val if isinstance(source, Source)]
            self.require_readable(val)
            self.train_data = self.clips(train, self.train_transform, random=True)
            self.val_data = self.clips(val, self.eval_transform, random=False)
        slides = self.slides()
        if slides and stage in ("predict", None) and self.window_sources is None:
            self.window_sources = self.sources(self.all_videos(), boxes=False)
        if stage in (("test", None) if slides else ("test", "predict", None)) and self.eval_data is None:
            sources = self.sources(self.evaluation_videos())
            self.require_readable(sources)
            self.eval_data = self.tested(sources)

    def predict_dataloader(self) -> DataLoader:
        """Visit the videos that are not left out, in batches that depend on nothing but the list of videos."""
        if self.slides():
            return self.window_loader()
        wanted = [source.name not in self.left_out for source in self.eval_data.sources]
        sampler = WholeBatches(wanted, self.hparams.batch_size, *self.place())
        return DataLoader(sampler=sampler, generator=seeded(self.hparams.seed), **self.loading(self.eval_data))

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Cut windows out of their frames, normalise ``video`` where it now is, and add ``mean`` and ``std``."""
        if "pools" in batch:
            batch = self.windows.cut(batch, self.eval_transform.size)
        mean, std = (value.to(batch["video"].device) for value in (self.mean, self.std))
        return batch | {"video": normalize(batch["video"], mean, std), "mean": mean, "std": std}

    # What a callback needs to know that keeps something for every clip.

    def recipe(self) -> dict[str, Any]:
        """Everything that decides the pixels of an evaluation clip and with what it shares a batch, as plain values."""
        step = ("frame_step",) if self.hparams.step_s is None else ("step_s", "fps_of_frames")
        names = ("num_frames", *step, "normalization", "reader", "batch_size")
        chosen = {"image_size": list(self.eval_transform.size)} | {name: self.hparams[name] for name in names}
        if self.slides():
            return chosen | {"windows": self.windows.recipe()}
        transform = {"resize": self.eval_transform.resize, "crop": self.eval_transform.crop}
        return chosen | {"eval_clips": self.hparams.eval_clips} | transform

    def feature_sources(self) -> dict[str, dict[str, Any]]:
        """Describe the videos that test or prediction will visit, by name (``datamodules.clips.describe``).

        Raises:
            ValueError: When two have the same name.
        """
        sources = self.window_sources if self.slides() else self.eval_data.sources
        if shared := [name for name, times in Counter(source.name for source in sources).items() if times > 1]:
            raise ValueError(f"datamodule.list_file: {shared[0]} is listed more than once; what is kept of it is one")
        return {source.name: describe(source, self.root) for source in sources}

    def leave_out(self, names: Collection[str]) -> None:
        """Have prediction leave out videos that are finished, as far as that changes no batch of the others.

        To be called between ``setup`` and the making of the loader.
        """
        self.left_out = frozenset(names)

    # How the parts are put together.

    def split(
        self, sources: Sequence[Source | UnreadableSource]
    ) -> tuple[list[Source | UnreadableSource], list[Source | UnreadableSource]]:
        """Part training videos and held-out ones, as a function of the seed."""
        if self.hparams.val_fraction == 0 or len(sources) == 1:
            log.warning("no video is held out of %d: validation looks at training videos", len(sources))
            return list(sources), list(sources)
        held = max(1, round(self.hparams.val_fraction * len(sources)))
        order = torch.randperm(len(sources), generator=seeded(self.hparams.seed)).tolist()
        chosen = set(order[: min(held, len(sources) - 1)])
        val = [source for place, source in enumerate(sources) if place in chosen]
        return [source for place, source in enumerate(sources) if place not in chosen], val

    def clips(self, sources: Sequence[Source | UnreadableSource], transform: ClipTransform, random: bool) -> Clips:
        """Make the data set of a split."""
        options = self.hparams
        clips, repeat = (options.clips_per_video, options.repeat) if random else (options.eval_clips, 1)
        sampling = Sampling(options.num_frames, options.frame_step, options.step_s, clips, repeat, random)
        return Clips(
            *(sources, sampling, transform, options.seed, options.reader),
            boxes_follow=options.boxes_follow,
            timeout_s=options.decode_timeout_s,
        )

    def tested(self, sources: Sequence[Source]) -> Clips:
        """Make the data set of test and prediction: the clips that validation would look at."""
        return self.clips(sources, self.eval_transform, random=False)

    def slides(self) -> bool:
        """Whether what is evaluated are sliding windows, as in prediction alone."""
        return self.windows is not None and (self.trainer is None or self.trainer.predicting)

    def backend(self) -> str:
        """How videos are read, ``auto`` or the name of a backend; windows are read in order."""
        return in_order(self.hparams.reader) if self.slides() else self.hparams.reader

    def window_loader(self) -> DataLoader:
        """Visit the windows of the videos that are not left out, in batches that the data set makes."""
        options = self.hparams
        data = WindowBatches(
            self.window_sources,
            WindowClips(self.windows, options.num_frames, self.eval_transform.size),
            *(options.batch_size, self.backend(), options.decode_timeout_s, self.left_out, *self.place()),
        )
        shared = self.loading(data) | {"batch_size": None, "collate_fn": as_it_is, "persistent_workers": False}
        return DataLoader(generator=seeded(options.seed), **shared)
