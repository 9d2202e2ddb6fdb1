"""Libraries of numbered videos, and the ways in which files break."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from PIL import Image

from tests.datamodules import counters

VIDEOS, FRAMES = 10, 30
APART = 50  # the first frame of video k says k * APART
BROKEN = 3  # which video is broken
IMAGES = 8


def write_videos(root: Path) -> Path:
    """Ten videos ``v0`` to ``v9``, whose pixels say which video and which frame they are; every other one is avi."""
    root.mkdir(parents=True)
    for k in range(VIDEOS):
        suffix, codec, b_frames = ("mp4", "libx264", 2) if k % 2 else ("avi", "mpeg4", None)
        counters.encode(root / f"v{k}.{suffix}", codec, FRAMES, b_frames=b_frames, first=APART * k)
    return root


def write_folders(root: Path) -> Path:
    """Ten frame folders like the videos, of png and jpg files."""
    for k in range(VIDEOS):
        suffix = "png" if k % 2 else "jpg"
        names = {number: f"{number:03}.{suffix}" for number in range(APART * k, APART * k + IMAGES)}
        counters.write_frames(root / f"v{k}", names)
    return root


def no_bytes(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("this was a video once\n" * 100)


def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(20_000))


def cut(path: Path) -> None:
    """An mp4 file loses its index, which is at the end, an avi file its last frames; an image its lower half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damaged(path: Path) -> None:
    """The middle of the pixels is overwritten; index, header and size are as they were."""
    data = bytearray(path.read_bytes())
    if path.suffix == ".mp4":
        start = data.index(b"mdat") + 4
        end = data.index(b"moov") if data.index(b"moov") > start else len(data)
    else:
        start, end = len(data) // 5, len(data)
    middle = slice(start + (end - start) // 3, start + 2 * (end - start) // 3)
    data[middle] = b"\xff" * (middle.stop - middle.start)
    path.write_bytes(data)


def sound_only(path: Path) -> None:
    path.unlink()
    with av.open(str(path), "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def gone(path: Path) -> None:
    """A link whose target was deleted."""
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def headless(path: Path) -> None:
    """The first half of the file is lost."""
    path.write_bytes(path.read_bytes()[path.stat().st_size // 2 :])


def shorter(path: Path) -> None:
    """A sound video, but with fewer frames than its index says."""
    data = path.read_bytes()
    counters.encode(path, count=FRAMES // 2, b_frames=2 if path.suffix == ".mp4" else None, codec=codec_of(path))
    assert path.read_bytes() != data


def codec_of(path: Path) -> str:
    return "libx264" if path.suffix == ".mp4" else "mpeg4"


def pipe(path: Path) -> None:
    """Whoever opens it waits for ever."""
    path.unlink()
    os.mkfifo(path)


def other_size(path: Path) -> None:
    Image.new("RGB", (48, 32)).save(path)


def bad_header(path: Path) -> None:
    """The header of a png or jpg file says what it is, and nothing more that is true."""
    data = path.read_bytes()
    path.write_bytes(data[:10] + b"\x00" * 30 + data[40:])


BROKEN_VIDEOS: dict[str, Callable[[Path], None]] = {
    "no_bytes": no_bytes,
    "text": text,
    "noise": noise,
    "cut": cut,
    "damaged": damaged,
    "sound_only": sound_only,
    "gone": gone,
    "headless": headless,
}
BROKEN_IMAGES: dict[str, Callable[[Path], None]] = {
    "no_bytes": no_bytes,
    "text": text,
    "noise": noise,
    "cut": cut,
    "other_size": other_size,
    "bad_header": bad_header,
}


def copied(source: Path, to: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(source, to))
