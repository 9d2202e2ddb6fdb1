"""How clips are cut into windows: length, names, samples; every number is exact."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from datamodules.reading import VideoFacts

LINK, COPY, MANIFEST = FILES = ("link", "copy", "manifest")
CONTRACT, DATASET_CLIPS = LAYOUTS = ("contract", "dataset_clips")
LARGEST_DENOMINATOR = 1001  # of frame rates: 30000/1001 Hz and the like


@dataclass(frozen=True)
class ClipSource:
    """A clip that is to be cut.

    Attributes:
        name: What it is called: the clip uid of Ego4D.
        split: Part of the data set; a folder of this name holds its windows.
        facts: Its video, or its folder of images.
        sound: File with its sound; None where there is none.
        num_frames: Frames that it is declared to have; None for as many as there are.
        first_image: Number of the image that shows frame 0; 0 for videos.
    """

    name: str
    split: str
    facts: VideoFacts
    sound: Path | None
    num_frames: int | None = None
    first_image: int = 0

    @property
    def rate(self) -> Fraction:
        """Frames per second."""
        return Fraction(self.facts.fps).limit_denominator(LARGEST_DENOMINATOR)

    @property
    def length(self) -> int:
        """Frames that there are, or are declared to be."""
        return self.facts.frame_ids[-1] + 1 - self.first_image if self.num_frames is None else self.num_frames


@dataclass(frozen=True)
class Window:
    """Frames ``first`` to ``stop`` - 1 of a clip, the last one shorter than others where ``partial``."""

    first: int
    stop: int
    partial: bool

    @property
    def folder(self) -> str:
        """What its folder is called."""
        return f"clip_f{self.first:06d}"

    @property
    def span(self) -> str:
        """First and last frame, as in the names of its files."""
        return f"f{self.first:06d}_f{self.stop - 1:06d}"

    def samples(self, sample_rate: int, rate: Fraction) -> tuple[int, int]:
        """First sample of the window, and the one behind its last: neighbours share a boundary."""
        first, stop = (round(frame * sample_rate / rate) for frame in (self.first, self.stop))
        return first, stop


@dataclass(frozen=True)
class WindowSettings:
    """What decides about windows.

    Attributes:
        seconds: Length of a window; a window has the nearest whole number of frames.
        files: ``link`` images where possible, else as ``copy``: copies, or frames of a video as JPEG; ``manifest``
            writes neither images nor sound, and tells where they are.
        layout: ``contract``: ``<split>/<clip>/clip_f000450/`` with ``frames/img_00450.jpg``,
            ``audio_f000450_f000899.wav`` and ``clip.json``. ``dataset_clips``: beside them
            ``<clip>_f000450_f000899.json`` with faces and voices frame by frame.
        keep_partial: Keep the last window of a clip when it is shorter.
        min_frames: Frames that it has at least to be kept.
        quality: Of JPEG images that are made of a video, 1 to 100.

    Raises:
        ValueError: When a value is out of its range.
    """

    seconds: float = 15.0
    files: str = LINK
    layout: str = CONTRACT
    keep_partial: bool = True
    min_frames: int = 1
    quality: int = 95

    def __post_init__(self) -> None:
        least = {"seconds": self.seconds > 0, "min_frames": self.min_frames >= 1, "quality": 1 <= self.quality <= 100}
        least |= {"files": self.files in FILES, "layout": self.layout in LAYOUTS}
        expected = {"seconds": "more than 0", "min_frames": "at least 1", "quality": "1 to 100"}
        expected |= {"files": f"one of {', '.join(FILES)}", "layout": f"one of {', '.join(LAYOUTS)}"}
        for name, right in least.items():
            if not right:
                raise ValueError(f"{name} of windows: expected {expected[name]}, found {getattr(self, name)!r}")

    def parameters(self) -> dict[str, Any]:
        """All values, plain."""
        return asdict(self)

    def windows(self, length: int, rate: Fraction) -> Iterator[Window]:
        """The windows of a clip of ``length`` frames."""
        frames = max(1, round(Fraction(self.seconds) * rate))
        for first in range(0, length, frames):
            stop = min(first + frames, length)
            partial = stop - first < frames
            if not partial or (self.keep_partial and stop - first >= self.min_frames):
                yield Window(first, stop, partial)
