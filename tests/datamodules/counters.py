"""Videos whose frames say which one they are: a binary counter in big blocks, readable after compression."""

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

BITS = 10
BLOCK = 16
WIDTH, HEIGHT = BITS * BLOCK, 6 * BLOCK
CERTAIN = 64  # distance from mid-grey that a block keeps after compression; a mixture of two frames does not

UNREADABLE = -1

ROTATIONS = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
FIXED_POINT_ONE = 1 << 16


def frame(number: int) -> np.ndarray:
    """Draw frame ``number``: its bits in the top row of blocks, their complement below, a drifting texture under both.

    Returns:
        uint8 (HEIGHT, WIDTH, 3), RGB.
    """
    bits = (number >> np.arange(BITS)) & 1
    code = np.stack([bits, 1 - bits]).repeat(BLOCK, 0).repeat(BLOCK, 1) * 255
    y, x = np.mgrid[2 * BLOCK : HEIGHT, :WIDTH]
    texture = 128 + 60 * np.sin((x + 3 * number) / 9) + 50 * np.cos((y - 2 * number) / 7)
    grey = np.concatenate([code, texture]).astype(np.uint8)
    return np.stack([grey, grey, grey], axis=-1)


def number_of(pixels: np.ndarray) -> int:
    """Read the number back from uint8 (HEIGHT, WIDTH, 3); ``UNREADABLE`` when blocks are grey or disagree."""
    blocks = pixels[: 2 * BLOCK, :, 1].reshape(2, BLOCK, -1, BLOCK).astype(np.float64)
    middle = slice(BLOCK // 4, -BLOCK // 4)
    level = blocks[:, middle, :, middle].mean((1, 3)) - 127.5
    bits = level > 0
    if (np.abs(level) < CERTAIN).any() or (bits[0] == bits[1]).any():
        return UNREADABLE
    return int((bits[0] << np.arange(BITS)).sum())


def numbers_of(video: np.ndarray) -> list[int]:
    """Read the numbers of all frames of uint8 (T, HEIGHT, WIDTH, 3)."""
    return [number_of(pixels) for pixels in video]


def encode(
    path: Path,
    codec: str = "libx264",
    count: int = 60,
    gop: int = 12,
    b_frames: int | None = 2,
    options: dict[str, str] | None = None,
    ticks: Sequence[int] | None = None,
    ticks_per_s: int = 1000,
    quarter_turns: int = 0,
    fps: int = 25,
    first: int = 0,
) -> Path:
    """Encode ``count`` numbered frames.

    Args:
        path: The file; its suffix names the container.
        codec: FFmpeg's name of the encoder.
        count: Number of frames.
        gop: Largest distance of key frames.
        b_frames: Largest number of B frames in a row; None where the codec has no such thing.
        options: Private options of the encoder.
        ticks: Presentation times; None for a constant rate.
        ticks_per_s: Clock of the presentation times.
        quarter_turns: Turns of the stored picture against the clock, which a rotation tag takes back.
        fps: Frame rate in Hz.
        first: Number of the first frame.
    """
    height, width = (HEIGHT, WIDTH) if quarter_turns % 2 == 0 else (WIDTH, HEIGHT)
    with usual_priority(), av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = gop
        if b_frames is not None:
            stream.codec_context.max_b_frames = b_frames
        if ticks is not None:
            stream.codec_context.time_base = Fraction(1, ticks_per_s)
        for number in range(count):
            picture = av.VideoFrame.from_ndarray(np.rot90(frame(first + number), quarter_turns).copy(), format="rgb24")
            if ticks is not None:
                picture.pts, picture.time_base = ticks[number], Fraction(1, ticks_per_s)
            else:
                picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


@contextmanager
def usual_priority() -> Iterator[None]:
    """Give this process its priority back, whatever an encoder does to it.

    SVT-AV1, when root runs it, makes the process a real-time one, with all that it starts from then on: a test of a
    decoder that hangs then leaves no processor to the one that is to end it.
    """
    if not hasattr(os, "sched_getscheduler"):  # not Linux
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def tag_rotation(path: Path, degrees: int) -> Path:
    """Write a clockwise display rotation into the track header of an mp4 file, as phones do."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40  # version 0: 40 bytes of times, layer and volume come before the matrix
    a, b, c, d = (value * FIXED_POINT_ONE for value in ROTATIONS[degrees])
    struct.pack_into(">9i", data, matrix, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def cut_by_edit_list(path: Path, first: int, count: int, fps: int = 25) -> Path:
    """Present only ``count`` frames from frame ``first`` on, by the edit list of an mp4 file that has one."""
    data = bytearray(path.read_bytes())
    scale_of_movie = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)[0]
    scale_of_media = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)[0]
    entry = data.index(b"elst") + 12
    start = struct.unpack_from(">i", data, entry + 4)[0]
    struct.pack_into(">Ii", data, entry, count * scale_of_movie // fps, start + first * scale_of_media // fps)
    path.write_bytes(data)
    return path


def write_frames(folder: Path, names: dict[int, str]) -> Path:
    """Write frame ``number`` under each name, as PNG or JPEG by its suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in names.items():
        Image.fromarray(frame(number)).save(folder / name)
    return folder
