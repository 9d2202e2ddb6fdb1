"""Write frames the way data sets ship them: video files that every decoder reads exactly, JPEG folders, JSON."""

import json
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
from PIL import Image

# A constant quantiser instead of a bit rate: quality and bytes then depend on the frames alone.
MPEG4_QUALITY = 4  # of 1 (best) to 31
JPEG_QUALITY = 80


def write_video(path: Path, frames: Iterable[np.ndarray], fps: int) -> None:
    """Encode frames (H, W, 3) uint8 as MPEG-4 Part 2 in AVI.

    A key frame every second and no frames predicted from the future: decord, PyAV and torchcodec return exactly
    the frame asked for at random access. Height and width must be even.
    """
    options = {"qmin": str(MPEG4_QUALITY), "qmax": str(MPEG4_QUALITY), "g": str(fps), "bf": "0", "flags": "+bitexact"}
    with av.open(str(path), "w", format="avi", container_options={"fflags": "bitexact"}) as container:
        stream = container.add_stream("mpeg4", rate=fps, options=options)
        stream.pix_fmt, stream.thread_count = "yuv420p", 1  # the bytes would depend on the number of threads
        for number, frame in enumerate(frames):
            if number == 0:
                stream.height, stream.width = frame.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write_jpeg(path: Path, frame: np.ndarray) -> None:
    """Write a frame (H, W, 3) uint8 as JPEG."""
    Image.fromarray(frame).save(path, quality=JPEG_QUALITY)


def write_json(path: Path, value: object) -> None:
    """Write plain values as compact JSON."""
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n", encoding="utf-8")
