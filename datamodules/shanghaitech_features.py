"""Features of ShanghaiTech Campus for weakly supervised anomaly detection: bags of rows, labels of videos, frames."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from lightning import LightningDataModule
from torch.utils.data import DataLoader

from datamodules.checking import BROKEN, LABEL_LENGTH, MISSING, UNREADABLE, Defect, Step
from datamodules.errors import PathNotFoundError
from datamodules.export.preparing import require_any
from datamodules.export.product import FEATURES, Product, failed
from datamodules.export.toolkit import LAYOUTS, export_features
from datamodules.feature_bags import Bag, defect, make_bags, read_labels
from datamodules.feature_files import FOREIGN, SIDECAR, FeatureFile, FeatureFileError
from datamodules.feature_folder import (
    MISSING_FEATURES,
    ORPHAN_FEATURES,
    OTHER_RECIPE,
    find_features,
    orphans,
    require_usable,
)
from datamodules.feature_sets import EvaluationBags, TrainingBags, collate_bags
from datamodules.feature_windows import Windowing
from datamodules.loader_workers import loading_options
from datamodules.loading import ResumableLoader, Shard, ShardedShuffle, seeded
from datamodules.samples import shanghaitech as sample
from datamodules.splits import choose, hold_out, is_sample
from datamodules.video_lists import NamedVideo
from datamodules.video_set import AUTO, SAMPLE, SAMPLE_FOLDER

log = logging.getLogger(__name__)

MASKS = Path("testing", "test_frame_mask")  # below the root
TRAIN, VAL, TEST = "training", "validation", "test"
PARTS = {"fit": (TRAIN, VAL), "validate": (VAL,), "test": (TEST,), "predict": (TEST,), None: (TRAIN, VAL, TEST)}
ADVICE = "Expected a folder of features; python train.py task=features ... writes one into its run folder."
SOURCES = {"weak": "Zhong et al., CVPR 2019", "one_class": "the data set's own"}


class ShanghaiTechFeatures(LightningDataModule):
    """Dumped features of ShanghaiTech Campus (Liu et al., 2018) as bags of rows, labelled by video.

    Batches (B videos): ``features`` float32 (B, V, T, C), V views (crops), T rows of the longest video, C channels of
    all statistics side by side; ``mask`` bool (B, T), True for rows that are there; ``label`` int64 (B,), 1 when the
    video has an anomaly; ``name`` list[str]; ``index`` int64 (B,), position in the split. In evaluation also ``spans``
    int64 (B, T, 2), positions of the first and last frame of each row; ``num_frames`` int64 (B,), N of each, 0 where
    nothing is known of the frames (of a held-out video): it counts for no number of frames; ``frame_label`` int64
    (B, N), 1 anomalous, 0 normal; ``scene`` int64 (B,). What lies behind the end of a video is 0 in ``features`` and -1
    in ``spans`` and ``frame_label``.

    ``fit`` trains on pairs of an anomalous and a normal video and validates on the held-out part of the training
    videos; ``test`` and ``predict`` visit the test split. Evaluation batches hold one video, so that no score depends
    on what it is evaluated with.

    Args:
        features: Folder of features, of training and test videos.
        root: Folder of the data set, for the labels of frames; ``sample`` for the generated data set and its splits;
            None for the splits of the real one without its files, where ``labels`` come from elsewhere.
        cache: Folder of the sample.
        labels: Labels of frames (``datamodules.frame_labels``), absolute or relative to ``root``; ``auto`` for the
            masks in ``root``. A single ``.npy`` holds those of all test videos, ``stride`` for each row, in the order
            of the split. Normal videos need none.
        split: ``weak``: anomalous videos in training, 238 videos, and 199 to test (Zhong et al., CVPR 2019).
            ``one_class``: 330 normal videos to train on, the 107 anomalous ones to test. Numbers of the two are not
            comparable.
        train_list: List of training videos in place of those of the split (``datamodules.video_lists``).
        test_list: The same for test videos.
        layout: ``sidecar`` for features that ``task=features`` has dumped. What the axes of files of other programs
            are is never guessed: ``rows_first`` (T, C) or (T, V, C); ``crops_first`` (V, T, C); ``statistics``
            (T, 3, C); ``crop_files``, a file (T, C) per crop.
        stride: Frames between the starts of two rows of such files; a sidecar says it itself.
        clip_len: Frames that a row of such files was computed from.
        frame_tolerance: Frames by which labels and features of a video may differ in its length.
        segments: Segments into which the rows of a training video are averaged; None for its rows as they are.
        max_rows: Longest run of rows that is taken of a training video without segments, from a start that is drawn.
        batch_size: Pairs of videos per training step and device.
        repeat: Visits of every training video in an epoch.
        num_workers: Loader processes per device; the samples do not depend on it.
        seed: Decides which videos are held out, and with epoch and index what is drawn.
        val_fraction: Share of the training videos that is held out for validation, of every scene and label alike; 0
            validates on the training videos themselves.
        select_on_test: Validate on the test split, and hold nothing out, only to repeat published protocols that
            report the best of many looks at it.
        export: Folder that ``mode=prepare`` writes the features of all videos of the split into.
        export_layout: Whose folders and shapes they get (``datamodules.export.toolkit``).

    Raises:
        ValueError: When an option is out of its range.
    """

    provides = ("features", "mask", "label", "name", "index", "spans", "num_frames", "frame_label", "scene")
    prepares = ("export",)
    paths: ClassVar = {"features": (), "root": ("sample",), "train_list": (), "test_list": ()}
    paths_in_root: ClassVar = {"labels": ("auto",)}
    title = "ShanghaiTech Campus"
    kinds_of_defects = (MISSING_FEATURES, ORPHAN_FEATURES, UNREADABLE, OTHER_RECIPE, MISSING, BROKEN, LABEL_LENGTH)

    def __init__(
        self,
        features: str,
        root: str | None = SAMPLE,
        cache: str = "data",
        labels: str = AUTO,
        split: Literal["weak", "one_class"] = "weak",
        train_list: str | None = None,
        test_list: str | None = None,
        layout: Literal["sidecar", "rows_first", "crops_first", "statistics", "crop_files"] = "sidecar",
        stride: Annotated[int, "stride >= 1"] = 16,
        clip_len: Annotated[int, "clip_len >= 1"] = 16,
        frame_tolerance: Annotated[int, "frame_tolerance >= 0"] = 1,
        segments: Annotated[int | None, "segments >= 1"] = 32,
        max_rows: Annotated[int | None, "max_rows >= 1"] = None,
        batch_size: Annotated[int, "batch_size >= 1"] = 8,
        repeat: Annotated[int, "repeat >= 1"] = 10,
        num_workers: Annotated[int, "num_workers >= 0"] = 0,
        seed: int = 0,
        val_fraction: Annotated[float, "0 <= val_fraction < 1"] = 0.2,
        select_on_test: bool = False,
        export: str | None = None,
        export_layout: Literal["arnet", "rtfm", "tad"] = "arnet",
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        least = {"stride": 1, "clip_len": 1, "frame_tolerance": 0, "segments": 1, "max_rows": 1, "batch_size": 1}
        for name, limit in (least | {"repeat": 1, "num_workers": 0}).items():
            if self.hparams[name] is not None and self.hparams[name] < limit:
                raise ValueError(f"datamodule.{name}: expected at least {limit}, found {self.hparams[name]}")
        if not 0 <= val_fraction < 1:
            raise ValueError(f"datamodule.val_fraction: expected a share in [0, 1), found {val_fraction}")
        for name, choices in {"split": (*SOURCES,), "layout": (SIDECAR, *FOREIGN), "export_layout": LAYOUTS}.items():
            if self.hparams[name] not in choices:
                expected = f"expected one of {', '.join(choices)}"
                raise ValueError(f"datamodule.{name}: {expected}, found {self.hparams[name]!r}")
        if segments is not None and max_rows is not None:
            log.warning("datamodule.max_rows=%d has no effect with datamodule.segments=%d", max_rows, segments)
        self.windowing = Windowing(stride, clip_len, frame_tolerance)
        self.train_data: TrainingBags | None = None
        self.val_data: EvaluationBags | None = None
        self.test_data: EvaluationBags | None = None

    def prepare_data(self) -> None:
        """Make the sample if it is asked for."""
        if self.hparams.root == SAMPLE:
            log.warning(
                "datamodule.root=sample: splits and labels of the small GENERATED sample, NOT of %s; no number measured"
                " on it is a result. For the real data: datamodule.root=<folder that holds training/ and testing/>",
                self.title,
            )
            sample.generate(self.root)

    def setup(self, stage: str | None = None) -> None:
        """Find features and labels of ``fit`` (training and validation), ``validate``, ``test`` or ``predict``.

        Raises:
            PathNotFoundError: When a folder or list is not there.
            FeatureFolderError: When features are missing or cannot be used, or do not fit the labels.
        """
        wanted = PARTS[stage]
        if self.place()[0] == 0:
            log.log(logging.INFO if self.holds_out else logging.WARNING, "%s", self.protocol)
        bags = self.bags(wanted)
        if TRAIN in wanted:
            options = self.hparams
            drawn = (options.seed, options.segments, options.max_rows, options.repeat)
            self.train_data = TrainingBags(bags[TRAIN], *drawn)
        if VAL in wanted:
            self.val_data = EvaluationBags(bags[VAL])
        if TEST in wanted:
            self.test_data = EvaluationBags(bags[TEST])

    def train_dataloader(self) -> DataLoader:
        sampler = ShardedShuffle(len(self.train_data), self.hparams.seed, *self.place())
        if len(sampler) < self.hparams.batch_size:
            raise ValueError(
                f"{TRAIN}: {len(sampler)} pairs of videos for a process, fewer than a batch of "
                f"{self.hparams.batch_size}; lower datamodule.batch_size or trainer.devices, or raise datamodule.repeat"
            )
        options = self.loading(self.train_data)
        return ResumableLoader(sampler=sampler, batch_size=self.hparams.batch_size, drop_last=True, **options)

    def val_dataloader(self) -> DataLoader:
        return self.eval_loader(self.val_data)

    def test_dataloader(self) -> DataLoader:
        return self.eval_loader(self.test_data)

    def predict_dataloader(self) -> DataLoader:
        return self.eval_loader(self.test_data)

    def check(self) -> Iterator[Step]:
        """Read all features and labels, and say what is wrong with them (``mode=check``). Needs no trainer.

        Yields:
            What is missing or made in another way; a step for each video; and what does not belong together.
        """
        self.prepare_data()
        part_of = {video.name: part for part, videos in self.parts.items() for video in videos}
        files, wrong = find_features(self.folder, part_of, self.hparams.layout)
        yield Step(defects=tuple(replace(found, split=part_of[name]) for name, found in wrong.items()))
        for name, file in files.items():
            try:
                file.verify()
            except FeatureFileError as error:
                yield Step(1, file.frames or 0, (replace(defect(error), split=part_of[name]),))
            else:
                yield Step(1, file.frames or 0)
        _, wrong = self.joined([video for videos in self.parts.values() for video in videos], files)
        yield Step(defects=tuple(replace(found, split=part_of[name]) for name, found in wrong.items()))
        yield Step(defects=tuple(orphans(self.folder, part_of)))

    def prepare(self) -> Iterator[Product]:
        """Write the features for detectors of others, as ``export`` says (``mode=prepare``). Needs no trainer."""
        require_any(self.hparams, self.prepares)
        self.prepare_data()
        names = sorted({video.name for videos in self.parts.values() for video in videos})
        files, wrong = find_features(self.folder, names, self.hparams.layout)
        yield from (failed(FEATURES, Path(found.path), found.detail) for found in wrong.values())
        yield from export_features(files, Path(self.hparams.export), self.hparams.export_layout)

    # Which videos, and what is known of them.

    @property
    def root(self) -> Path | None:
        """The folder of the data set."""
        root = self.hparams.root
        return Path(self.hparams.cache, SAMPLE_FOLDER) if root == SAMPLE else None if root is None else Path(root)

    @property
    def folder(self) -> Path:
        """The folder of features.

        Raises:
            PathNotFoundError: When it is not there.
        """
        folder = Path(self.hparams.features)
        if not folder.is_dir():
            raise PathNotFoundError("datamodule.features", folder, ADVICE)
        return folder

    @property
    def labels_path(self) -> Path | None:
        """Where labels of frames are; None where nobody gives any."""
        if self.hparams.labels == AUTO:
            masks = None if self.root is None else self.root / MASKS
            return masks if masks is not None and masks.is_dir() else None
        path = Path(self.hparams.labels)
        return path if path.exists() or self.root is None else self.root / path

    @cached_property
    def parts(self) -> dict[str, list[NamedVideo]]:
        """The videos of training, validation and test."""
        options = self.hparams
        if self.root is not None and not self.root.is_dir():
            advice = "Expected the folder that holds training/ and testing/, sample, or null."
            raise PathNotFoundError("datamodule.root", self.root, advice)
        train, test = choose(options.split, self.root, options.train_list, options.test_list)
        if options.select_on_test:
            return {TRAIN: train, VAL: test, TEST: test}
        train, held = hold_out(train, options.val_fraction, options.seed)
        return {TRAIN: train, VAL: held or train, TEST: test}

    @property
    def protocol(self) -> str:
        """One line about what is trained on, what the model is selected by, and what is tested on."""
        options, counts = self.hparams, {part: len(videos) for part, videos in self.parts.items()}
        lists = [file for file in (options.train_list, options.test_list) if file is not None]
        if is_sample(self.root):
            data = f"generated sample, split {options.split}"
        else:
            data = f"{self.title}, split {options.split} ({SOURCES[options.split]})"
        if lists:
            data += f" with own {' and '.join(lists)}"
        if options.select_on_test:
            selection = "MODEL SELECTED ON THE TEST SPLIT (datamodule.select_on_test=true)"
        elif self.holds_out:
            selection = f"model selected on {counts[VAL]} other training videos"
        else:
            selection = "model selected on the training videos themselves"
        return f"{data}: trained on {counts[TRAIN]} videos, {selection}, tested on {counts[TEST]}"

    @property
    def holds_out(self) -> bool:
        """Whether validation looks at videos of its own."""
        return self.parts[VAL] not in (self.parts[TRAIN], self.parts[TEST])

    def bags(self, wanted: Sequence[str]) -> dict[str, list[Bag]]:
        """Put together features and labels of some parts.

        Raises:
            FeatureFolderError: Naming every video of theirs that cannot be used.
        """
        needed = {video.name: video for part in wanted for video in self.parts[part]}
        every = {video.name for videos in self.parts.values() for video in videos}
        files, wrong = find_features(self.folder, sorted(every), self.hparams.layout)
        later = sorted(wrong.keys() - needed.keys())
        if later:
            text = "features of %d videos that are not needed yet are missing or cannot be used: %s"
            log.warning(text, len(later), ", ".join(later))
        require_usable({name: wrong[name] for name in needed if name in wrong}, len(needed), self.folder)
        bags, wrong = self.joined(list(needed.values()), files)
        require_usable(wrong, len(needed), self.folder)
        return {part: [bags[video.name] for video in self.parts[part]] for part in wanted}

    def joined(
        self, videos: Sequence[NamedVideo], files: Mapping[str, FeatureFile]
    ) -> tuple[dict[str, Bag], dict[str, Defect]]:
        """Join the features of videos with labels; by name what could be joined, and what is wrong."""
        tested, path = self.parts[TEST], self.labels_path
        labels = {} if path is None else read_labels(path, files, tested, self.hparams.stride)
        return make_bags(videos, files, labels, self.windowing, {video.name for video in tested})

    # How batches are made.

    def place(self) -> tuple[int, int]:
        """Index of this process, and number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def loading(self, data: TrainingBags | EvaluationBags) -> dict[str, Any]:
        """What all loaders are made with."""
        return loading_options(data, self.hparams.num_workers, collate_bags)

    def eval_loader(self, data: EvaluationBags) -> DataLoader:
        """Visit each video exactly once over all processes, in order, one at a time."""
        rank, world_size = self.place()
        if len(data) < world_size:
            raise ValueError(f"{len(data)} videos for {world_size} processes; lower trainer.devices")
        # an own generator seeds the workers, so that evaluation draws nothing from the global stream
        generator = seeded(self.hparams.seed)
        sampler = Shard(len(data), rank, world_size)
        return DataLoader(sampler=sampler, batch_size=1, generator=generator, **self.loading(data))
