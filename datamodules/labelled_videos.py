"""Clips of videos with a class each: folders ``class/video``, lists with labels, or the generated sample."""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from datamodules.clips import Clips, Source, UnreadableSource
from datamodules.errors import PathNotFoundError
from datamodules.labelled_clips import LabelledClips, Moments, SideCrop, ViewSampling, collate_labelled
from datamodules.labelled_layouts import find_layout, layout_classes
from datamodules.labelled_listing import (
    Labelled,
    check_classes,
    class_names,
    distinctly_named,
    find_labelled,
    read_labelled,
)
from datamodules.labelled_regions import anomaly_regions
from datamodules.labelled_splits import hold_out, take_few, take_fold
from datamodules.listing import Listed
from datamodules.regions import Regions
from datamodules.transforms import ClipTransform
from datamodules.videos import Videos

PARTS = ("train", "val", "test")
LIST_SUFFIXES = (".csv", ".txt")
LABELLED = "labelled"

log = logging.getLogger(__name__)


class LabelledVideos(Videos):
    """Clips for classification; batches are those of `Videos` with ``class_id`` int64 (B,), the class of each clip.

    Where videos and classes come from, the first that is given:

    - ``lists``: a folder with ``train.csv``, ``val.csv`` and ``test.csv`` (or ``.txt``), lines ``path label``
      (`datamodules.labelled_listing.read_labelled`), as published with VideoMAE, VideoMAE V2 and, a folder per fold,
      FocusMAE;
    - ``list_file``: one such list of all videos;
    - ``root`` with ``train/<class>/<video>``, ``val`` and ``test`` likewise;
    - ``root`` in ShanghaiTech Campus' layout, which the sample has (`datamodules.labelled_campus.find_campus`), in
      AVA's (`datamodules.labelled_actions.find_actions`) or Ego4D's (`datamodules.labelled_speech.find_speech`);
    - ``root`` with ``<class>/<video>``.

    What is tested on, where no part is for testing, is the part for validation; where there is none for that, a share
    of the videos or a fold is held out, of every class alike. Whole videos only: parts of a file stay together.

    Labels that are whole numbers are ids of classes; others are numbered in the order of their names, ``normal`` first.

    With ``regions=labelled`` ``boxes`` show where the class is to be seen, which is known of anomalies in ShanghaiTech
    Campus' layout (`datamodules.labelled_regions`); other data has none then.

    Args:
        lists: Folder of lists of the parts.
        classes_by: What makes a class. ``folder`` (or list); of ShanghaiTech's layout ``anomaly`` (normal or
            anomalous), ``kind`` (of the anomaly) or ``place``; of AVA's the pose of the most prominent person
            (``action``), of Ego4D's whether anybody is heard (``speech``); ``auto``: by the layout ``anomaly``,
            ``action`` or ``speech``, else ``folder``.
        num_classes: Classes that the model knows; None for any number.
        labels_per_class: Training videos that are used of each class, drawn by the seed; None for all.
        folds: Number of folds of a cross-validation.
        fold: The one that is held out, from 0, instead of ``val_fraction``; None for no cross-validation.
        moments: Which frames clips are made of: ``strided``, ``dense`` or ``segments``
            (`datamodules.labelled_clips.ViewSampling`).
        test_clips: Clips of a video in test and prediction; None for ``eval_clips``.
        test_crops: Crops of each of these clips, evenly along the longer side of the frame; 1 for the centre.
        **videos: Everything else, described with `Videos`.

    Attributes:
        classes: Names of the classes by id, from ``prepare_data`` or ``setup`` on.

    Raises:
        ValueError: When an option is out of its range, or does not suit another one.
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
        "class_id",
    )
    paths: ClassVar = {"root": ("sample",), "list_file": (), "lists": ()}
    paths_in_root: ClassVar = {"regions": ("auto", "labelled")}
    collate = staticmethod(collate_labelled)
    expects = "folder that holds a folder of videos for each class"

    def __init__(
        self,
        lists: str | None = None,
        classes_by: Literal["auto", "folder", "anomaly", "kind", "place", "action", "speech"] = "auto",
        num_classes: Annotated[int | None, "num_classes >= 2"] = None,
        labels_per_class: Annotated[int | None, "labels_per_class >= 1"] = None,
        folds: Annotated[int, "folds >= 2"] = 5,
        fold: Annotated[int | None, "0 <= fold < folds"] = None,
        moments: Moments = "strided",
        test_clips: Annotated[int | None, "test_clips >= 1"] = None,
        test_crops: Annotated[int, "test_crops >= 1"] = 1,
        **videos: Any,
    ) -> None:
        super().__init__(**videos)
        if fold is not None and not 0 <= fold < folds:
            raise ValueError(f"datamodule.fold: expected 0 to {folds - 1} with datamodule.folds={folds}, found {fold}")
        for name in ("labels_per_class", "test_clips", "test_crops"):
            if self.hparams[name] is not None and self.hparams[name] < 1:
                raise ValueError(f"datamodule.{name}: expected at least 1, found {self.hparams[name]}")
        if moments != "strided" and self.hparams.step_s is not None:
            raise ValueError(f"datamodule.step_s: expected null with datamodule.moments={moments}, which counts frames")
        if test_crops > 1 and self.hparams.crop == "none":
            raise ValueError(f"datamodule.test_crops: expected 1 with datamodule.crop=none, found {test_crops}")
        if test_crops > 1 and self.hparams.resize == "squash":
            found = f"found {test_crops}: a squashed frame is all of it in one crop"
            raise ValueError(f"datamodule.test_crops: expected 1 with datamodule.resize=squash, {found}")

    @property
    def classes(self) -> list[str]:
        """Names of the classes by id."""
        return class_names(each.label for videos in self.parts.values() for each in videos)

    @cached_property
    def parts(self) -> dict[str, list[Labelled]]:
        """The videos of training, validation and test, with a name of its own for each.

        Raises:
            ValueError: When there are more classes than the model knows.
        """
        self.require_root()
        parts = distinctly_named(self.found())
        options = self.hparams
        if "val" not in parts:
            everything = parts["train"]
            if options.fold is not None:
                parts["train"], parts["val"] = take_fold(everything, options.folds, options.fold, options.seed)
            elif options.val_fraction == 0 or len({each.video.path for each in everything}) == 1:
                log.warning("no video is held out of %d: validation looks at training videos", len(everything))
                parts["val"] = everything
            else:
                parts["train"], parts["val"] = hold_out(everything, options.val_fraction, options.seed)
        elif both := {each.video for each in parts["train"]} & {each.video for each in parts["val"]}:
            log.warning("%d videos are in the parts for training and for validation", len(both))
        parts.setdefault("test", parts["val"])
        check_classes(parts, options.num_classes)
        if options.labels_per_class is not None:
            parts["train"] = take_few(parts["train"], options.labels_per_class, options.seed)
        return {name: parts[name] for name in PARTS}

    def found(self) -> dict[str, list[Labelled]]:
        """The videos by the parts that the data set itself knows; ``train`` alone holds all of them."""
        options, root = self.hparams, self.root
        if options.lists is not None:
            files = {name: file for name in PARTS if (file := list_of(Path(options.lists), name)) is not None}
            if "train" not in files:
                raise PathNotFoundError("datamodule.lists", Path(options.lists, "train.csv"), "Expected a list in it.")
            return {name: read_labelled(file, root, "datamodule.lists") for name, file in files.items()}
        if options.list_file is not None:
            return {"train": read_labelled(Path(options.list_file), root, "datamodule.list_file")}
        if self.layout is not None:
            return find_layout(root, self.layout, options.cache, (options.num_frames - 1) * options.frame_step + 1)
        if (root / "train").is_dir():
            return {name: find_labelled(root / name, root) for name in PARTS if (root / name).is_dir()}
        return {"train": find_labelled(root, root)}

    @property
    def layout(self) -> str | None:
        """What makes a class in the layout of ``root``; None where classes come from lists or folders."""
        options = self.hparams
        listed = options.lists is not None or options.list_file is not None
        return None if listed else layout_classes(self.root, options.classes_by)

    # What `Videos` asks for.

    def region_path(self) -> Path | None:
        return None if self.hparams.regions == LABELLED else super().region_path()

    def read_regions(self, names: Sequence[str]) -> Mapping[str, Regions]:
        if self.hparams.regions != LABELLED:
            return super().read_regions(names)
        if self.layout not in ("anomaly", "kind"):
            return {}
        everything = {each.video.name: each for videos in self.parts.values() for each in videos}
        return anomaly_regions(self.root, [everything[name] for name in names])

    def training_videos(self) -> list[Listed]:
        return distinct(self.parts["train"] + self.parts["val"])

    def evaluation_videos(self) -> list[Listed]:
        return distinct(self.parts["test"])

    def all_videos(self) -> list[Listed]:
        return distinct([each for videos in self.parts.values() for each in videos])

    def splits(self) -> dict[str, list[Listed]]:
        splits = {name: distinct(videos) for name, videos in self.parts.items()}
        return {name: videos for name, videos in splits.items() if name != "test" or videos != splits["val"]}

    def split(
        self, sources: Sequence[Source | UnreadableSource]
    ) -> tuple[list[Source | UnreadableSource], list[Source | UnreadableSource]]:
        """Part the sources of training and validation."""
        train, val = ({each.video.name for each in self.parts[name]} for name in ("train", "val"))
        return [each for each in sources if each.name in train], [each for each in sources if each.name in val]

    def clips(self, sources: Sequence[Source | UnreadableSource], transform: ClipTransform, random: bool) -> Clips:
        """Make the data set of training or validation."""
        return self.labelled(
            sources, [transform], self.hparams.clips_per_video if random else self.hparams.eval_clips, random
        )

    def tested(self, sources: Sequence[Source]) -> Clips:
        """Make the data set of test and prediction, of several clips and crops of each video."""
        options, crops = self.hparams, self.hparams.test_crops
        transforms: list[ClipTransform] = [self.eval_transform]
        if crops > 1:
            size, resize = self.eval_transform.size, self.eval_transform.resize
            transforms = [SideCrop(size, resize, place, crops) for place in range(crops)]
        return self.labelled(sources, transforms, options.test_clips or options.eval_clips, random=False)

    def labelled(
        self,
        sources: Sequence[Source | UnreadableSource],
        transforms: Sequence[ClipTransform],
        clips: int,
        random: bool,
    ) -> LabelledClips:
        """Make a data set of ``clips`` clips of each video, seen as each of ``transforms`` shows it."""
        options, ids = self.hparams, {name: number for number, name in enumerate(self.classes)}
        of_videos = {each.video.name: ids[each.label] for videos in self.parts.values() for each in videos}
        counts = (clips * len(transforms), options.repeat if random else 1)
        frames = (options.num_frames, options.frame_step, options.step_s)
        return LabelledClips(
            sources,
            ViewSampling(*frames, *counts, random, options.moments, len(transforms)),
            transforms,
            of_videos,
            seed=options.seed,
            backend=options.reader,
            boxes_follow=options.boxes_follow,
            timeout_s=options.decode_timeout_s,
        )

    def recipe(self) -> dict[str, Any]:
        """Everything that decides the pixels of an evaluation clip, see `Videos.recipe`."""
        recipe, options = super().recipe(), self.hparams
        if self.slides():
            return recipe
        views = {"eval_clips": options.test_clips or options.eval_clips, "test_crops": options.test_crops}
        return recipe | views | {"moments": options.moments}


def list_of(folder: Path, part: str) -> Path | None:
    """The list of a part of a data set; None when there is none."""
    files = [folder / f"{part}{suffix}" for suffix in LIST_SUFFIXES]
    return next((file for file in files if file.is_file()), None)


def distinct(videos: Sequence[Labelled]) -> list[Listed]:
    """The videos, each once, in the order of their names."""
    return sorted({each.video for each in videos}, key=lambda video: (video.name, video.first or 0))
