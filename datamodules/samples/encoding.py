"""Write frames the way data sets ship them: video files that every decoder reads exactly, JPEG folders, JSON."""

import io
import json
import wave
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Frame = NDArray[np.uint8]
"""A picture (H, W, 3), RGB."""

Sound = NDArray[np.float32]
"""Samples (N,) in [-1, 1]."""

# A constant quantiser instead of a bit rate: what a frame looks like then depends on the frames alone.
MPEG4_QUANTISER = 3  # of 1 (best) to 31; here blocks and ringing just begin to show, as they do in surveillance video
JPEG_QUALITY = 75
H264_CRF = 22  # constant quality, 0 (lossless) to 51
AAC_BIT_RATE, AAC_FRAME = 64000, 1024  # bits a second; samples that the encoder takes at a time


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


def write_movie(path: Path, frames: Iterable[Frame], fps: int, sound: Sound, sample_rate: int) -> None:
    """Encode frames as H.264 and ``sound`` as AAC in MP4; height and width must be even."""
    options = {"preset": "superfast", "crf": str(H264_CRF), "g": str(fps), "bf": "0", "x264-params": "threads=1"}
    with av.open(str(path), "w", format="mp4", container_options={"fflags": "bitexact"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={**options, "flags": "+bitexact"})
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # the bytes would depend on the number of threads
        speech = container.add_stream("aac", rate=sample_rate, layout="mono", options={"flags": "+bitexact"})
        speech.bit_rate = AAC_BIT_RATE
        for number, frame in enumerate(frames):
            if number == 0:
                stream.height, stream.width = frame.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
        for begin in range(0, len(sound), AAC_FRAME):
            block = av.AudioFrame.from_ndarray(sound[None, begin : begin + AAC_FRAME], format="fltp", layout="mono")
            block.sample_rate, block.pts = sample_rate, begin
            container.mux(speech.encode(block))
        container.mux(speech.encode())


def write_wave(path: Path, sound: Sound, sample_rate: int) -> None:
    """Write ``sound`` as 16-bit mono WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(np.round(32767 * sound).astype("<i2").tobytes())


def write_jpeg(path: Path, frame: Frame) -> None:
    """Write a frame as JPEG."""
    Image.fromarray(frame).save(path, quality=JPEG_QUALITY)


def write_json(path: Path, value: object) -> None:
    """Write plain values as compact JSON."""
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n", encoding="utf-8")
