"""A film with a face that wanders through the picture, and its sound; the face is that of scikit-image's astronaut."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

FPS, RATE = 25, 16_000
HEIGHT, WIDTH = 240, 320
FACE = (181.5, 58.2, 269.9, 177.8)  # of the astronaut, in pixels of the picture of 512 x 512


def astronaut() -> NDArray[np.uint8]:
    """(512, 512, 3), RGB; without a network."""
    from skimage.data import astronaut

    return astronaut()


def wandering(num_frames: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A window that wanders over the picture: frames (T, H, W, 3), and where the face is, (T, 4) in pixels."""
    picture, frames, boxes = astronaut(), [], []
    for number in range(num_frames):
        left = round(60 + 40 * np.sin(number / 12))
        top = round(20 + 15 * np.cos(number / 9))
        frames.append(picture[top : top + HEIGHT, left : left + WIDTH])
        boxes.append(np.array(FACE) - [left, top, left, top])
    return np.stack(frames), np.stack(boxes)


def write_film(path: Path, frames: NDArray[np.uint8], sound: bool = True) -> Path:
    """Encode a film, with a tone that comes and goes."""
    time = np.arange(round(len(frames) / FPS * RATE)) / RATE
    wave = 8000 * np.sin(600 * np.pi * time) * (np.sin(5 * np.pi * time) > 0)
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=FPS, options={"crf": "18"})
        pictures.width, pictures.height, pictures.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        heard = container.add_stream("aac", rate=RATE, layout="mono") if sound else None
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            container.mux(pictures.encode(picture))
        container.mux(pictures.encode())
        if heard is not None:
            samples = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = RATE, 0, Fraction(1, RATE)
            container.mux(heard.encode(samples))
            container.mux(heard.encode())
    return path
