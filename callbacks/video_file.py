"""Short films that every browser plays."""

from collections.abc import Sequence
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
from numpy.typing import NDArray

CONSTANT_QUALITY = 20  # of x264, 0 (lossless) to 51; letters stay sharp


def mp4(frames: Sequence[NDArray[np.uint8]], fps: float) -> bytes:
    """Encode frames as H.264 in MP4.

    Args:
        frames: RGB, uint8 (H, W, 3) each; a last row or column that makes a side odd is left out.
        fps: Frames per second at which the film is played.

    Returns:
        The file. Its bytes may differ from one call to the next, in what nobody sees.
    """
    height, width = (side // 2 * 2 for side in frames[0].shape[:2])
    buffer = BytesIO()
    with av.open(buffer, "w", format="mp4", container_options={"fflags": "bitexact"}) as container:
        options = {"crf": str(CONSTANT_QUALITY), "flags": "+bitexact"}
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            pixels = np.ascontiguousarray(frame[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()
