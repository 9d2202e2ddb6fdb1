"""How fast each reading backend is: ``python benchmarks/readers.py``, about a minute.

Generated clips in several codecs and sizes are read the way training reads them (open, read a clip of 16 frames at
stride 2 from a random start, close) and from the first frame to the last with one reader. The table gives medians of
wall time, each backend as a multiple of the slowest one, and the processor time of a clip, which other work on the
machine disturbs less. A backend that is not exact on a file is not measured there.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import median

import av
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from datamodules.errors import MissingBackendError
from datamodules.reading import VideoFacts, open_video, probe
from datamodules.reading.routing import BACKENDS, why_inexact

FRAMES, STRIDE = 16, 2


@dataclass(frozen=True)
class Clip:
    """A file to be generated; ``codec`` None makes a folder of JPEG images."""

    name: str
    codec: str | None
    width: int
    height: int
    gop: int = 250
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.name} {self.width}x{self.height}"


CLIPS = (
    Clip("h264.mp4", "libx264", 340, 256),
    Clip("h264_gop_16.mp4", "libx264", 640, 480, 16),
    Clip("h264_open_gop.mp4", "libx264", 340, 256, 48, (("x264-params", "open_gop=1"),)),
    Clip("mpeg4.avi", "mpeg4", 856, 480, 12),
    Clip("vp9.webm", "libvpx-vp9", 340, 256, 128),
    Clip("jpeg_folder", None, 340, 256),
)


def scene(number: int, width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Draw uint8 (H, W, 3): a fixed texture, a moving square and sensor noise, so that compression has work to do."""
    y, x = np.mgrid[:height, :width]
    grey = 120 + 50 * np.sin(x / 11) * np.cos(y / 17) + rng.normal(0, 3, (height, width))
    left = (4 * number) % (width - height // 4)
    grey[height // 2 : 3 * height // 4, left : left + height // 4] = 220
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=-1)


def generate(clip: Clip, folder: Path, count: int) -> Path:
    """Write ``count`` frames of the scene."""
    path, rng = folder / clip.name, np.random.default_rng(0)
    if clip.codec is None:
        path.mkdir()
        for number in range(count):
            Image.fromarray(scene(number, clip.width, clip.height, rng)).save(path / f"{number:03d}.jpg", quality=90)
        return path
    with av.open(str(path), "w") as container:
        stream = container.add_stream(clip.codec, rate=25, options=dict(clip.options))
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "yuv420p"
        stream.codec_context.gop_size = clip.gop
        for number in range(count):
            picture = av.VideoFrame.from_ndarray(scene(number, clip.width, clip.height, rng), format="rgb24")
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def seconds(work: Callable[[], object]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(facts: VideoFacts, backend: str, clips: int) -> tuple[float, float, float]:
    """Read clips at random starts with a fresh reader each, and a video from end to end.

    Returns:
        Clips per second, frames per second, and milliseconds of processor time per clip.
    """
    rng = random.Random(0)

    def read_clip() -> None:
        start = rng.randrange(facts.frame_count - FRAMES * STRIDE)
        with open_video(facts, backend) as reader:
            reader.read(range(start, start + FRAMES * STRIDE, STRIDE))

    def read_all() -> None:
        with open_video(facts, backend) as reader:
            for start in range(0, facts.frame_count, FRAMES):
                reader.read(range(start, min(start + FRAMES, facts.frame_count)))

    read_clip()  # the first call pays for the import of the backend
    start = time.process_time()
    per_clip = median(seconds(read_clip) for _ in range(clips))
    processor_ms = 1000 * (time.process_time() - start) / clips
    per_video = median(seconds(read_all) for _ in range(3))
    return 1 / per_clip, facts.frame_count / per_video, processor_ms


def installed(backend: str) -> bool:
    """Tell whether a backend can be imported here."""
    try:
        import_module(f"datamodules.reading.{backend}_reader")
    except MissingBackendError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=250, help="length of the generated videos")
    parser.add_argument("--clips", type=int, default=40, help="clips read per file and backend")
    arguments = parser.parse_args()
    table = Table("file", "probe, ms", "backend", "clips/s", "ratio", "CPU ms/clip", "frames/s", "ratio")
    backends = [backend for backend in BACKENDS if installed(backend)]
    with tempfile.TemporaryDirectory() as folder:
        for clip in CLIPS:
            path = generate(clip, Path(folder), arguments.frames)
            facts = probe(path)
            probe_ms = 1000 * median(seconds(lambda path=path: probe(path)) for _ in range(5))
            exact = [backend for backend in backends if not why_inexact(facts, backend)]
            speeds = {name: measure(facts, name, arguments.clips) for name in (exact if clip.codec else ["auto"])}
            slowest = [min(column) for column in zip(*speeds.values(), strict=True)]
            for name, (clips_per_s, frames_per_s, processor_ms) in speeds.items():
                table.add_row(
                    str(clip),
                    f"{probe_ms:.1f}",
                    name if clip.codec else "frames",
                    f"{clips_per_s:.1f}",
                    f"{clips_per_s / slowest[0]:.2f}",
                    f"{processor_ms:.1f}",
                    f"{frames_per_s:.0f}",
                    f"{frames_per_s / slowest[1]:.2f}",
                )
            table.add_section()
    Console().print(table)


if __name__ == "__main__":
    main()
