"""What is wrong with the annotations of a data set: missing, belonging to nothing, or not what they should be."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from datamodules.checking import BROKEN, LABEL_LENGTH, MISSING, ORPHAN, Defect, Examined
from datamodules.errors import LabelFileError, LabelLengthError
from datamodules.listing import Listed
from datamodules.reading import VideoFacts
from datamodules.regions import RegionFileError, read_folder, read_images, read_set, video_of

REGION_FILE = "res_frcnn_{}.json"
BOTH = "all"  # annotations of a data set that are not those of one split


def check_regions(
    path: Path, splits: Mapping[str, Sequence[Listed]], examined: Mapping[Path, Examined], whole: bool
) -> Iterator[Defect]:
    """Compare the candidate regions with the videos.

    Args:
        path: Region file or folder of them.
        splits: The videos.
        examined: What is known about them.
        whole: Whether these are all videos, so that regions of others belong to nothing.
    """
    videos = {Path(video.name).name: (split, video) for split, videos in splits.items() for video in videos}
    together = None
    if path.is_dir():
        files = {file.stem.removeprefix("res_frcnn_"): file for file in sorted(path.glob(REGION_FILE.format("*")))}
        for name in sorted(files.keys() - videos.keys()) if whole else ():
            yield Defect(ORPHAN, BOTH, str(files[name]), f"there is no video {name}")
    else:
        files = dict.fromkeys(videos, path)
        try:
            yield from orphan_entries(path, videos) if whole else ()
            together = read_set(path, list(videos))
        except RegionFileError as error:
            yield Defect(BROKEN, BOTH, str(error.path), error.reason)
            return
    for name, (split, video) in videos.items():
        file = files.get(name)
        if file is None:
            yield Defect(MISSING, split, str(video.path), f"there is no {path / REGION_FILE.format(name)}")
            continue
        try:
            regions = read_folder(path, [name])[name] if together is None else together[name]
        except RegionFileError as error:
            yield Defect(BROKEN, split, str(error.path), error.reason)
            continue
        if not len(regions.frames) and together is not None:
            yield Defect(MISSING, split, str(video.path), f"{path} has no entry of it")
        facts = examined[video.path].facts if video.path in examined else None
        strange = [] if facts is None else sorted(set(regions.frames.tolist()) - set(facts.frame_ids))
        if strange:
            detail = f"{len(strange)} frames, such as {strange[0]}, which {video.path} does not have"
            yield Defect(ORPHAN, split, str(file), detail)


def orphan_entries(file: Path, videos: Mapping[str, object]) -> Iterator[Defect]:
    """Name the entries of a region file that are of no video."""
    for image in read_images(file):
        if video_of(file, image.image, videos.keys()) is None:
            yield Defect(ORPHAN, BOTH, str(file), f"there is no video of image_id {image.image}")


def check_labels(
    read: Callable[[Listed, VideoFacts], np.ndarray | None],
    files: Mapping[str, Path],
    splits: Mapping[str, Sequence[Listed]],
    examined: Mapping[Path, Examined],
) -> Iterator[Defect]:
    """Compare the labels of frames with the videos.

    Args:
        read: Reads the labels of a video.
        files: Label files by name of the video that they are for.
        splits: The videos.
        examined: What is known about them.
    """
    names = {Path(video.name).name for videos in splits.values() for video in videos}
    for name in sorted(files.keys() - names):
        yield Defect(ORPHAN, BOTH, str(files[name]), f"there is no video {name}")
    for split, videos in splits.items():
        for video in videos:
            facts = examined[video.path].facts if video.path in examined else None
            if facts is None:
                continue
            try:
                read(video, facts)
            except LabelFileError as error:
                kind = LABEL_LENGTH if isinstance(error, LabelLengthError) else BROKEN
                yield Defect(kind, split, str(error.path), error.reason)
            except FileNotFoundError as error:
                yield Defect(MISSING, split, str(video.path), f"there is no {error.filename}")
