"""AVA: atomic actions of persons in movies, annotated once a second, in its official files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from datamodules import label_map as label_maps
from datamodules.action_set import TRAIN, VAL, Tables
from datamodules.actions import Actions
from datamodules.ava_files import read_frame_list
from datamodules.ava_index import Index
from datamodules.checking import Defect
from datamodules.errors import DatasetNotFoundError, VideoReadError
from datamodules.label_map import LabelMap
from datamodules.listing import VIDEO_SUFFIXES
from datamodules.reading import VideoFacts
from datamodules.reading.frame_folder import IMAGE_SUFFIXES
from datamodules.samples import ava as sample
from datamodules.video_set import AUTO, SAMPLE

PAGE = "https://research.google.com/ava/download.html"
FILE_NAMES = {TRAIN: "train", VAL: "val"}
MEDIA_FOLDERS = ("frames", "videos", "trainval", ".")
FIRST_NUMBER = 1  # of the images of a frame folder, in all three conventions
# Of facebookresearch/SlowFast, of Siyu-C/ACAR-Net, of open-mmlab/mmaction2.
TEMPLATES = ("{video}_%06d", "image_%06d", "img_%05d")


class AVA(Actions):
    """Clips around the key frames of AVA (Gu et al., AVA, 2018), with persons and their atomic actions.

    Official files, in ``root`` or ``root/annotations``: ``ava_{train,val}_v2.2.csv``,
    ``ava_{train,val}_excluded_timestamps_v2.2.csv``, ``ava_action_list_v2.2_for_activitynet_2019.pbtxt`` (60 classes);
    boxes of a person detector: ``ava_{train,val}_predicted_boxes.csv``. Below ``frames``, ``videos`` or ``trainval`` of
    ``root``, or ``root`` itself, a movie or its cut from 900 s on (``<video>.mkv``, ``.mp4``, ...), or a folder of its
    frames at 30 Hz, ``<video>/<video>_000001.jpg``, ``<video>/image_000001.jpg`` or ``<video>/img_00001.jpg``, where
    image 1 shows second 900.

    ``fit`` trains on the train files; validation, test and prediction visit the val files, whose labels are public.
    Batches and other arguments are those of `datamodules.actions.Actions`, ``annotations``, ``proposals`` and
    ``label_map`` excepted.

    Args:
        root: Folder of the data set; ``sample`` makes and uses a small generated one.
        version: Version of the annotations.
        annotations: Folder of the official files, absolute or relative to ``root``; ``auto`` as above.
        proposals: Two files of boxes of a detector, with ``{split}`` for ``train`` or ``val`` in their name, likewise;
            csv, or pickles of mmaction2 and ACAR-Net, which are read without running anything. ``auto`` as above, where
            there are any; None for none.
        label_map: The classes; ``auto`` for the 60 that are evaluated, the full list (``ava_action_list_v2.2.pbtxt``)
            for all 80, or any pbtxt; absolute, or relative to the folder of the official files.
        excluded: Leave out the excluded timestamps.
        first_s: First annotated second.
        last_s: Last annotated second.
        cut_s: Second that cut videos and frames begin at.
        begins_s: Second that all videos begin at; None: 0 for a movie that reaches ``last_s``, else ``cut_s``.
        frame_template: Name of the images of frame folders without suffix, such as ``image_%06d``, with ``{video}``
            for the name of the video; ``auto`` for one of the three above.
        frame_list: Frame list of facebookresearch/SlowFast that says where the frames of each video are, with
            ``{split}`` for ``train`` or ``val``; None for folders that are named after the videos.
        options: As for `datamodules.actions.Actions`.

    Raises:
        PathNotFoundError: When ``root`` does not exist.
        DatasetNotFoundError: When parts of the layout are missing.
    """

    paths: ClassVar = {"root": ("sample",)}
    paths_in_root: ClassVar = {"annotations": ("auto",)}
    title = "AVA"
    expects = "folder that holds annotations/ and frames/ or videos/"
    remedy = f"get the annotations from {PAGE} and the videos from https://github.com/cvdfoundation/ava-dataset"
    sample_folder = "ava_sample"

    def __init__(
        self,
        root: str = SAMPLE,
        version: Literal["2.1", "2.2"] = "2.2",
        annotations: str = AUTO,
        proposals: str | None = AUTO,
        label_map: str = AUTO,
        excluded: bool = True,
        first_s: int = 902,
        last_s: Annotated[int, "last_s >= first_s"] = 1798,
        cut_s: float = 900.0,
        begins_s: float | None = None,
        frame_template: str = AUTO,
        frame_list: str | None = None,
        **options: Any,
    ) -> None:
        taken = {"annotations": annotations, "proposals": proposals, "label_map": label_map, "begins_s": begins_s}
        super().__init__(root, **taken, **options)
        self.save_hyperparameters({name: value for name, value in locals().items() if name in OWN}, logger=False)
        if version not in ("2.1", "2.2"):
            raise ValueError(f"datamodule.version: expected one of 2.1, 2.2, found {version!r}")
        if first_s > last_s:
            raise ValueError(f"datamodule.last_s: expected at least first_s={first_s}, found {last_s}")

    def generate_sample(self) -> Path:
        return sample.generate(self.root)

    def parts(self) -> tuple[str, ...]:
        return (TRAIN, VAL)

    def belongs(self, index: Index, split: str) -> np.ndarray:
        return np.ones(len(index), dtype=bool)

    def seconds(self) -> tuple[float, float]:
        return self.hparams.first_s, self.hparams.last_s

    # Files.

    @property
    def folder(self) -> Path:
        """Folder of the official files."""
        self.require_root()
        if self.hparams.annotations != AUTO:
            given = Path(self.hparams.annotations)
            return given if given.is_dir() else self.root / given
        return next(iter(path for path in (self.root / "annotations", self.root) if path.is_dir()))

    def tables(self, split: str) -> Tables:
        options, name = self.hparams, FILE_NAMES[split]
        annotated = self.folder / f"ava_{name}_v{options.version}.csv"
        excluded = self.folder / f"ava_{name}_excluded_timestamps_v{options.version}.csv"
        wanted = [annotated, excluded] if options.excluded else [annotated]
        proposed = None
        if options.proposals == AUTO:
            usual = self.folder / f"ava_{name}_predicted_boxes.csv"
            proposed = usual if usual.is_file() else None
        elif options.proposals is not None:
            proposed = self.below(options.proposals.replace("{split}", name))
            wanted.append(proposed)
        self.require(wanted)
        return Tables(annotated, proposed, excluded if options.excluded else None)

    def read_label_map(self) -> tuple[LabelMap, list[Defect]]:
        full = self.folder / f"ava_action_list_v{self.hparams.version}.pbtxt"
        if self.hparams.label_map == AUTO:
            path = full.with_name(f"{full.stem}_for_activitynet_2019.pbtxt")
            older = full.with_name(f"{full.stem}_for_activitynet_2018.pbtxt")
            path = older if older.is_file() and not path.is_file() else path
        else:
            path = self.below(self.hparams.label_map)
        self.require([path])
        found, defects = label_maps.scan(path)
        if not full.is_file() or full == path:
            return found, defects
        everything, wrong = label_maps.scan(full)
        return replace(found, known=frozenset(everything.channels)), [*defects, *wrong]

    def below(self, name: str) -> Path:
        """A file that is named absolutely, or relative to the official files or to the root."""
        return next((path for path in (Path(name), self.folder / name) if path.is_file()), self.root / name)

    def require(self, files: Sequence[Path]) -> None:
        """Refuse a root without these files."""
        lacking = [
            str(file.relative_to(self.root)) if file.is_relative_to(self.root) else str(file)
            for file in files
            if not file.is_file()
        ]
        if lacking:
            raise DatasetNotFoundError(self.title, self.root, lacking, PAGE)

    # Media.

    def media(self) -> dict[str, Path]:
        self.require_root()
        if self.hparams.frame_list is not None:
            return self.listed_media()
        for folder in MEDIA_FOLDERS:
            found = self.in_folder(self.root / folder)
            if found:
                return found
        raise DatasetNotFoundError(self.title, self.root, ["frames/<video>/ or videos/<video>.mkv"], PAGE)

    def listed_media(self) -> dict[str, Path]:
        """Where frame lists say that the frames are."""
        found: dict[str, Path] = {}
        for name in FILE_NAMES.values():
            file = self.below(self.hparams.frame_list.replace("{split}", name))
            self.require([file])
            found |= {video: self.root / "frames" / frames.folder for video, frames in read_frame_list(file).items()}
        return found

    @staticmethod
    def in_folder(folder: Path) -> dict[str, Path]:
        """Videos and frame folders that lie in a folder, by name."""
        if not folder.is_dir():
            return {}
        entries = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        files = {path.stem: path for path in entries if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()}
        reserved = (*MEDIA_FOLDERS, "annotations", "frame_lists")
        return files or {path.name: path for path in entries if path.is_dir() and path.name not in reserved}

    def begins(self, facts: VideoFacts) -> float:
        """Second of the first frame; a folder of frames must have its first one under one of the known names."""
        options = self.hparams
        if facts.kind == "frames":
            self.require_template(facts.path)
            begins = options.cut_s if options.begins_s is None else options.begins_s
            return begins + (facts.frame_ids[0] - FIRST_NUMBER) / facts.fps
        if options.begins_s is not None:
            return options.begins_s
        return 0.0 if facts.times()[-1] >= options.last_s else options.cut_s

    def require_template(self, folder: Path) -> None:
        """Refuse frames that are named in an unknown way, of which it is not known which second they show."""
        chosen = self.hparams.frame_template
        names = [
            template.replace("{video}", folder.name) % FIRST_NUMBER
            for template in (TEMPLATES if chosen == AUTO else (chosen,))
        ]
        if not any((folder / f"{name}{suffix}").is_file() for name in names for suffix in IMAGE_SUFFIXES):
            expected = " or ".join(f"{name}.jpg" for name in names)
            first = min((path.name for path in folder.iterdir()), default="nothing")
            raise VideoReadError(folder, f"expected {expected}, found {first}; set datamodule.frame_template")


OWN = ("version", "excluded", "first_s", "last_s", "cut_s", "frame_template", "frame_list")
