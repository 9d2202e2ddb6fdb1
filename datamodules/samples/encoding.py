"""Write frames the way data sets ship them: video files that every decoder reads exactly, JPEG folders, JSON."""

import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Frame = NDArray[np.uint8]
"""A picture (H, W, 3), RGB."""

# A constant quantiser instead of a bit rate: what a frame looks like then depends on the frames alone.
MPEG4_QUANTISER = 3  # of 1 (best) to 31; here blocks and ringing just begin to show, as they do in surveillance video
JPEG_QUALITY = 75


def write_video(file: Path | BinaryIO, frames: Iterable[Frame], fps: int) -> None:
    """Encode frames as MPEG-4 Part 2 in AVI; height and width must be even.

    A key frame every second and no prediction from later frames: decord, PyAV and torchcodec return exactly the frame
    asked for at random access.
    """
    options = {
        "qmin": str(MPEG4_QUANTISER),
        "qmax": str(MPEG4_QUANTISER),
        "g": str(fps),
        "bf": "0",
        "flags": "+bitexact",
    }
    target = str(file) if isinstance(file, Path) else file
    with av.open(target, "w", format="avi", container_options={"fflags": "bitexact"}) as container:
        stream = container.add_stream("mpeg4", rate=fps, options=options)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # the bytes would depend on the number of threads
        for number, frame in enumerate(frames):
            if number == 0:
                stream.height, stream.width = frame.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def through_codec(frames: Iterable[Frame], fps: int) -> Iterator[Frame]:
    """Frames as they come out of a file made by `write_video`."""
    buffer = io.BytesIO()
    write_video(buffer, frames, fps)
    buffer.seek(0)
    with av.open(buffer) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def write_jpeg(path: Path, frame: Frame) -> None:
    """Write a frame as JPEG."""
    Image.fromarray(frame).save(path, quality=JPEG_QUALITY)


def write_json(path: Path, value: object) -> None:
    """Write plain values as compact JSON."""
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n", encoding="utf-8")
