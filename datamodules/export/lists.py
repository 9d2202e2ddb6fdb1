"""Lists of videos, of frames and of labels, as text files that detectors of this field read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datamodules.export.product import LABEL_LISTS, VIDEO_LIST, Product, failed, product_text

GROUP = 16  # frames of a line of the grouped lists
SCENE_CLASS = 0  # of every frame; the toolkit knows no other


@dataclass(frozen=True)
class Labelled:
    """A video as the lists tell of it.

    Attributes:
        name: The video.
        split: Part of the data set.
        frames: Image files of its frames, in order.
        labels: (len(frames),) int64, 1 anomalous, 0 normal; None where nothing is known.
    """

    name: str
    split: str
    frames: Sequence[Path]
    labels: np.ndarray | None


def write_video_list(names: Sequence[str], file: Path) -> Product:
    """Write one name per line (``shanghaitech.txt`` of rekkles2/Fed_WSVAD), in the given order."""
    return product_text(VIDEO_LIST, file, list(names))


def write_label_lists(videos: Sequence[Labelled], folder: Path) -> Iterator[Product]:
    """Write what feature extractors and detectors are told of each frame and each video.

    ``<folder>/<video>/`` holds the lists of rekkles2/Fed_WSVAD (and wanboyang/anomly_feature.pytorch): ``rgb_list.txt``
    a path per frame; ``label.txt`` for each ``anomalous:class`` with class 0; ``rgb_list_numJoints.txt`` 16 paths per
    line, an incomplete last group being left out; ``trainlabel_numJoints.txt`` for each of these lines the 16 labels,
    the class, and 1 when at least half of the frames are anomalous. ``<folder>/<split>.txt`` holds for each video
    ``name,label,frames``, as in fjchange/MIST_VAD, but with the true number of frames also of anomalous videos.

    A video whose labels are not known gets no labels, and no line among the videos of its split.

    Yields:
        A product for each file.
    """
    for video in videos:
        own = folder / video.name.lstrip("/")
        if any(" " in str(path.absolute()) for path in video.frames):
            yield failed(LABEL_LISTS, own, f"blanks part the paths of a line, and {video.frames[0]} has some")
            continue
        for name, lines in frame_lists(video).items():
            yield product_text(LABEL_LISTS, own / name, lines)
    for split, lines in video_lists(videos).items():
        yield product_text(LABEL_LISTS, folder / f"{split}.txt", lines)


def frame_lists(video: Labelled) -> dict[str, list[str]]:
    """Lines of the lists of a video's frames, by name of their file."""
    paths = [str(path.absolute()) for path in video.frames]
    groups = range(0, len(paths) - GROUP + 1, GROUP)
    lists = {"rgb_list.txt": paths}
    lists["rgb_list_numJoints.txt"] = [" ".join(paths[start : start + GROUP]) for start in groups]
    if video.labels is not None:
        lists["label.txt"] = [f"{label}:{SCENE_CLASS}" for label in video.labels]
        lists["trainlabel_numJoints.txt"] = [group_line(video.labels[start : start + GROUP]) for start in groups]
    return lists


def group_line(labels: np.ndarray) -> str:
    """Labels of the frames of a group, their class, and the label of the group, between two blanks each."""
    return "  ".join((" ".join(map(str, labels)), str(SCENE_CLASS), str(int(2 * labels.sum() >= len(labels)))))


def video_lists(videos: Sequence[Labelled]) -> Mapping[str, list[str]]:
    """Lines of the lists of videos, by split."""
    lists: dict[str, list[str]] = {}
    for video in videos:
        if video.labels is not None:
            lists.setdefault(video.split, []).append(f"{video.name},{int(video.labels.any())},{len(video.frames)}")
    return lists
