"""Folders with one image per frame, numbered by the integer in the file name."""

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from datamodules.errors import AmbiguousFramesError, TruncatedVideoError, VideoReadError
from datamodules.reading.facts import VideoFacts, ranges
from datamodules.reading.reader import FactsReader

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

# Data sets write the number last: 000.jpg, img_00001.jpg, 01_0014_000.jpg, frame12.png.
LAST_INTEGER = re.compile(r"(\d+)\D*$")

# What PIL raises for broken images, by format and place of the damage; the last one for sizes nobody means.
IMAGE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def list_frames(folder: Path) -> dict[int, Path]:
    """Map the frame numbers of a folder, increasing, to its images; other files are left aside.

    Raises:
        VideoReadError: When the folder has no images, or an image has no number, or two have the same one.
    """
    frames: dict[int, Path] = {}
    try:
        paths = list(folder.iterdir())
    except OSError as error:
        raise VideoReadError(folder, f"the folder cannot be listed ({error.strerror})") from error
    for path in paths:
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        number = LAST_INTEGER.search(path.stem)
        if number is None:
            raise VideoReadError(path, "expected an image named after its frame number, such as 000.jpg")
        twin = frames.setdefault(int(number[1]), path)
        if twin is not path:
            names = " and ".join(sorted((twin.name, path.name)))
            raise AmbiguousFramesError(
                folder, f"{names} both claim to be frame {int(number[1])}; one of them has to go"
            )
    if not frames:
        raise VideoReadError(folder, f"expected numbered images ({', '.join(sorted(IMAGE_SUFFIXES))}), found none")
    return dict(sorted(frames.items()))


def probe_frame_folder(folder: Path, fps: float) -> VideoFacts:
    """Describe a frame folder by its file names and the header of its first image.

    Args:
        folder: The folder.
        fps: Frame rate in Hz at which the images were taken; a folder does not tell.

    Raises:
        VideoReadError: When there are no numbered images, or the first one cannot be opened.
    """
    frames = list_frames(folder)
    first = next(iter(frames.values()))
    with opened(first) as image:
        (width, height), codec = image.size, str(image.format).lower()
    runs = ranges(frames)
    return VideoFacts(folder, "frames", len(frames), fps, height, width, codec, runs=runs)


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open an image; what is wrong with it becomes an error that names it, also when it is first decoded in here."""
    try:
        with Image.open(path) as image:
            yield image
    except IMAGE_ERRORS as error:
        kind = TruncatedVideoError if "truncated" in str(error).lower() else VideoReadError
        raise kind(path, f"the image cannot be read ({error})") from error


class FrameFolderReader(FactsReader):
    """Read the images of a folder with PIL.

    Args:
        facts: What ``probe_frame_folder`` returned.

    Raises:
        VideoReadError: When the folder no longer holds the frames it was indexed with.
    """

    def __init__(self, facts: VideoFacts) -> None:
        super().__init__(facts)
        self.frames = list_frames(facts.path)
        if list(self.frames) != list(self.frame_ids):
            changed = sorted(set(self.frames) ^ set(self.frame_ids))
            raise VideoReadError(facts.path, f"frame {changed[0]} has come or gone since the folder was indexed")

    def decode(self, indices: np.ndarray) -> np.ndarray:
        frames = np.empty((len(indices), self.height, self.width, 3), dtype=np.uint8)
        for place, index in enumerate(indices):
            path = self.frames[self.frame_ids[index]]
            with opened(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            if pixels.shape != frames.shape[1:]:
                expected, found = (f"{width}x{height}" for height, width in (frames.shape[1:3], pixels.shape[:2]))
                raise VideoReadError(path, f"expected {expected} pixels as in the folder's first image, found {found}")
            frames[place] = pixels
        return frames
