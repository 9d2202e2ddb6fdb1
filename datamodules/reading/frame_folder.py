"""Folders with one image per frame, numbered by the integer in the file name."""

import re
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from datamodules.errors import VideoReadError
from datamodules.reading.facts import VideoFacts, ranges
from datamodules.reading.reader import FactsReader

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

# Data sets write the number last: 000.jpg, img_00001.jpg, 01_0014_000.jpg, frame12.png.
LAST_INTEGER = re.compile(r"(\d+)\D*$")


def list_frames(folder: Path) -> dict[int, Path]:
    """Map the frame numbers of a folder, increasing, to its images; other files are left aside.

    Raises:
        VideoReadError: When the folder has no images, or an image has no number, or two have the same one.
    """
    frames: dict[int, Path] = {}
    for path in folder.iterdir():
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        number = LAST_INTEGER.search(path.stem)
        if number is None:
            raise VideoReadError(path, "expected an image named after its frame number, such as 000.jpg")
        twin = frames.setdefault(int(number[1]), path)
        if twin is not path:
            names = " and ".join(sorted((twin.name, path.name)))
            raise VideoReadError(folder, f"{names} both claim to be frame {int(number[1])}; one of them has to go")
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
    try:
        with Image.open(first) as image:
            (width, height), codec = image.size, str(image.format).lower()
    except (OSError, UnidentifiedImageError) as error:
        raise VideoReadError(first, f"the image cannot be opened ({error})") from error
    runs = ranges(frames)
    return VideoFacts(folder, "frames", len(frames), fps, height, width, codec, runs=runs)


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
            try:
                with Image.open(path) as image:
                    pixels = np.asarray(image.convert("RGB"))
            except (OSError, SyntaxError) as error:  # PIL raises SyntaxError for some broken PNG files
                raise VideoReadError(path, f"the image cannot be read ({error})") from error
            if pixels.shape != frames.shape[1:]:
                expected, found = (f"{width}x{height}" for height, width in (frames.shape[1:3], pixels.shape[:2]))
                raise VideoReadError(path, f"expected {expected} pixels as in the folder's first image, got {found}")
            frames[place] = pixels
        return frames
