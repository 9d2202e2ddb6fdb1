"""Candidate regions of a detector, read from Faster R-CNN result files (sbasu276/FocusMAE)."""

import json
import logging
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from datamodules.errors import DataFileError, PathNotFoundError
from datamodules.reading.frame_folder import LAST_INTEGER

log = logging.getLogger(__name__)

EXPECTED = 'expected {"results": [{"image_id": "000.jpg", "Boxes": [[x1, y1, x2, y2], ...], "Scores": [...]}, ...]}'


class RegionFileError(DataFileError):
    """A region file does not hold what it should."""


class Regions(Protocol):
    """Boxes of one video by frame."""

    def at(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (R, 4) and scores (R,) of the frame with this number, float32."""


@dataclass(frozen=True)
class VideoRegions:
    """Candidate boxes of one video in flat arrays, which worker processes share instead of copying them.

    Attributes:
        frames: Increasing frame numbers, int64 (F,).
        starts: Frame ``f`` of ``frames`` has the boxes from ``starts[f]`` to ``starts[f + 1]``, int64 (F + 1,).
        boxes: float32 (M, 4), xyxy in pixels of the stored frame.
        scores: float32 (M,), in [0, 1].
    """

    frames: np.ndarray
    starts: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray

    def at(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (R, 4) and scores (R,) of the frame with this number; none where the detector reported none."""
        place = int(np.searchsorted(self.frames, frame))
        if place == len(self.frames) or self.frames[place] != frame:
            return self.boxes[:0], self.scores[:0]
        found = slice(self.starts[place], self.starts[place + 1])
        return self.boxes[found], self.scores[found]


NOTHING = VideoRegions(
    np.zeros(0, np.int64), np.zeros(1, np.int64), np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
)


@dataclass(frozen=True)
class Detections:
    """One entry of a region file: the boxes of one image.

    Attributes:
        image: ``image_id``, which names the frame and perhaps the video.
        boxes: float32 (R, 4), xyxy in pixels of the stored frame.
        scores: float32 (R,).
    """

    image: str
    boxes: np.ndarray
    scores: np.ndarray


def read_regions(path: str | Path, videos: Iterable[str]) -> dict[str, VideoRegions]:
    """Read the candidate boxes of some videos, once.

    Two layouts are known. A folder holds a file ``res_frcnn_<video>.json`` per video, in which ``image_id`` is the file
    name of a frame; ``<video>`` is the last part of the video's name. A single file is for a whole data set, and
    ``image_id`` is ``<video>_<file name of the frame>``; entries of other videos are left aside.

    A video without a file, or a frame without an entry, has no boxes; that no video has any is worth a warning. The
    number of a frame is the last integer of its file name. ``Labels`` is not read: published files hold more labels
    than boxes. Without ``Scores`` every box has 1.

    Args:
        path: The folder or the file.
        videos: Names of the videos.

    Returns:
        Boxes by name of the video; every video is there.

    Raises:
        PathNotFoundError: When ``path`` does not exist.
        RegionFileError: When a file is not what it should be, naming the file and the entry.
    """
    path, videos = Path(path), list(videos)
    if not path.exists():
        raise PathNotFoundError("datamodule.regions", path, "Expected a region file or a folder of them.")
    found = read_folder(path, videos) if path.is_dir() else read_set(path, videos)
    if videos and not any(len(regions.frames) for regions in found.values()):
        log.warning("%s holds regions of none of the %d videos, such as %s", path, len(videos), videos[0])
    return found


def read_folder(folder: Path, videos: list[str]) -> dict[str, VideoRegions]:
    """Read the layout of one file per video."""
    found = {}
    for video in videos:
        file = folder / f"res_frcnn_{Path(video).name}.json"
        images = read_images(file) if file.is_file() else []
        found[video] = index_frames(file, [image.image for image in images], images)
    return found


def read_set(file: Path, videos: list[str]) -> dict[str, VideoRegions]:
    """Read the layout of one file for a whole data set."""
    names = {Path(video).name: video for video in videos}
    frames: dict[str, list[str]] = {video: [] for video in videos}
    images: dict[str, list[Detections]] = {video: [] for video in videos}
    for image in read_images(file):
        name = video_of(file, image.image, names)
        if name is not None:
            frames[names[name]].append(image.image[len(name) + 1 :])
            images[names[name]].append(image)
    return {video: index_frames(file, frames[video], images[video]) for video in videos}


def video_of(file: Path, image: str, names: Collection[str]) -> str | None:
    """Find which of ``names`` an ``image_id`` of the layout of one file begins with; None for none of them."""
    # Names of videos and of frames may both hold underscores; the longest name that is known wins.
    cuts = [cut.start() for cut in re.finditer("_", image)]
    if not cuts:
        raise RegionFileError(file, f"image_id {image!r} names no video; expected <video>_<frame file name>")
    return next((image[:cut] for cut in reversed(cuts) if image[:cut] in names), None)


def index_frames(file: Path, frames: Sequence[str], images: Sequence[Detections]) -> VideoRegions:
    """Sort the entries of one video by frame.

    Args:
        file: For messages.
        frames: File name of the frame of every entry.
        images: The entries.
    """
    frame_numbers = np.asarray([frame_number(file, frame) for frame in frames], dtype=np.int64)
    order = np.argsort(frame_numbers, kind="stable")
    frame_numbers, images = frame_numbers[order], [images[place] for place in order]
    if (twins := np.flatnonzero(np.diff(frame_numbers) == 0)).size:
        first, second = images[twins[0]].image, images[twins[0] + 1].image
        raise RegionFileError(file, f"image_id {first!r} and {second!r} are both frame {frame_numbers[twins[0]]}")
    return VideoRegions(
        frames=frame_numbers,
        starts=np.cumsum([0, *(len(image.boxes) for image in images)]),
        boxes=np.concatenate([np.zeros((0, 4), np.float32), *(image.boxes for image in images)]),
        scores=np.concatenate([np.zeros(0, np.float32), *(image.scores for image in images)]),
    )


def frame_number(file: Path, frame: str) -> int:
    """Read the number of a frame from its file name."""
    number = LAST_INTEGER.search(Path(frame).stem)
    if number is None:
        raise RegionFileError(file, f"image_id ends in {frame!r}, expected the file name of a frame, such as 000.jpg")
    return int(number[1])


def read_images(file: Path) -> list[Detections]:
    """Read and check the entries of a region file."""
    try:
        content = json.loads(file.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RegionFileError(file, f"is not JSON ({error}); {EXPECTED}") from error
    if not isinstance(content, dict) or not isinstance(content.get("results"), list):
        found = f"the keys {sorted(content)}" if isinstance(content, dict) else f"a {type(content).__name__}"
        raise RegionFileError(file, f"holds {found}; {EXPECTED}")
    return [read_image(file, place, entry) for place, entry in enumerate(content["results"])]


def read_image(file: Path, place: int, entry: Any) -> Detections:
    """Check one entry of ``results``."""
    name = f"results[{place}]"
    if not isinstance(entry, dict) or not isinstance(entry.get("image_id"), str):
        raise RegionFileError(file, f"{name} has no image_id of type string; {EXPECTED}")
    image = entry["image_id"]
    name = f"{name} ({image})"
    boxes = numbers(file, f"{name}: Boxes", entry.get("Boxes"))
    boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise RegionFileError(file, f"{name}: Boxes has shape {boxes.shape}, expected (R, 4): x1, y1, x2, y2")
    if (turned := (boxes[:, 2:] < boxes[:, :2]).any(1)).any():
        wrong = int(np.flatnonzero(turned)[0])
        raise RegionFileError(
            file, f"{name}: Boxes[{wrong}] = {boxes[wrong].tolist()} ends before it begins, expected x1 <= x2, y1 <= y2"
        )
    scores = numbers(file, f"{name}: Scores", entry["Scores"]) if "Scores" in entry else np.ones(len(boxes), np.float32)
    if scores.shape != boxes.shape[:1]:
        raise RegionFileError(
            file, f"{name}: Scores has shape {scores.shape}, expected one for each of {len(boxes)} boxes"
        )
    if ((scores < 0) | (scores > 1)).any():
        raise RegionFileError(file, f"{name}: Scores range from {scores.min()} to {scores.max()}, expected [0, 1]")
    return Detections(image, boxes, scores)


def numbers(file: Path, name: str, value: Any) -> np.ndarray:
    """Turn a list of numbers, or of lists of numbers, into a float32 array."""
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different length
        array = np.asarray(None)
    if array.ndim == 0 or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise RegionFileError(file, f"{name} is {shorten(value)}, expected a list of finite numbers")
    return array.astype(np.float32)


def shorten(value: Any) -> str:
    """Show a value of a file in a message, cut where it becomes long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
