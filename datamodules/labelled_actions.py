"""Classes of clips from a data set in AVA's layout: what the most prominent person does."""

import logging
from pathlib import Path

from datamodules.ava import AVA, FILE_NAMES
from datamodules.ava_index import Index
from datamodules.clips import UnreadableSource
from datamodules.key_frames import Movie
from datamodules.label_map import POSE, LabelMap
from datamodules.labelled_listing import Labelled
from datamodules.listing import Listed

log = logging.getLogger(__name__)


def is_ava(root: Path) -> bool:
    """Whether a folder has the layout."""
    return any((folder / "ava_train_v2.2.csv").is_file() for folder in (root / "annotations", root))


def find_actions(root: Path, cache: str, length: int) -> dict[str, list[Labelled]]:
    """Cut a part around each key frame, and name it after the pose of the person whose annotated box is the largest.

    Of a person's actions the poses of AVA (stand, sit, ...) exclude each other; one class is asked of a clip, so that
    key frames whose most prominent person has none of them, or several, are left out, and counted.

    Args:
        root: Folder of the data set.
        cache: Folder for what is found out about its videos.
        length: Frames of a part; those of a clip.

    Returns:
        The parts of the official split, ``train`` and ``val``.
    """
    data = AVA(root=str(root), cache=cache, proposals=None)
    classes, movies = data.checked_label_map(), data.movies()
    indices = {part: data.index(split, classes, movies) for split, part in FILE_NAMES.items()}
    return {part: around_key_frames(index, classes, movies, length) for part, index in indices.items()}


def around_key_frames(
    index: Index, classes: LabelMap, movies: dict[str, Movie | UnreadableSource], length: int
) -> list[Labelled]:
    """The parts of one split, see `find_actions`."""
    found, left_out = [], 0
    for key_frame in range(len(index)):
        name, movie = index.name(key_frame), movies.get(index.name(key_frame))
        label = pose(index, key_frame, classes)
        if label is None or not isinstance(movie, Movie) or movie.facts.frame_count < length:
            left_out += 1
            continue
        second = float(index.second[key_frame])
        middle = int((movie.clock() <= second).sum()) - 1
        first = min(max(middle - length // 2, 0), movie.facts.frame_count - length)
        video = Listed(f"{name}/{second:g}", movie.facts.path, movie.facts.frame_ids[first], length)
        found.append(Labelled(video, label))
    if left_out:
        told = "the most prominent person has not exactly one pose, or the video cannot be read or is too short"
        log.warning("%d of %d key frames are left out: %s", left_out, len(index), told)
    return found


def pose(index: Index, key_frame: int, classes: LabelMap) -> str | None:
    """What the person with the largest annotated box does; None where it is not exactly one pose."""
    places = [place for place in index.places(key_frame) if index.annotated[place]]
    if not places:
        return None
    left, top, right, bottom = index.boxes[places].T
    largest = places[int(((right - left) * (bottom - top)).argmax())]
    poses = [
        action.name
        for action, does in zip(classes.actions, index.labels[largest], strict=True)
        if does and action.group == POSE
    ]
    return poses[0] if len(poses) == 1 else None
