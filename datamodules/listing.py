"""Which videos a folder or a list file names."""

import csv
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from datamodules.errors import PathNotFoundError
from datamodules.reading.frame_folder import IMAGE_SUFFIXES

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv"}
    | {".ts", ".vob", ".webm", ".wmv"}
)

BLANKS = "separate them by tabs or commas where a path has blanks"


@dataclass(frozen=True)
class Listed:
    """A video that was found, or a part of it.

    Attributes:
        name: What it is called in batches: its path below the root, without suffix.
        path: The video file or frame folder.
        first: Number of the first frame that belongs to it; None for the video's first one.
        count: Number of frames that belong to it; None for all from ``first`` on.
    """

    name: str
    path: Path
    first: int | None = None
    count: int | None = None


class ListFileError(ValueError):
    """A line of a list file cannot be understood.

    Args:
        path: The list file.
        line: Number of the line, from 1.
        reason: What was found, and what was expected.
    """

    def __init__(self, path: str | Path, line: int, reason: str) -> None:
        super().__init__(f"{path}, line {line}: {reason}")
        self.path, self.line, self.reason = Path(path), line, reason

    def __reduce__(self) -> tuple:
        return type(self), (self.path, self.line, self.reason)


def find_videos(root: Path) -> list[Listed]:
    """Find the video files below a folder, and the folders below it (or itself) that hold numbered images.

    A folder with images and videos is taken for a folder of videos with pictures beside them. Hidden files and folders
    are left aside; links are followed.

    Returns:
        Videos in the order of their names; empty when there are none.
    """
    paths: list[Path] = []
    seen: set[Path] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        place = Path(folder)
        if place.resolve() in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(place.resolve())
        shown = [place / file for file in files if not file.startswith(".")]
        videos = [file for file in shown if file.suffix.lower() in VIDEO_SUFFIXES]
        paths += videos
        if not videos and any(file.suffix.lower() in IMAGE_SUFFIXES for file in shown):
            paths.append(place)
            folders.clear()
        folders[:] = [name for name in folders if not name.startswith(".")]
    return named([Listed(name_of(path, root), path) for path in paths])


def find_at(path: Path, option: str) -> list[Listed]:
    """Find the videos that a path means: the one that it is, or those in a folder.

    Args:
        path: A video file, a folder of numbered images, or a folder that is searched in depth.
        option: Option that gave it, for messages.

    Raises:
        PathNotFoundError: When it does not exist.
        FileNotFoundError: When it holds no videos.
    """
    if not path.exists():
        raise PathNotFoundError(
            option, path, "Expected a video file, a folder of numbered images, or a folder of those."
        )
    if path.is_file():
        return [Listed(path.stem, path)]
    found = find_videos(path)
    if not found:
        raise FileNotFoundError(f"{option}={path} holds no videos; expected files such as .mp4 or .avi")
    return found


def read_list(file: Path, root: Path) -> list[Listed]:
    """Read a list of videos, one per line, and check that they exist.

    Columns are ``path``, or ``path start total``, or ``path start total label`` as in OpenGVLab/VideoMAEv2, separated
    by tabs, commas or, where a line has neither, blanks. A path with blanks needs tabs or commas, or a line to itself.
    ``start`` is the number of the first frame that is used (for a frame folder the number in its file name) and
    ``total`` how many are, -1 for all. The label is checked and otherwise not used: what is said of a whole video says
    nothing of its frames. Empty lines and lines that begin with ``#`` are left aside.

    Args:
        file: The list.
        root: Folder to which paths are relative.

    Raises:
        PathNotFoundError: When the list does not exist.
        ListFileError: At the first wrong line.
    """
    if not file.is_file():
        raise PathNotFoundError("datamodule.list_file", file, "Expected a text file that names a video in each line.")
    found = [listed(file, line, columns, root) for line, columns in rows(file, root)]
    if not found:
        raise ListFileError(file, 1, "the list is empty; expected a video per line")
    return named(found)


def rows(file: Path, root: Path) -> Iterator[tuple[int, list[str]]]:
    """Split a list file into columns, with the number of each line."""
    for line, text in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        if "\t" in text:
            columns = text.split("\t")
        elif "," in text:
            columns = next(csv.reader([text]))
        else:
            columns = [text] if (root / text.strip()).exists() else text.split()
        yield line, [column.strip() for column in columns]


def listed(file: Path, line: int, columns: Sequence[str], root: Path) -> Listed:
    """Understand one line of a list file."""
    if len(columns) not in (1, 3, 4):
        reason = f"has {len(columns)} columns, expected path [start total [label]]"
        raise ListFileError(file, line, f"{reason}; {BLANKS}")
    path = root / columns[0]
    if not path.exists():
        reason = f"{path} does not exist (paths are relative to datamodule.root={root})"
        raise ListFileError(file, line, f"{reason}; columns: {BLANKS}" if len(columns) > 1 else reason)
    numbers = dict(zip(("start", "total", "label"), columns[1:], strict=False))
    for name, text in numbers.items():
        if not re.fullmatch(r"-?\d+", text):
            raise ListFileError(file, line, f"{name} is {text!r}, expected an integer")
    start, total = int(numbers.get("start", 0)), int(numbers.get("total", -1))
    if start < 0:
        raise ListFileError(file, line, f"start is {start}, expected the number of a frame")
    if total == 0 or total < -1:
        raise ListFileError(file, line, f"total is {total}, expected a number of frames, or -1 for all")
    # "0 -1" is how a whole video is written, also for a frame folder that begins at 1.
    first, count = (None if (start, total) == (0, -1) else start), (None if total == -1 else total)
    return Listed(name_of(path, root), path, first, count)


def name_of(path: Path, root: Path) -> str:
    """Path below the root, without suffix for a file; the name alone for the root itself or a path elsewhere."""
    path = path.absolute()
    inside = path != root.absolute() and path.is_relative_to(root.absolute())
    name = path.relative_to(root.absolute()) if inside else Path(path.name)
    return (name if path.is_dir() else name.with_suffix("")).as_posix()


def named(videos: Sequence[Listed]) -> list[Listed]:
    """Sort videos by name; different files of the same name keep their suffix, or their whole path."""
    for rename in (lambda video: f"{video.name}{video.path.suffix}", lambda video: video.path.as_posix()):
        files = {(video.name, video.path) for video in videos}
        shared = {name for name, times in Counter(name for name, _ in files).items() if times > 1}
        videos = [replace(video, name=rename(video)) if video.name in shared else video for video in videos]
    return sorted(videos, key=lambda video: (video.name, video.first or 0))
