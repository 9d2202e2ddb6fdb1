"""Key frames with boxes and actions: where their files are, what is known of them, what is wrong."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from datamodules import label_map as label_maps
from datamodules.action_checks import KINDS, check_annotations, require_usable
from datamodules.ava_files import ANNOTATED, PROPOSED, Rows, read_excluded, read_rows
from datamodules.ava_index import Index, build_index, cached_index
from datamodules.ava_rows import Extent, Judge
from datamodules.checking import Defect, Examined
from datamodules.clips import UnreadableSource
from datamodules.errors import DataFileError, PathNotFoundError, VideoReadError
from datamodules.key_frames import Movie
from datamodules.label_map import LabelMap
from datamodules.listing import Listed, find_videos
from datamodules.loading import seeded
from datamodules.reading import VideoFacts, describe_routes
from datamodules.video_set import AUTO, VideoSet

log = logging.getLogger(__name__)

TRAIN, VAL = "training", "validation"
IN_PIXELS_FROM = 1.5  # median of the far sides of boxes, which in [0, 1] is at most 1
PROPOSALS = "proposals.csv"


@dataclass(frozen=True)
class Tables:
    """The files of a split: boxes with actions, boxes of a detector, and key frames that are left out."""

    annotated: Path
    proposed: Path | None = None
    excluded: Path | None = None

    def files(self) -> dict[str, Path]:
        """Those that there are, by what they are."""
        return {name: path for name, path in vars(self).items() if path is not None}


class ActionSet(VideoSet):
    """The videos, files and classes of a data set of actions, and the index of its key frames.

    The base of `datamodules.actions.Actions`, whose constructor describes ``hparams`` and which makes clips of them. A
    data set with a layout of its own overrides the methods up to ``parts``, and the attributes.
    """

    kinds_of_defects = KINDS
    title = "your own data"
    expects = "folder of videos and a csv of boxes"
    usual_fps = 30.0

    def media(self) -> dict[str, Path]:
        """Find the videos and frame folders, by every name that an annotation may give them."""
        self.require_root()
        found = find_videos(self.root)
        if not found:
            raise FileNotFoundError(f"datamodule.root={self.root} holds no videos; expected files such as .mp4 or .avi")
        named = {Path(one.name).name: one.path for one in reversed(found)}
        return named | {
            name: one.path for one in found for name in (one.path.name, one.name, one.name + one.path.suffix)
        }

    def tables(self, split: str) -> Tables:
        """Find the files of a split."""
        return Tables(self.annotation_file(), self.beside("proposals", PROPOSALS))

    def read_label_map(self) -> tuple[LabelMap, list[Defect]]:
        """Read the classes, and say what is wrong with their list."""
        if self.hparams.label_map != AUTO:
            found, defects = label_maps.scan(self.beside("label_map", ""))
            return replace(found, known=frozenset()), defects
        return label_maps.of_names(read_rows(self.annotation_file())[0].classes.tolist()), []

    def begins(self, facts: VideoFacts) -> float:
        """Time of the first frame of a video in seconds of the annotation."""
        return self.hparams.begins_s or 0.0

    def seconds(self) -> tuple[float, float] | None:
        """First and last second that is annotated in every video; None where any may be."""
        return None

    def belongs(self, index: Index, split: str) -> np.ndarray:
        """Which key frames belong to a split, bool (K,): those of its videos."""
        videos, options = index.videos, self.hparams
        if options.val_fraction == 0 or len(videos) < 2:
            log.warning("no video is held out of %d: validation looks at training videos", len(videos))
            return np.ones(len(index), dtype=bool)
        held = min(max(1, round(options.val_fraction * len(videos))), len(videos) - 1)
        order = torch.randperm(len(videos), generator=seeded(options.seed)).numpy()
        return np.isin(index.video, order[:held]) == (split == VAL)

    def parts(self) -> tuple[str, ...]:
        """The parts of the data set that have files of their own."""
        return ("all",)

    def excluded(self, path: Path | None) -> set[tuple[str, float]]:
        """Key frames (video, second) that are left out."""
        return set() if path is None else read_excluded(path)[0]

    def frames_needed(self, facts: VideoFacts) -> int:
        """Frames of a video that a clip takes up."""
        gaps = (self.hparams.num_frames - 1) * self.hparams.frame_step
        return int(gaps * facts.fps / self.hparams.fps) + 1

    def annotation_file(self) -> Path:
        """The csv of one's own."""
        if self.hparams.annotations != AUTO:
            return self.beside("annotations", "")
        self.require_root()
        found = [path for path in sorted(self.root.glob("*.csv")) if path.name != PROPOSALS]
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise DataFileError(
                self.root, f"expected one csv of annotations, found {names}; set datamodule.annotations"
            )
        return found[0]

    def beside(self, option: str, usual: str) -> Path | None:
        """The file that an option names, absolute or below the root; ``auto`` is the usual one if it is there."""
        value = self.hparams[option]
        if value is None or (value == AUTO and not (self.root / usual).is_file()):
            return None
        path = Path(usual if value == AUTO else value)
        found = path if path.is_file() else self.root / path
        if not found.is_file():
            raise PathNotFoundError(f"datamodule.{option}", found, "Expected a file, absolute or relative to the root.")
        return found

    # What follows from them.

    @property
    def fps_of_frames(self) -> float:
        return self.hparams.fps

    def checked_label_map(self) -> LabelMap:
        """Read the classes, which must be as many as the model has.

        Raises:
            DataFileError: When there is something wrong with their list.
            ValueError: When they are more or fewer.
        """
        classes, defects = self.read_label_map()
        if defects:
            raise DataFileError(Path(defects[0].path), "; ".join(defect.detail for defect in defects))
        wanted, found = self.hparams.num_classes, len(classes)
        if wanted not in (None, found):
            names = ", ".join(action.name for action in classes.actions[:5])
            raise ValueError(
                f"datamodule.num_classes={wanted}: the data have {found} classes ({names}, ...); set the number of "
                f"classes of the model to {found}, or choose another datamodule.label_map"
            )
        return classes

    def movies(self) -> dict[str, Movie | UnreadableSource]:
        """What is known of every video, by each of its names."""
        media = self.media()
        facts, broken = self.look([Listed(name, path) for name, path in media.items()])
        if self.place()[0] == 0:
            log.info(
                "%s", describe_routes({found.path: found for found in facts.values()}.values(), self.hparams.reader)
            )
        found: dict[str, Movie | UnreadableSource] = {}
        for name, path in media.items():
            try:
                if str(path) in broken:
                    raise broken[str(path)]
                found[name] = self.movie(name, facts[str(path)])
            except VideoReadError as error:
                found[name] = UnreadableSource(name, error.path, error.reason)
        return found

    def movie(self, name: str, facts: VideoFacts) -> Movie:
        """A video on the clock of the annotation."""
        return Movie(name, facts, 0, facts.frame_count, begins_s=self.begins(facts))

    def extents(self, movies: Mapping[str, Movie | UnreadableSource]) -> dict[str, Extent]:
        """What rows are compared with; of a video that cannot be read every time is taken to be there."""
        found = {}
        for name, movie in movies.items():
            if isinstance(movie, Movie):
                clock, facts = movie.clock(), movie.facts
                ends = float(clock[-1]) + 1 / facts.fps
                found[name] = Extent(float(clock[0]), ends, (facts.height, facts.width))
            else:
                found[name] = Extent(-np.inf, np.inf, (1, 1))
        return found

    def index(self, split: str, classes: LabelMap, movies: Mapping[str, Movie | UnreadableSource]) -> Index:
        """Put the key frames of a split together, or take them from the cache."""
        tables, extents, options = self.tables(split), self.extents(movies), self.hparams
        settings = {
            "classes": [[action.id, action.name] for action in classes.actions],
            "known": sorted(classes.known),
            "videos": {name: asdict(extent) for name, extent in extents.items()},
            "seconds": self.seconds(),
            "box_units": options.box_units,
        }
        index, defects = cached_index(
            Path(options.cache), tables.files(), settings, lambda: self.build(tables, classes, extents)
        )
        share = options.max_bad_share if options.on_error == "quarantine" else None
        if lost := require_usable(defects, len(index.boxes), share):
            first = f"{lost[0].path}, {lost[0].detail} ({lost[0].kind})"
            log.warning(
                "%d rows cannot be used and are left out; the first is %s; mode=check names all", len(lost), first
            )
        return index

    def build(self, tables: Tables, classes: LabelMap, extents: Mapping[str, Extent]) -> tuple[Index, list[Defect]]:
        """Read the files of a split, and say what is wrong with them."""
        rows: dict[str, Rows | None] = {"annotated": None, "proposed": None}
        defects: list[Defect] = []
        for name, kind in (("annotated", ANNOTATED), ("proposed", PROPOSED)):
            if (path := tables.files().get(name)) is not None:
                found, malformed = read_rows(path, kind)
                judge = Judge(classes, extents, self.seconds(), self.in_pixels(found))
                rows[name], wrong = judge(found)
                defects += [*malformed, *wrong]
        if tables.excluded is not None:
            defects += read_excluded(tables.excluded)[1]
        return build_index(*rows.values(), classes, self.excluded(tables.excluded)), defects

    def in_pixels(self, rows: Rows) -> bool:
        """Whether the boxes of a file are in pixels."""
        looks_so = len(rows) > 0 and float(np.median(rows.boxes[:, 2:])) > IN_PIXELS_FROM
        return looks_so if self.hparams.box_units == AUTO else self.hparams.box_units == "pixels"

    # What is wrong with the data (``mode=check``).

    def splits(self) -> dict[str, list[Listed]]:
        media = self.media()
        found: dict[str, list[Listed]] = {}
        for split in self.parts():
            names = sorted(set(read_rows(self.tables(split).annotated)[0].videos.tolist()) & media.keys())
            found[split] = [Listed(name, media[name]) for name in names]
        return found

    def compare(self, splits: Mapping[str, Sequence[Listed]], examined: Mapping[Path, Examined]) -> Iterator[Defect]:
        """Say what is wrong with the annotations, and with the videos as a set."""
        yield from check_annotations(self, splits, examined)
