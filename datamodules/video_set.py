"""Which videos a data set has, and what is known of each before it is decoded."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning import LightningDataModule

from datamodules.annotations import check_labels, check_regions
from datamodules.checking import (
    FRAME_COUNT,
    KINDS,
    TOO_SHORT,
    Defect,
    Examined,
    Step,
    duplicate_ids,
    examine_all,
    odd_sizes,
    same_content,
)
from datamodules.clips import Source, UnreadableSource
from datamodules.errors import PathNotFoundError, VideoReadError
from datamodules.export.preparing import prepare_videos
from datamodules.export.product import Product
from datamodules.frame_indices import CLOCK_SLACK_S
from datamodules.listing import Listed, find_videos, read_list
from datamodules.reading import VideoFacts, describe_routes
from datamodules.regions import NOTHING, Regions, read_regions
from datamodules.samples import shanghaitech as sample
from datamodules.video_index import look_at_videos

log = logging.getLogger(__name__)

SAMPLE = "sample"
AUTO = "auto"
SAMPLE_FOLDER = "shanghaitech_sample"  # below datamodule.cache
REGIONS = "regions"  # where the region files of a data set are expected, below its root


class VideoSet(LightningDataModule):
    """The videos of a data set: where they are, what the probe and the annotations say of them, what is wrong.

    The base of ``datamodules.videos.Videos``, whose constructor describes ``hparams`` and which makes batches of them.
    A data set with a layout of its own overrides the methods up to ``labels``, and the attributes.

    Attributes:
        title: What the data are called in messages.
        expects: What ``root`` should be.
        remedy: How to get the data.
        usual_fps: Frame rate of frame folders in Hz.
        sample_folder: Where the sample is, below ``datamodule.cache``.
        kinds_of_defects: What ``check`` may find.
        prepares: Options of the constructor that name what ``prepare`` makes.
        normal_splits: Parts whose videos are normal throughout, so that their frames need no labels.
    """

    title = "real footage"
    expects = "folder of videos"
    remedy = "any videos will do"
    usual_fps = 25.0
    sample_folder = SAMPLE_FOLDER
    kinds_of_defects = KINDS
    prepares: tuple[str, ...] = ()
    normal_splits: tuple[str, ...] = ()

    def training_videos(self) -> list[Listed]:
        """Find the videos of training and validation.

        Raises:
            PathNotFoundError: When the folder or the list does not exist.
            FileNotFoundError: When the folder has no videos.
        """
        self.require_root()
        root = self.root / "training" / "videos" if self.hparams.root == SAMPLE else self.root
        if self.hparams.list_file is not None:
            return read_list(Path(self.hparams.list_file), root)
        videos = find_videos(root)
        if not videos:
            raise FileNotFoundError(
                f"datamodule.root={root} holds no videos; expected files such as .mp4 or .avi, or folders of numbered "
                "images such as 000.jpg"
            )
        return videos

    def evaluation_videos(self) -> list[Listed]:
        """Find the videos of test and prediction."""
        return self.training_videos()

    def all_videos(self) -> list[Listed]:
        """Find the videos of all splits, each once."""
        return self.training_videos()

    def splits(self) -> dict[str, list[Listed]]:
        """All videos, by part of the data set; the parts must have nothing in common."""
        return {"all": self.training_videos()}

    def knows_all_videos(self) -> bool:
        """Whether ``splits`` are all videos that annotations can be for, so that others belong to nothing."""
        return self.hparams.list_file is None and self.hparams.root != SAMPLE

    def label_files(self) -> dict[str, Path]:
        """Files with labels of frames, by name of their video."""
        return {}

    def labels(self, video: Listed, facts: VideoFacts) -> np.ndarray | None:
        """Labels of the frames of a video, int64 (facts.frame_count,); None where nothing is known."""
        return None

    @property
    def root(self) -> Path:
        """The folder of the data set."""
        return Path(self.hparams.cache, self.sample_folder) if self.hparams.root == SAMPLE else Path(self.hparams.root)

    def require_root(self) -> None:
        """Refuse a root that is not there.

        Raises:
            PathNotFoundError: With the nearest name that is.
        """
        if not self.root.exists():
            advice = f"Expected a {self.expects}; {self.remedy}, or try datamodule.root=sample."
            raise PathNotFoundError("datamodule.root", self.root, advice)

    def make_sample(self) -> None:
        """Make the sample if it is asked for."""
        if self.hparams.root == SAMPLE:
            made = self.generate_sample()
            log.warning(
                "datamodule.root=sample: a small GENERATED sample, NOT %s, is used (%s); no number measured on it is a "
                "result. For the real data: datamodule.root=<%s>",
                self.title,
                made,
                self.expects,
            )

    def generate_sample(self) -> Path:
        """Make the sample unless it is there."""
        return sample.generate(self.root)

    @property
    def fps_of_frames(self) -> float:
        """Frame rate of frame folders in Hz."""
        return self.hparams.fps_of_frames or self.usual_fps

    def look(self, videos: Sequence[Listed]) -> tuple[dict[str, VideoFacts], dict[str, VideoReadError]]:
        """Look at every video once, or in the cache; by path what is known, or why it cannot be read."""
        options = self.hparams
        paths = {str(video.path): video.path for video in videos}
        return look_at_videos(paths, Path(options.cache), self.fps_of_frames, timeout_s=options.decode_timeout_s)

    def backend(self) -> str:
        """How videos are read, ``auto`` or the name of a backend."""
        return self.hparams.reader

    def sources(self, videos: Sequence[Listed], boxes: bool = True) -> list[Source | UnreadableSource]:
        """Join what is known about each video: facts, part, labels and, with ``boxes``, regions."""
        facts, broken = self.look(videos)
        if self.place()[0] == 0:
            log.info("%s", describe_routes(facts.values(), self.backend()))
        regions = self.read_regions([video.name for video in videos]) if boxes else {}
        found: list[Source | UnreadableSource] = []
        for video in videos:
            try:
                if str(video.path) in broken:
                    raise broken[str(video.path)]
                known = facts[str(video.path)]
                first, count = part(video, known)
            except VideoReadError as error:
                found.append(UnreadableSource(video.name, error.path, error.reason))
            else:
                labels = self.labels(video, known)
                found.append(Source(video.name, known, first, count, labels, regions.get(video.name, NOTHING)))
        return found

    def read_regions(self, names: Sequence[str]) -> Mapping[str, Regions]:
        """Read the candidate regions of some videos; nothing when none are asked for, or there are none."""
        path = self.region_path()
        log.info("candidate regions: %s", "none" if path is None else path)
        return {} if path is None else read_regions(path, names)

    def region_path(self) -> Path | None:
        """Where the candidate regions are; None when none are asked for, or there are none."""
        path = self.root / (REGIONS if self.hparams.regions == AUTO else self.hparams.regions or "")
        missing = self.hparams.regions is None or (self.hparams.regions == AUTO and not path.is_dir())
        return None if missing else path

    def check(self) -> Iterator[Step]:
        """Look at every frame and every annotation of all splits, and say what is wrong (``mode=check``).

        Needs no trainer. ``num_workers`` videos are looked at at the same time, each by a process that is killed when
        it is stuck, whatever their number. Nothing is written, not even the index of the videos.

        Yields:
            A step for each video, and one for what only all videos together tell.
        """
        self.make_sample()
        options, splits, examined = self.hparams, self.splits(), {}
        where = {video.path: split for split, videos in splits.items() for video in videos}
        looking = (options.reader, options.num_workers, options.decode_timeout_s)
        for path, found in examine_all(where, self.fps_of_frames, *looking):
            examined[path] = found
            wrong = tuple(Defect(kind, where[path], str(file), detail) for kind, file, detail in found.wrong)
            yield Step(1, found.frames, wrong)
        yield Step(defects=tuple(self.compare(splits, examined)))

    def prepare(self) -> Iterator[Product]:
        """Make what the options in ``prepares`` name, of the videos of all splits (``mode=prepare``)."""
        self.make_sample()
        yield from prepare_videos(self)

    def compare(self, splits: Mapping[str, Sequence[Listed]], examined: Mapping[Path, Examined]) -> Iterator[Defect]:
        """Say what is wrong with the videos as a set, and with what is said of them."""
        regions, options = self.region_path(), self.hparams
        for split, videos in splits.items():
            yield from duplicate_ids(split, videos, by_last_part=regions is not None)
            yield from odd_sizes(split, {video.path: examined[video.path] for video in videos})
            for video in videos:
                facts = examined[video.path].facts
                yield from () if facts is None else unsuited(split, video, facts, options)
        yield from same_content({split: [video.path for video in videos] for split, videos in splits.items()}, examined)
        yield from check_labels(self.labels, self.label_files(), splits, examined)
        if regions is not None:
            yield from check_regions(regions, splits, examined, self.knows_all_videos())


def unsuited(split: str, video: Listed, facts: VideoFacts, options: Mapping[str, Any]) -> Iterator[Defect]:
    """Say whether a video, or the part of it that is listed, lacks frames or is shorter than a clip."""
    try:
        first, count = part(video, facts)
    except VideoReadError as error:
        yield Defect(FRAME_COUNT, split, str(video.path), error.reason)
        return
    gaps = options["num_frames"] - 1
    if options["step_s"] is None:
        has, needs, unit = count, gaps * options["frame_step"] + 1, "frames"
    else:
        times = facts.times()[first : first + count]
        has, needs, unit = times[-1] - times[0], gaps * options["step_s"] - CLOCK_SLACK_S, "s"
    if has < needs:
        yield Defect(TOO_SHORT, split, str(video.path), f"has {has:g} {unit}, a clip takes up {needs:g}")


def part(video: Listed, facts: VideoFacts) -> tuple[int, int]:
    """Turn the frame numbers of a list file into indices: first index and number of frames.

    Raises:
        VideoReadError: When the video does not have these frames.
    """
    numbers = facts.frame_ids
    if video.first is not None and video.first not in numbers:
        found = f"frames {numbers[0]} to {numbers[-1]}"
        raise VideoReadError(video.path, f"the list begins at frame {video.first}, the video has {found}")
    first = 0 if video.first is None else numbers.index(video.first)
    count = facts.frame_count - first if video.count is None else video.count
    if first + count > facts.frame_count:
        raise VideoReadError(
            video.path,
            f"the list asks for {count} frames from frame {numbers[first]}, {facts.frame_count - first} exist",
        )
    return first, count
