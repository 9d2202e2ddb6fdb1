"""Labels of frames (1 anomalous, 0 normal), from every kind of file in which they are handed around.

=========================  =============================================================================================
folder of ``<video>.npy``  masks, as ShanghaiTech Campus is published (``testing/test_frame_mask``)
``.pickle``, ``.pkl``      dictionary of arrays by video (``frame_label.pickle`` of the AR-Net family), read safely
``.npz``                   arrays by video
``.json``                  ``{"lengths": {video: frames}, "intervals": {video: [[first, behind the last], ...]}}``
``.npy`` of all videos     `read_concatenated`: one after the other (``gt-sh.npy`` of RTFM)
=========================  =============================================================================================

Arrays are (N,) or (1, N) of any type of number. Whether N is the number of frames of the video is not known here,
unless a function asks for it.
"""

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.atomic import replace_file, write_file
from datamodules import safe_pickle
from datamodules.errors import LabelFileError, LabelLengthError, PathNotFoundError
from datamodules.intervals import intervals_of, labels_of

MAX_LABELS = 10**7  # all videos of ShanghaiTech Campus together have 3 * 10^5 frames
SHOWN = 5  # names that a message holds
DAMAGE = (ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error)  # of .npy and .npz
KINDS = ".pickle, .pkl, .npz or .json of labels by video, or a folder of <video>.npy"


def read_frame_labels(path: str | Path) -> dict[str, np.ndarray]:
    """Read the labels of the frames of some videos.

    Args:
        path: A file or folder of one of the kinds above; for one vector of all videos see `read_concatenated`.

    Returns:
        By video uint8 (N,), 1 anomalous, 0 normal.

    Raises:
        PathNotFoundError: When there is no such file or folder.
        UnsafePickleError: When a pickle asks for more than arrays of numbers.
        LabelFileError: When it holds anything but zeros and ones by video.
    """
    path = Path(path)
    if path.is_dir():
        masks = {file.stem: read_mask(file) for file in sorted(path.glob("*.npy"))}
        if not masks:
            raise LabelFileError(path, "holds no <video>.npy")
        return masks
    found = by_video(path)
    if path.suffix.lower() == ".json":
        return read_intervals(path, found)
    return checked_each(path, found)


def read_video_labels(path: str | Path) -> dict[str, int]:
    """Read one label per video, as in ``video_label.pickle`` of the AR-Net family; also from ``.npz`` and ``.json``.

    Args:
        path: File with 0 or 1 by video, as it is or as the only element of a list or an array.

    Returns:
        By video 1 where it has an anomaly, else 0.

    Raises:
        PathNotFoundError, UnsafePickleError, LabelFileError: As `read_frame_labels`.
    """
    path = Path(path)
    labels = checked_each(path, by_video(path))
    for video, label in labels.items():
        if len(label) != 1:
            raise LabelFileError(path, f"{video}: has {len(label)} labels, expected the one of the video")
    return {video: int(label[0]) for video, label in labels.items()}


def read_concatenated(path: str | Path, lengths: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Read one vector with the labels of all videos, one after the other.

    Such a file fits one way of counting frames alone: ``gt-sh.npy`` of RTFM (Tian et al., 2021) has 16 labels for each
    row of RTFM's own features, so that the labels of a video may go on behind its end.

    Args:
        path: ``.npy`` file.
        lengths: Labels of each video, in the order of the file.

    Returns:
        By video uint8 (N,), 1 anomalous, 0 normal.

    Raises:
        LabelLengthError: When the file has another number of labels than ``lengths`` add up to.
        LabelFileError: When it is no vector of zeros and ones.
    """
    path, total = Path(path), sum(lengths.values())
    labels = read_mask(path)
    if len(labels) != total:
        raise LabelLengthError(
            path,
            f"has {len(labels)} labels, expected {total} for {len(lengths)} videos; a vector of all videos fits only "
            "the features, the order and the decoder that it was made with: use labels by video instead",
        )
    ends = np.cumsum(list(lengths.values()))
    return {video: labels[end - length : end] for (video, length), end in zip(lengths.items(), ends, strict=True)}


def read_mask(path: Path, frame_count: int | None = None) -> np.ndarray:
    """Read the frame labels of one video.

    Args:
        path: ``.npy`` file with (N,) or (1, N) zeros and ones of any type of number.
        frame_count: N, frames of the video; None takes any number.

    Returns:
        uint8 (N,), 1 anomalous, 0 normal.

    Raises:
        LabelFileError: When the file is no such array.
        LabelLengthError: When N is another one.
    """
    try:
        mask = np.load(path, allow_pickle=False)
    except DAMAGE as error:
        raise LabelFileError(path, f"is no array of labels ({error})") from error
    return checked(path, mask, frame_count=frame_count)


def write_frame_labels(path: str | Path, labels: Mapping[str, np.ndarray]) -> None:
    """Write labels of frames, so that `read_frame_labels` gives them back.

    Args:
        path: The file, ``.npz`` or ``.json``; its folder must exist. It is complete or not there.
        labels: By video (N,) or (1, N) zeros and ones.

    Raises:
        ValueError: When ``path`` has another ending.
        LabelFileError: When labels are no such arrays.
    """
    path = Path(path)
    whole = checked_each(path, labels)
    if path.suffix == ".npz":
        replace_file(path, lambda file: np.savez_compressed(file, **whole))
    elif path.suffix == ".json":
        lengths = {video: len(values) for video, values in whole.items()}
        content = {"lengths": lengths, "intervals": {video: intervals_of(values) for video, values in whole.items()}}
        write_file(path, json.dumps(content).encode())
    else:
        raise ValueError(f"{path}: expected a file .npz or .json for frame labels, found the ending {path.suffix!r}")


def by_video(path: Path) -> dict[str, Any]:
    """What a file holds for each video, whatever that is."""
    if not path.exists():
        raise PathNotFoundError("frame labels", path, f"Expected a {KINDS}.")
    match path.suffix.lower():
        case ".pickle" | ".pkl":
            found = safe_pickle.load(path)
        case ".npz":
            found = read_arrays(path)
        case ".json":
            found = read_json(path)
        case ending:
            raise LabelFileError(path, f"expected a {KINDS}, found the ending {ending!r}")
    if not isinstance(found, dict) or not all(isinstance(video, str) for video in found):
        raise LabelFileError(path, f"expected labels by name of their video, found a {type(found).__name__}")
    return found


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as file:
            size = sum(entry.file_size for entry in file.infolist())
        if size <= safe_pickle.MAX_BYTES:
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
    except DAMAGE as error:
        raise LabelFileError(path, f"holds no arrays of labels ({error})") from error
    raise LabelFileError(path, f"unpacks to {size} bytes, expected at most {safe_pickle.MAX_BYTES} for labels")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise LabelFileError(path, f"is no JSON ({error})") from error


def read_intervals(path: Path, content: dict[str, Any]) -> dict[str, np.ndarray]:
    """Label frames by the intervals of a JSON file; a video without any is normal."""
    lengths, intervals = content.get("lengths"), content.get("intervals")
    if not isinstance(lengths, dict) or not isinstance(intervals, dict):
        raise LabelFileError(path, f"expected 'lengths' and 'intervals' by video, found {sorted(content)[:SHOWN]}")
    if strange := sorted(intervals.keys() - lengths.keys()):
        raise LabelFileError(path, f"has intervals, but no lengths of {strange[:SHOWN]}")
    whole = all(type(length) is int and length >= 0 for length in lengths.values())
    if not whole or sum(lengths.values()) > MAX_LABELS:
        raise LabelFileError(path, f"expected numbers of frames, at most {MAX_LABELS} in all, found {lengths!r:.80}")
    try:
        return {video: labels_of(intervals.get(video, []), length) for video, length in lengths.items()}
    except (ValueError, TypeError) as error:
        raise LabelFileError(path, str(error)) from error


def checked_each(path: Path, found: Mapping[str, Any]) -> dict[str, np.ndarray]:
    labels, total = {}, 0
    for video, values in found.items():
        labels[video] = checked(path, values, video)
        total += len(labels[video])
        if total > MAX_LABELS:  # few bytes of a pickle can be one array many times
            raise LabelFileError(path, f"holds more than {MAX_LABELS} labels")
    return labels


def checked(path: Path, values: Any, video: str = "", frame_count: int | None = None) -> np.ndarray:
    """Make labels uint8 (N,) of what a file holds, or say why it is none."""
    where = f"{video}: " if video else ""
    if isinstance(values, list | tuple) and all(isinstance(value, int | float | np.generic) for value in values):
        values = np.array(values)
    if not isinstance(values, np.ndarray | np.generic | int | float):
        raise LabelFileError(path, f"{where}holds a {type(values).__name__}, expected an array")
    labels = np.atleast_1d(values)
    length = labels.size if frame_count is None else frame_count
    if labels.shape not in ((length,), (1, length)):
        expected = "(frames,) or (1, frames)" if frame_count is None else f"({frame_count},) as the video's frames"
        raise LabelLengthError(path, f"{where}has shape {labels.shape}, expected {expected}")
    if labels.dtype.kind not in "buif" or not np.isin(labels, (0, 1)).all():
        raise LabelFileError(path, f"{where}holds other values ({labels.dtype}) than 0 (normal) and 1 (anomalous)")
    return labels.reshape(-1).astype(np.uint8)
