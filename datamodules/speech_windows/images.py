"""The images of a window: of a frame folder, or decoded from a video; numbered by frame from 0."""

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from datamodules.errors import VideoReadError
from datamodules.export.frames import CHUNK_BYTES, IMAGE
from datamodules.reading import VideoFacts, open_video
from datamodules.reading.frame_folder import list_frames
from datamodules.speech_windows.settings import LINK, ClipSource, WindowSettings


class Images(Protocol):
    """Images of a clip."""

    @property
    def frames(self) -> Collection[int]:
        """Numbers of the frames that are there."""

    def name(self, frame: int) -> str:
        """What the image of a frame is called."""

    def origins(self, frames: Sequence[int]) -> list[str]:
        """What the images are called that those of some frames are made of; empty where there are none."""

    def write(self, frames: Sequence[int], folder: Path) -> Iterator[None]:
        """Make the images of some frames; yields while it goes on."""


@dataclass(frozen=True)
class FolderImages:
    """Images of a frame folder.

    Attributes:
        paths: Image of each frame.
        link: Link them where the file system can, else copy.
    """

    paths: dict[int, Path]
    link: bool

    @property
    def frames(self) -> Collection[int]:
        """Numbers of the frames that are there."""
        return self.paths.keys()

    def name(self, frame: int) -> str:
        """What the image of a frame is called; its format stays."""
        return Path(IMAGE.format(frame)).with_suffix(self.paths[frame].suffix.lower()).name

    def origins(self, frames: Sequence[int]) -> list[str]:
        """What the images are called where they come from."""
        return [self.paths[frame].name for frame in frames]

    def write(self, frames: Sequence[int], folder: Path) -> Iterator[None]:
        """Link or copy the images of some frames."""
        for frame in frames:
            source, target = self.paths[frame].resolve(), folder / self.name(frame)
            if not (self.link and linked(source, target)):
                shutil.copyfile(source, target)
            yield


@dataclass(frozen=True)
class VideoImages:
    """Frames of a video as JPEG.

    Attributes:
        facts: The video.
        quality: Of the images, 1 to 100.
        backend: How it is read.
    """

    facts: VideoFacts
    quality: int
    backend: str

    @property
    def frames(self) -> Collection[int]:
        """Numbers of the frames that are there."""
        return range(self.facts.frame_count)

    def name(self, frame: int) -> str:
        """What the image of a frame is called."""
        return IMAGE.format(frame)

    def origins(self, frames: Sequence[int]) -> list[str]:
        """Nothing: they are made of the video."""
        return []

    def write(self, frames: Sequence[int], folder: Path) -> Iterator[None]:
        """Decode some frames, in order."""
        chunk = max(1, CHUNK_BYTES // (self.facts.height * self.facts.width * 3))
        with open_video(self.facts, self.backend) as reader:
            for start in range(0, len(frames), chunk):
                chosen = frames[start : start + chunk]
                for frame, pixels in zip(chosen, reader.read(chosen), strict=True):
                    Image.fromarray(pixels).save(folder / self.name(frame), "JPEG", quality=self.quality)
                yield


def images_of(source: ClipSource, settings: WindowSettings, backend: str) -> Images:
    """Find the images of a clip.

    Raises:
        VideoReadError: When its folder has none, or one before frame 0.
    """
    if source.facts.kind == "file":
        return VideoImages(source.facts, settings.quality, backend)
    found = list_frames(source.facts.path)
    first = next(iter(found))
    if first < source.first_image:
        reason = f"{found[first].name} comes before the image of frame 0, which is said to have number"
        raise VideoReadError(source.facts.path, f"{reason} {source.first_image}; say where the images begin")
    return FolderImages({number - source.first_image: path for number, path in found.items()}, settings.files == LINK)


def linked(source: Path, target: Path) -> bool:
    """Give a file a second name; False where the file system cannot."""
    try:
        os.link(source, target)
    except OSError:
        return False
    return True
