"""Reads features of a video: dumps of this project by their sidecars, files of others by a layout that is named."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.errors import DataFileError
from datamodules.video_lists import NAME

FORMAT, VERSION = "vidzoo-features", 1
SIDECAR = "sidecar"
CROP_FILES = "crop_files"
FOREIGN = {  # by layout: the axes of an array, by their number
    "rows_first": {2: ("row", "channel"), 3: ("row", "view", "channel")},
    "crops_first": {3: ("view", "row", "channel")},
    "statistics": {3: ("row", "statistic", "channel")},
    CROP_FILES: {2: ("row", "channel")},
}
ORDER = ("view", "row", "statistic", "channel")  # in which axes are put: the statistics of a row lie side by side
CROP = re.compile(rf"{NAME.pattern}.*_(\d+)$")  # in a file name without suffix: the number of the crop


class FeatureFileError(DataFileError):
    """A file of features cannot be used."""


@dataclass(frozen=True)
class FeatureFile:
    """The features of a video on the disk.

    Attributes:
        name: The video.
        paths: The file, or one per crop.
        axes: Names of the axes of the array in each.
        shape: V, T and C as `read` gives them.
        spans: int64 (T, 2), positions in the video of the first and last frame of each row, counted from 0; None where
            the file does not say it.
        frames: Number of frames of the video it was made from; None where the file does not say it.
        recipe: How it was made, as plain values; None where the file does not say it.
        sha256: Of the file; None where nothing says it.
    """

    name: str
    paths: tuple[Path, ...]
    axes: tuple[str, ...]
    shape: tuple[int, int, int]
    spans: np.ndarray | None = None
    frames: int | None = None
    recipe: dict[str, Any] | None = None
    sha256: str | None = None

    @property
    def path(self) -> Path:
        """The file, or that of the first crop."""
        return self.paths[0]

    @property
    def num_rows(self) -> int:
        """T."""
        return self.shape[1]

    def read(self) -> np.ndarray:
        """Read float32 (V, T, C): views (crops), rows in the order of time, channels of all statistics side by side.

        Raises:
            FeatureFileError: When the file cannot be read, is not what it was, or holds NaN or infinite values.
        """
        features = np.concatenate([arranged(load(path), self.axes) for path in self.paths])
        if features.shape != self.shape:
            raise FeatureFileError(
                self.path, f"found (V, T, C) = {features.shape}, where there was {self.shape} before"
            )
        if not np.isfinite(features).all():
            raise FeatureFileError(self.path, "holds NaN or infinite values; dump the video anew")
        return features

    def verify(self) -> None:
        """Read everything, and compare it with the sum in the sidecar.

        Raises:
            FeatureFileError: When the file is damaged.
        """
        if self.sha256 is not None and hashlib.sha256(self.path.read_bytes()).hexdigest() != self.sha256:
            raise FeatureFileError(self.path, "is not what its sidecar was written for (sha256); dump the video anew")
        self.read()


def describe(paths: Sequence[Path], name: str, layout: str = SIDECAR) -> FeatureFile:
    """Look at the features of a video without reading the numbers.

    Args:
        paths: Every file that is of this video.
        name: The video.
        layout: ``sidecar`` for dumps of this project (callbacks/features.py), which describe themselves. For files of
            others what their axes are: ``rows_first`` (T, C) or (T, V, C); ``crops_first`` (V, T, C); ``statistics``
            (T, 3, C), mean, standard deviation and maximum; ``crop_files`` one (T, C) per crop, ``<video>_0.npy`` on.

    Raises:
        FeatureFileError: When they cannot be used.
    """
    paths = sorted_crops(paths) if layout == CROP_FILES else tuple(paths)
    if len(paths) > 1 and layout != CROP_FILES:
        others = ", ".join(map(str, paths[1:]))
        hint = f"; for a file per crop: datamodule.layout={CROP_FILES}" if CROP.search(paths[0].stem) else ""
        raise FeatureFileError(paths[0], f"is not the only file of {name}, there is also {others}{hint}")
    sidecar = paths[0].with_suffix(".json")
    if layout == SIDECAR:
        return by_sidecar(paths[0], sidecar, name)
    if sidecar.is_file():
        raise FeatureFileError(paths[0], f"describes itself in {sidecar.name}; leave out datamodule.layout={layout}")
    shapes = {path: load(path, in_memory=False).shape for path in paths}
    shape = shapes[paths[0]]
    axes = FOREIGN[layout].get(len(shape))
    if axes is None:
        expected = " or ".join(f"({', '.join(axes)})" for axes in FOREIGN[layout].values())
        raise FeatureFileError(paths[0], f"found shape {shape}, expected {expected} with datamodule.layout={layout}")
    odd = next((path for path, other in shapes.items() if other != shape), None)
    if odd is not None:
        raise FeatureFileError(odd, f"found shape {shapes[odd]}, the crops before it have {shape}")
    views, rows, channels = arranged_shape(shape, axes)
    return with_rows(FeatureFile(name, paths, axes, (views * len(paths), rows, channels)))


def by_sidecar(path: Path, sidecar: Path, name: str) -> FeatureFile:
    """Look at a dump of this project."""
    if not sidecar.is_file():
        raise FeatureFileError(
            path,
            f"has no {sidecar.name} beside it. A dump that was interrupted is completed by the same command; for "
            f"files of other programs set datamodule.layout to one of {', '.join(FOREIGN)}",
        )
    try:
        content = json.loads(sidecar.read_bytes())
        if (content["format"], content["version"]) != (FORMAT, VERSION):
            reason = f"found {content['format']} version {content['version']}, expected {FORMAT} version {VERSION}"
            raise FeatureFileError(sidecar, reason)
        if content["video"] != name:
            raise FeatureFileError(sidecar, f"is of the video {content['video']}, expected {name}")
        axes, shape = tuple(content["array"]["axes"]), tuple(content["array"]["shape"])
        recipe, sha256 = dict(content["recipe"]), str(content["array"]["sha256"])
        first, frames = int(content["source"].get("first", 0)), int(content["source"]["frames"])
        spans = np.array(content["rows"]["frames"], dtype=np.int64).reshape(-1, 2) - first
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, FeatureFileError):
            raise
        raise FeatureFileError(sidecar, f"is no sidecar of features, or cut short ({error!r})") from error
    if set(axes) - set(ORDER) or len(set(axes)) < len(axes) or not {"row", "channel"} <= set(axes):
        reason = f"has the axes {', '.join(axes)}, expected row[, view][, statistic], channel"
        raise FeatureFileError(path, f"{reason}; dump with callbacks.features.pool=mean or mean_std_max")
    found = load(path, in_memory=False)
    if found.shape != shape or found.dtype.name != content["array"].get("dtype"):
        stored = f"{content['array'].get('dtype')} {shape}"
        raise FeatureFileError(path, f"found {found.dtype.name} {found.shape}, its sidecar says {stored}")
    file = with_rows(FeatureFile(name, (path,), axes, arranged_shape(shape, axes), spans, frames, recipe, sha256))
    if len(spans) != file.num_rows or (spans < 0).any() or (spans >= frames).any() or (spans[:, 0] > spans[:, 1]).any():
        reason = f"the frames of its {len(spans)} rows are no parts of a video of {frames} frames, or not of"
        raise FeatureFileError(sidecar, f"{reason} {file.num_rows} rows")
    return file


def with_rows(file: FeatureFile) -> FeatureFile:
    """Refuse features without a row."""
    if min(file.shape) < 1:
        raise FeatureFileError(file.path, f"holds no features: (V, T, C) = {file.shape}")
    return file


def sorted_crops(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Put the files of the crops of a video in order; they are numbered from 0 without a hole."""
    numbers = {path: CROP.search(path.stem) for path in paths}
    lacking = next((path for path, number in numbers.items() if number is None), None)
    if lacking is not None:
        raise FeatureFileError(lacking, "has no number of a crop at its end, expected <video>_0.npy and so on")
    ordered = sorted(paths, key=lambda path: int(numbers[path].group(1)))
    found = [int(numbers[path].group(1)) for path in ordered]
    if found != list(range(len(found))):
        raise FeatureFileError(ordered[0], f"found the crops {found}, expected 0 to {len(found) - 1}, each once")
    return tuple(ordered)


def load(path: Path, in_memory: bool = True) -> np.ndarray:
    """Open an array of floating point numbers; nothing is unpickled.

    Args:
        path: File as ``numpy.save`` writes it.
        in_memory: Read the numbers. Otherwise the header is read, and the file is as long as that says.

    Raises:
        FeatureFileError: When it is no such file.
    """
    try:
        array = np.load(path, mmap_mode=None if in_memory else "r", allow_pickle=False)
    except EOFError as error:
        raise FeatureFileError(path, "is empty, left by a program that did not finish; dump the video anew") from error
    except (OSError, ValueError) as error:
        python = "object" in str(error)
        reason = (
            "holds Python objects, which are not loaded because that runs code" if python else f"is broken ({error})"
        )
        raise FeatureFileError(path, f"{reason}; expected an array of numbers as numpy.save writes it") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        found = f"numbers of type {array.dtype}" if isinstance(array, np.ndarray) else "an archive of arrays"
        raise FeatureFileError(path, f"found {found}, expected an array of floating point numbers")
    return array


def arranged(array: np.ndarray, axes: Sequence[str]) -> np.ndarray:
    """Bring an array with some of the axes view, row, statistic and channel to float32 (V, T, C)."""
    there = [axis for axis in ORDER if axis in axes]
    array = array.transpose([axes.index(axis) for axis in there]).astype(np.float32)
    return array.reshape(arranged_shape(array.shape, there))


def arranged_shape(shape: Sequence[int], axes: Sequence[str]) -> tuple[int, int, int]:
    """V, T and C of an array with these axes."""
    views, rows, statistics, channels = (shape[axes.index(axis)] if axis in axes else 1 for axis in ORDER)
    return views, rows, statistics * channels
