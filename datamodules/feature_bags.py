"""A video as a bag of rows of features, with its label and, where they are known, those of its frames."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datamodules.checking import BROKEN, LABEL_LENGTH, MISSING, UNREADABLE, Defect
from datamodules.errors import DataFileError, LabelFileError, LabelLengthError
from datamodules.feature_files import FeatureFile, FeatureFileError
from datamodules.feature_windows import FeatureLengthError, Windowing, window_spans
from datamodules.frame_labels import read_concatenated, read_frame_labels
from datamodules.video_lists import NamedVideo


class MissingLabelsError(LabelFileError):
    """A video with an anomaly is to be evaluated, and nobody says where the anomaly is."""


KINDS = {  # of defects, by what is raised; the first that suits
    MissingLabelsError: MISSING,
    LabelLengthError: LABEL_LENGTH,
    FeatureLengthError: LABEL_LENGTH,
    LabelFileError: BROKEN,
    FeatureFileError: UNREADABLE,
}


@dataclass(frozen=True)
class Bag:
    """A video, its features and what is known of it.

    Attributes:
        video: Name, label and scene.
        file: The features.
        spans: int64 (T, 2), positions of the first and last frame of each row.
        frame_label: int64 (N,), 1 anomalous, 0 normal; of length 0 where nothing is known of the frames.
    """

    video: NamedVideo
    file: FeatureFile
    spans: np.ndarray
    frame_label: np.ndarray


def make_bag(
    video: NamedVideo, file: FeatureFile, labels: np.ndarray | None, windowing: Windowing, evaluated: bool
) -> Bag:
    """Put together what is known of a video.

    A video has as many frames as it has labels. A normal one needs none, and those it may have count only where nothing
    else tells its length, for lists that go round give normal videos 16 zeros for each row of their own features: it
    has as many as the sidecar of the features says, else its labels, else the list of videos, else its windows.

    Args:
        video: Name and label.
        file: Features.
        labels: (N,), 1 anomalous, 0 normal; None where there are none.
        windowing: How rows lie in the video where the file does not say it.
        evaluated: Whether the labels of its frames are indispensable.

    Raises:
        MissingLabelsError: When an anomalous video has none and needs them.
        LabelLengthError: When labels and features are of different numbers of frames.
        FeatureLengthError: When the number of rows does not fit that of the frames.
        LabelFileError: When a normal video has anomalous frames.
    """
    frames = None
    if video.label and labels is not None:
        frames = len(labels)
        if file.frames is not None and abs(file.frames - frames) > windowing.tolerance:
            reason = f"{video.name} has {frames} labels, and the features are of {file.frames} frames"
            raise LabelLengthError(file.path, f"{reason} (datamodule.frame_tolerance={windowing.tolerance})")
    elif video.label and evaluated:
        raise MissingLabelsError(
            file.path, f"{video.name} has an anomaly, and there are no labels of its frames; set datamodule.labels"
        )
    elif not video.label:
        if labels is not None and labels.any():
            reason = f"{video.name} counts as normal, and {int(labels.sum())} of its frames are labelled anomalous"
            raise LabelFileError(file.path, reason)
        frames = file.frames or (video.frames if labels is None else len(labels))
    spans = window_spans(file, frames, windowing) if file.spans is None else file.spans
    if not video.label:
        labels = np.zeros(int(spans[-1, 1]) + 1 if frames is None else frames)
    return Bag(video, file, spans, (np.zeros(0) if labels is None else labels).astype(np.int64))


def make_bags(
    videos: Sequence[NamedVideo],
    files: Mapping[str, FeatureFile],
    labels: Mapping[str, np.ndarray],
    windowing: Windowing,
    evaluated: Collection[str],
) -> tuple[dict[str, Bag], dict[str, Defect]]:
    """Make the bags of all videos that have features.

    Returns:
        The bags, and what is wrong with other videos, both by name.
    """
    bags: dict[str, Bag] = {}
    wrong: dict[str, Defect] = {}
    for video in videos:
        name = video.name
        if name in files:
            try:
                bags[name] = make_bag(video, files[name], labels.get(name), windowing, name in evaluated)
            except DataFileError as error:
                wrong[name] = defect(error)
    return bags, wrong


def defect(error: DataFileError) -> Defect:
    """Sort an error into a kind of defect, of no split yet."""
    kind = next(kind for kind in KINDS if isinstance(error, kind))
    return Defect(KINDS[kind], "", str(error.path), error.reason)


def read_labels(
    path: Path, files: Mapping[str, FeatureFile], tested: Sequence[NamedVideo], stride: int
) -> dict[str, np.ndarray]:
    """Read labels of frames by video, from a file of any kind.

    Args:
        path: What `datamodules.frame_labels` reads. A ``.npy`` is one vector of all test videos, as RTFM's
            ``gt-sh.npy``, with ``stride`` labels for each row of their features.
        files: Features by video.
        tested: The test videos, in the order of such a vector.
        stride: Frames between the starts of two rows.

    Returns:
        By video uint8 (N,); of a single vector nothing unless all test videos have features.
    """
    if path.is_dir() or path.suffix != ".npy":
        return read_frame_labels(path)
    names = [video.name for video in tested]
    if not files.keys() >= set(names):
        return {}
    return read_concatenated(path, {name: files[name].num_rows * stride for name in names})
