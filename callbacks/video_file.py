"""Films that every browser plays."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from io import BytesIO
from itertools import chain
from math import inf
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from callbacks.film_sound import FilmSound

CONSTANT_QUALITY = 20  # of x264, 0 (lossless) to 51; letters stay sharp
CLOCK = Fraction(1, 90_000)  # seconds per tick: frames of all usual rates fall on whole ticks


def mp4(frames: Sequence[NDArray[np.uint8]], fps: float) -> bytes:
    """Encode a short film as H.264 in MP4.

    Args:
        frames: RGB, uint8 (H, W, 3) each; a last row or column that makes a side odd is left out.
        fps: Frames per second at which the film is played.

    Returns:
        The file. Its bytes may differ from one call to the next, in what nobody sees.
    """
    buffer = BytesIO()
    write_mp4(buffer, ((number / fps, frame) for number, frame in enumerate(frames)), fps)
    return buffer.getvalue()


def write_mp4(
    file: BinaryIO, frames: Iterable[tuple[float, NDArray[np.uint8]]], fps: float, sound: Path | None = None
) -> None:
    """Encode a film of any length as H.264 in MP4, a frame at a time.

    Args:
        file: Open for writing at any place.
        frames: At least one: its time in seconds, from 0 on and increasing, and its pixels as in `mp4`.
        fps: Mean frame rate in Hz, for those who ask the file; the times of the frames decide.
        sound: A video of which the film gets the sound (`FilmSound`); None for a silent film.
    """
    frames = iter(frames)
    first = next(frames)
    height, width = (side // 2 * 2 for side in first[1].shape[:2])
    with av.open(file, "w", format="mp4", container_options={"fflags": "bitexact"}) as container:
        options = {"crf": str(CONSTANT_QUALITY), "flags": "+bitexact"}
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = CLOCK
        heard = None if sound is None else FilmSound(sound, container)
        for seconds, pixels in chain([first], frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), format="rgb24")
            frame.pts, frame.time_base = round(seconds / CLOCK), CLOCK
            container.mux(stream.encode(frame))
            if heard is not None:
                heard.play_until(seconds)
        container.mux(stream.encode())
        if heard is not None:
            heard.play_until(inf)
            heard.close()
