"""Face crops of a video, cut once and kept: one file of uint8 (N, S, S) per video, which is mapped, not read."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.atomic import replacing
from datamodules.errors import VideoReadError
from datamodules.faces.crops import Mode, crop, rectangles
from datamodules.reading import VideoFacts, open_video
from datamodules.video_index import Stamp, stamp

CACHE_VERSION = 1  # to be raised when the same video and boxes give other faces
CHUNK_BYTES = 32_000_000  # of pixels that are decoded at a time


@dataclass(frozen=True)
class FacePlan:
    """Which faces are cut out of a video.

    Attributes:
        facts: The video.
        places: int64 (N,), place of each face's frame among those of the video; -1 for one that is not there.
        boxes: float64 (N, 4), xyxy in pixels of the frame.
        starts: int64 (K + 1,): faces ``starts[k]`` to ``starts[k + 1]`` are a track of consecutive frames, along which
            boxes are smoothed.
        mode: How faces are cropped.
        size: S, side of a face in pixels.
    """

    facts: VideoFacts
    places: NDArray[np.int64]
    boxes: NDArray[np.float64]
    starts: NDArray[np.int64]
    mode: Mode
    size: int

    def file(self, folder: Path) -> Path:
        """Where the faces are kept: other faces, of another video or cut in another way, have another name.

        Raises:
            VideoReadError: When the video is gone.
        """
        facts = self.facts
        settings = [CACHE_VERSION, self.mode, self.size, stamped(facts.path), facts.frame_count]
        found = blake2b(json.dumps(settings).encode(), digest_size=8)
        for numbers in (self.places, self.boxes, self.starts):
            found.update(np.ascontiguousarray(numbers).tobytes())
        return folder / f"{facts.path.stem}-{found.hexdigest()}.npy"

    def rectangles(self) -> NDArray[np.int64]:
        """Where the faces are cut out, (N, 4), see `datamodules.faces.crops.rectangles`."""
        found = np.zeros((len(self.boxes), 4), np.int64)
        for start, stop in pairwise(self.starts.tolist()):
            track = self.boxes[start:stop]
            found[start:stop] = rectangles(track, self.mode, self.facts.height, self.facts.width)
        return found


def pack_faces(plan: FacePlan, file: Path, backend: str) -> Iterator[None]:
    """Cut all faces out of a video, which is decoded once and in order, and keep them.

    A generator that yields while it goes on (``datamodules.killable.KillableProcess``).

    Args:
        plan: Which faces.
        file: Where they are kept; it appears complete or not at all. Faces whose frame is not there are black.
        backend: How the video is read.

    Raises:
        VideoReadError: When a frame cannot be decoded.
        OSError: When the file cannot be written.
    """
    where, size = plan.rectangles(), plan.size
    order = np.argsort(plan.places, kind="stable")
    order = order[np.searchsorted(plan.places[order], 0) :]
    needed, first = np.unique(plan.places[order], return_index=True)
    faces_of = np.split(order, first[1:])
    chunk = max(1, CHUNK_BYTES // (plan.facts.height * plan.facts.width * 3))
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as stream, open_video(plan.facts, backend) as reader:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(plan.boxes), size, size)}
        np.lib.format.write_array_header_1_0(stream, header)
        begin = stream.tell()
        stream.truncate(begin + len(plan.boxes) * size**2)
        for start in range(0, len(needed), chunk):
            frames = reader.read(needed[start : start + chunk].tolist())
            for picture, faces in zip(frames, faces_of[start : start + chunk], strict=True):
                for face in faces.tolist():
                    stream.seek(begin + face * size**2)
                    stream.write(crop(picture, where[face], plan.mode, size).tobytes())
            yield


def stamped(path: Path) -> Stamp:
    """What tells that a file or folder has changed.

    Raises:
        VideoReadError: When it is gone.
    """
    try:
        return stamp(path)
    except OSError as error:
        raise VideoReadError(path, f"is gone ({error.strerror or error})") from error


def open_packed(file: Path) -> NDArray:
    """Map what was packed; only what is looked at is read.

    Raises:
        VideoReadError: When it is not there, or is no such file.
    """
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise VideoReadError(file, "is gone; mode=prepare makes it anew") from error
    except (ValueError, EOFError) as error:
        raise VideoReadError(file, f"cannot be used ({error}); delete it, and mode=prepare makes it anew") from error
