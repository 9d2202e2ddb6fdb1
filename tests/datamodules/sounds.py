"""Recordings of a known signal in many containers, rates, formats and channels."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

TONES = (220.0, 523.0, 1333.0, 2900.0)  # Hz; below the limit of 8 kHz, and of sound stored at that rate


def signal(seconds: np.ndarray) -> np.ndarray:
    """Tones whose loudness changes, so that no part is like another; float64 in [-1, 1]."""
    slow = 0.5 + 0.4 * np.sin(2 * np.pi * 1.7 * seconds + 0.3 * seconds**2)
    return 0.2 * slow * sum(np.sin(2 * np.pi * tone * seconds + 0.1 * tone) for tone in TONES)


def at(rate: int, duration_s: float) -> np.ndarray:
    return signal(np.arange(round(duration_s * rate)) / rate)


def write_sound(
    path: Path,
    samples: np.ndarray,
    rate: int,
    codec: str = "pcm_s16le",
    channels: int = 1,
    *,
    start_s: float = 0.0,
    video_s: float = 0.0,
    fps: int = 25,
    more: dict[int, np.ndarray] | None = None,
) -> None:
    """Encode sound that begins at ``start_s``, beside grey video that begins at 0, or at ``-start_s`` if that is later.

    The second channel of two is silent, so that the mean of both is half as loud. ``more`` is sound that begins later,
    by the number of its first sample.
    """
    layout = {1: "mono", 2: "stereo"}[channels]
    container = av.open(str(path), "w")
    video = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast"}) if video_s else None
    stream = container.add_stream(codec, rate=rate, layout=layout) if len(samples) else None
    if video:
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        for number in range(round(video_s * fps)):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number % 256, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number + round(max(0, -start_s) * fps), Fraction(1, fps)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    if stream:
        stored_as = stream.codec_context.format.name
        resampler = av.AudioResampler(format=stored_as, layout=layout, rate=rate)
        size = stream.codec_context.frame_size or 1024
        for begin, piece in {round(max(0, start_s) * rate): samples, **(more or {})}.items():
            planes = np.concatenate((piece[None], np.zeros((channels - 1, len(piece))))).astype(np.float32)
            for first in range(0, len(piece), size):
                frame = av.AudioFrame.from_ndarray(planes[:, first : first + size].copy(), format="fltp", layout=layout)
                frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), begin + first
                for part in resampler.resample(frame):
                    container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    container.close()
