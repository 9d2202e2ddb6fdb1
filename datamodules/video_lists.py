"""Which videos of ShanghaiTech Campus a list names, in any of the forms in which such lists go round."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from datamodules.errors import PathNotFoundError
from datamodules.listing import ListFileError

NAME = re.compile(r"(?<!\d)\d{2}_\d{3,4}(?!\d)")  # scene and number, three digits for normal videos
KINDS = {0: "normal", 1: "anomalous"}


@dataclass(frozen=True)
class NamedVideo:
    """A video as a list knows it.

    Attributes:
        name: ``<scene>_<number>``.
        label: 1 when it has an anomaly, else 0.
        frames: Number of its frames, where the list says so.
    """

    name: str
    label: int
    frames: int | None = None

    @property
    def scene(self) -> int:
        """Number of the place it shows, from 1."""
        return int(self.name[:2])


def name_in(text: str) -> str | None:
    """Find the name of a video in a path of any system: in the last part, or else in the folder before it.

    ``features/01_0014_i3d.npy`` and ``combine/01_0014/feature.npy`` are both of ``01_0014``. None when there is none.
    """
    path = PureWindowsPath(text)  # takes slashes of both kinds
    found = [*NAME.findall(path.parent.name), *NAME.findall(path.name)]
    return found[-1] if found else None


def named_video(name: str) -> NamedVideo:
    """A video of which only the name is known: three digits behind the scene are normal, four anomalous."""
    return NamedVideo(name, int(len(name.partition("_")[2]) == 4))


def read_video_list(file: Path, key: str = "list") -> list[NamedVideo]:
    """Read a list of videos, one per line, in the order of the lines.

    A line is a name (``01_0014``), a path that holds one (``UCF/SH_Train_ten_crop_i3d/01_0014_i3d.npy``, as in
    tianyu0207/RTFM), or either with ``,label`` or ``,label,frames`` behind it (fjchange/MIST_VAD; -1 frames for
    unknown). Without a label the name tells. Frames of anomalous videos are left aside: lists that go round repeat the
    number of the line before there, and the labels of frames know it. Files of one crop each (``01_0014_0.npy``,
    ``01_0014_1.npy``) name their video together. Empty lines and lines that begin with ``#`` are left aside.

    Args:
        file: The list.
        key: The setting that names it, for messages.

    Raises:
        PathNotFoundError: When the list does not exist.
        ListFileError: For a line that cannot be understood, or a video that is named twice.
    """
    if not file.is_file():
        raise PathNotFoundError(key, file, "Expected a text file that names a video in each line.")
    videos: dict[str, NamedVideo] = {}
    lines: dict[str, tuple[int, str]] = {}
    for line, text in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        video = parsed(file, line, text)
        before, spelling = lines.setdefault(video.name, (line, text.strip()))
        if before != line and (spelling == text.strip() or videos[video.name] != video):
            raise ListFileError(file, line, f"{video.name} is named already, in line {before}")
        videos[video.name] = video
    if not videos:
        raise ListFileError(file, 1, "the list is empty; expected a video per line")
    return list(videos.values())


def parsed(file: Path, line: int, text: str) -> NamedVideo:
    """Understand one line of a list."""
    path, *numbers = (column.strip() for column in text.split(","))
    name = name_in(path)
    if name is None:
        raise ListFileError(file, line, f"found no name such as 01_002 or 01_0014 in {path!r}")
    if len(numbers) > 2 or not all(re.fullmatch(r"-?\d+", number) for number in numbers):
        raise ListFileError(file, line, f"found {text.strip()!r}, expected name[,label[,frames]] with whole numbers")
    label, frames = [*map(int, numbers), None, None][:2] if numbers else (named_video(name).label, None)
    if label not in KINDS:
        raise ListFileError(file, line, f"label is {label}, expected 0 (normal) or 1 (anomalous)")
    return NamedVideo(name, label, frames if frames is not None and frames > 0 and not label else None)


def differing_counts(found: Sequence[NamedVideo], published: Sequence[NamedVideo]) -> Iterator[str]:
    """Say in which counts a list differs from the published one: normal and anomalous videos, videos per scene."""
    for label, kind in KINDS.items():
        have, want = (sum(video.label == label for video in videos) for videos in (found, published))
        if have != want:
            yield f"{have} {kind} videos instead of {want}"
    have, want = (Counter(video.scene for video in videos) for videos in (found, published))
    for scene in sorted(have | want):
        if have[scene] != want[scene]:
            yield f"{have[scene]} videos of scene {scene:02} instead of {want[scene]}"
