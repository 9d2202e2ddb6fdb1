"""Which videos there are and of which class each is: folders ``class/video``, or lists of paths and labels."""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from datamodules.errors import PathNotFoundError
from datamodules.listing import BLANKS, Listed, ListFileError, find_videos, listed, name_of, named, rows

NORMAL = "normal"
WHOLE_NUMBER = re.compile(r"-?(0|[1-9]\d*)")  # 01 is a name: ids do not tell it from 1
COLUMNS = "expected path label, or path total label, or path start total label"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labelled:
    """A video, or a part of one, and its class.

    Attributes:
        video: Where it is.
        label: Name of its class.
    """

    video: Listed
    label: str


def find_labelled(folder: Path, root: Path) -> list[Labelled]:
    """Find the videos and frame folders below a folder that holds a folder for each class.

    Args:
        folder: Below it is ``<class>/<video>``.
        root: Folder of the data set, from which names are counted.

    Raises:
        ValueError: When there are none, or one lies in no folder of a class.
    """
    videos = find_videos(folder)
    if not videos:
        raise ValueError(f"datamodule.root={root}: expected <class>/<video> below {folder}, found no videos")
    for video in videos:
        if len(video.path.relative_to(folder).parts) < 2:
            raise ValueError(
                f"datamodule.root={root}: expected <class>/<video> below {folder}, found {video.path.name}"
            )
    names = named([replace(video, name=name_of(video.path, root)) for video in videos])
    found = [Labelled(video, video.path.relative_to(folder).parts[0]) for video in names]
    shown = {each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")}
    if empty := sorted(shown - {each.label for each in found}):
        log.warning("%s: folders without videos, which make no class: %s", folder, ", ".join(empty))
    return found


def read_labelled(file: Path, root: Path, key: str) -> list[Labelled]:
    """Read a list of videos and their labels, one per line, in any of the forms in which such lists go round.

    ``path label`` (videos), ``path total label`` (frame folders, ``total`` images are used) or ``path start total
    label``, separated by blanks as in MCG-NJU/VideoMAE and OpenGVLab/VideoMAEv2, or by commas as in sbasu276/FocusMAE,
    or by tabs. A path with blanks needs commas or tabs. Empty lines and lines that begin with ``#`` are left aside.

    Args:
        file: The list.
        root: Folder to which paths are relative.
        key: The setting that names the list, for messages.

    Raises:
        PathNotFoundError: When the list does not exist.
        ListFileError: At the first wrong line, and for a video that is listed twice.
    """
    if not file.is_file():
        raise PathNotFoundError(key, file, "Expected a text file with a path and a label in each line.")
    found: list[Labelled] = []
    lines: dict[tuple, int] = {}
    for line, columns in rows(file, root):
        if len(columns) not in (2, 3, 4) or not columns[-1]:
            raise ListFileError(file, line, f"has {len(columns)} columns, {COLUMNS}; {BLANKS}")
        path, *numbers, label = columns
        video = listed(file, line, [path, *(["0", *numbers] if len(numbers) == 1 else numbers)], root)
        if len(numbers) == 1:
            video = replace(video, first=None)  # from its first image on, whatever its number
        elif video.first is not None:
            video = replace(video, name=f"{video.name}/{video.first}")  # other parts may be listed as well
        place = (video.path, video.first, video.count)
        if place in lines:
            raise ListFileError(file, line, f"{video.name} is listed already, in line {lines[place]}")
        lines[place] = line
        found.append(Labelled(video, label))
    if not found:
        raise ListFileError(file, 1, "the list is empty; expected a video and its label per line")
    return found


def class_names(labels: Iterable[str]) -> list[str]:
    """Name the classes in the order of their ids.

    Labels that are all whole numbers are the ids themselves, from 0 to the highest; others are sorted by name, but for
    ``normal``, which is the first, so that of two classes the other one is positive.

    Raises:
        ValueError: For a negative number.
    """
    labels = set(labels)
    if not all(WHOLE_NUMBER.fullmatch(label) for label in labels):
        return sorted(labels, key=lambda label: (label != NORMAL, label))
    numbers = sorted(map(int, labels))
    if numbers[0] < 0:
        raise ValueError(f"labels: expected 0 or more as number of a class, found {numbers[0]}")
    return [str(number) for number in range(numbers[-1] + 1)]


def check_classes(parts: Mapping[str, Sequence[Labelled]], num_classes: int | None) -> None:
    """Compare the classes of a data set with what the model knows, and those of one part with those of training.

    Args:
        parts: Videos of each part, ``train`` among them.
        num_classes: Classes of the model; None for any number.

    Raises:
        ValueError: When there are more classes than the model knows.
    """
    every = sorted({each for videos in parts.values() for each in videos}, key=lambda each: each.video.name)
    names = class_names(each.label for each in every)
    if num_classes is not None and len(names) > num_classes:
        times = Counter(each.label for each in every)
        rare = min(every, key=lambda each: times[each.label])
        found = f"{len(names)} ({', '.join(names[:10])}{', ...' if len(names) > 10 else ''})"
        raise ValueError(
            f"datamodule.num_classes={num_classes}: expected as many classes at most, found {found}, the rarest "
            f"{rare.label} of {rare.video.name}; correct the labels, or set model.num_classes={len(names)}"
        )
    if untaught := sorted({each.label for each in every} - {each.label for each in parts["train"]}):
        log.warning("classes that no training video has: %s", ", ".join(untaught))


def distinctly_named(parts: Mapping[str, Sequence[Labelled]]) -> dict[str, list[Labelled]]:
    """Let no two videos of a data set have the same name, and none two classes.

    Raises:
        ValueError: For a video of two classes.
    """
    labels: dict[Listed, str] = {}
    for each in (each for videos in parts.values() for each in videos):
        if labels.setdefault(each.video, each.label) != each.label:
            found = f"{labels[each.video]} and {each.label}"
            raise ValueError(f"{each.video.path}: expected one class of a video, found {found}")
    renamed = {(video.path, video.first, video.count): video for video in named(list(labels))}
    return {
        part: [replace(each, video=renamed[each.video.path, each.video.first, each.video.count]) for each in videos]
        for part, videos in parts.items()
    }
