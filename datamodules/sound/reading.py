"""Sound by time: whatever a file holds becomes one channel at 16 kHz, as long as was asked for to the sample.

Times are those of the video: 0 is when its first frame is shown, or when the sound begins in a file without video.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.stream import Disposition

from datamodules.errors import SoundReadError
from datamodules.reading.containers import open_container

SAMPLE_RATE = 16_000  # Hz, of everything that is read
PRE_ROLL_S = 0.5  # as far back as what a decoder gives may depend on what it has decoded before
FILTER_REACH_S = 0.05  # as far to both sides as what a resampler gives may depend on
JITTER_S = 0.02  # containers round times; what is further off is a gap in the sound

Missing = Literal["error", "silence"]


@dataclass(frozen=True)
class SoundFacts:
    """What one look at the sound of a file tells, enough to read any part of it.

    Attributes:
        path: The file.
        rate: Samples per second as stored, in Hz; 0 when the file has no sound.
        channels: Number of channels as stored.
        codec: FFmpeg's name of the codec.
        origin: Time 0 on the clock of the file, in seconds.
        start_s: When the sound begins.
        end_s: When it ends.
        exact_clock: Whether the file names each sample, so that decoding may begin anywhere.
    """

    path: Path
    rate: int = 0
    channels: int = 0
    codec: str = ""
    origin: Fraction = Fraction(0)
    start_s: float = 0.0
    end_s: float = 0.0
    exact_clock: bool = False

    @property
    def present(self) -> bool:
        """Whether there is any sound."""
        return self.rate > 0

    @property
    def num_samples(self) -> int:
        """Number of samples at 16 kHz from time 0 to the end of the sound."""
        return max(0, round(self.end_s * SAMPLE_RATE))


def probe_sound(path: str | Path, *, missing: Missing = "error", origin: Fraction | None = None) -> SoundFacts:
    """Look at the sound of a file, without decoding it.

    Args:
        path: Any container of sound, alone or with video; the stream that players choose.
        missing: What to do about a file without sound. ``error``: raise. ``silence``: read zeros. A file that does not
            exist or cannot be read is always an error.
        origin: Time 0 on the clock of the file, in seconds, for a caller who knows when the first frame is shown.

    Raises:
        FileNotFoundError: When there is no such file.
        SoundReadError: When it cannot be read, or holds no sound and ``missing`` is ``error``.
        ValueError: When there is no such policy.
    """
    path = Path(path)
    if missing not in ("error", "silence"):
        raise ValueError(f"missing: expected error or silence, found {missing!r}")
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: expected a file with sound, found {'a folder' if path.is_dir() else 'nothing'}"
        )
    try:
        with open_container(path) as container:
            origin = _first_frame_at(container) if origin is None else origin
            stream = container.streams.best("audio")
            packets = [] if stream is None else [packet for packet in container.demux(stream) if packet.size]
            if packets:
                return _described(path, stream, packets, origin)
            kinds = sorted({each.type for each in container.streams}) or ["nothing"]
    except (av.FFmpegError, OSError, ValueError) as error:
        raise SoundReadError(path, f"its sound cannot be read ({_message(error)})") from error
    if missing == "silence":
        return SoundFacts(path)
    found = ", ".join(kinds) + (" only" if stream is None else " without content")
    raise SoundReadError(path, f"expected sound, found {found}; leave the file out or let silence take its place")


def read_sound(facts: SoundFacts, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Read the sound between two samples.

    Any part is what it would be in the whole, but for noise that some decoders make up.

    Args:
        facts: What ``probe_sound`` has found.
        start: First sample at 16 kHz, counted from time 0; may be negative.
        stop: Sample behind the last one; None for the end of the sound.

    Returns:
        (stop - start,) float32 in [-1, 1], the mean of all channels; 0 where there is no sound.

    Raises:
        SoundReadError: When the file cannot be decoded there.
        ValueError: When ``stop`` is before ``start``.
    """
    stop = max(start, facts.num_samples) if stop is None else stop
    if stop < start:
        raise ValueError(f"{facts.path}: expected a range of samples, found {start} to {stop}")
    if not facts.present or stop == start:
        return np.zeros(stop - start, dtype=np.float32)
    # The resampler's phase repeats every so many samples on both sides; parts begin where the whole has phase 0.
    phase = Fraction(facts.rate, SAMPLE_RATE)
    reach = ceil(FILTER_REACH_S * facts.rate)
    first = floor((start * phase - reach) / phase.numerator) * phase.numerator
    last = ceil(stop * phase) + reach
    try:
        stored = _stored(facts, first, last)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise SoundReadError(facts.path, f"its sound cannot be decoded ({_message(error)})") from error
    skipped = start - first // phase.numerator * phase.denominator
    return _resampled(stored, facts.rate)[skipped : skipped + stop - start]


def sample_range(first_frame: int, stop_frame: int, fps: float | Fraction) -> tuple[int, int]:
    """First sample of some frames of a video, and the one behind their last: neighbours share a boundary."""
    rate = Fraction(fps).limit_denominator(1001)  # 30000/1001 Hz and the like
    return tuple(floor(frame * SAMPLE_RATE / rate + Fraction(1, 2)) for frame in (first_frame, stop_frame))


def audio_defect(facts: SoundFacts, video_s: float, fps: float) -> str | None:
    """Say how the sound of a video fails to cover it by more than a frame; None when it does not.

    Args:
        facts: What ``probe_sound`` has found.
        video_s: From the first frame of the video to the end of its last one, in seconds.
        fps: Its frame rate in Hz.
    """
    if not facts.present:
        return "it has no sound: silence takes its place"
    defects = []
    if facts.start_s > 1 / fps:
        defects.append(f"its sound begins {facts.start_s:.3f} s after its first frame: silence before")
    if (short_s := video_s - facts.end_s) > 1 / fps:
        defects.append(f"its sound ends {short_s:.3f} s before its last frame: silence behind")
    elif -short_s > 1 / fps:
        defects.append(f"its sound ends {-short_s:.3f} s after its last frame: left out")
    return "; ".join(defects) or None


def _first_frame_at(container: av.container.InputContainer) -> Fraction | None:
    """When the first frame of the video is shown, on the clock of the file; None without video."""
    stream = container.streams.best("video")
    if stream is None or Disposition.attached_pic in stream.disposition or stream.start_time is None:
        return None
    return stream.start_time * stream.time_base


def _described(path: Path, stream: AudioStream, packets: list[av.Packet], origin: Fraction | None) -> SoundFacts:
    rate = stream.codec_context.sample_rate
    start = (stream.start_time or 0) * stream.time_base  # packets before it prime the decoder
    end = max((packet.pts or 0) + (packet.duration or 0) for packet in packets) * stream.time_base
    origin = start if origin is None else origin
    return SoundFacts(
        path,
        rate,
        stream.codec_context.layout.nb_channels,
        stream.codec.canonical_name,
        origin,
        float(start - origin),
        float(end - origin),
        stream.time_base == Fraction(1, rate),
    )


def _stored(facts: SoundFacts, first: int, last: int) -> np.ndarray:
    """Samples ``first`` to ``last`` at the stored rate, counted from time 0, float32; 0 where there are none."""
    sound = np.zeros(last - first, dtype=np.float32)
    for place, samples in _decoded(facts, first):
        if place >= last:
            break
        begin, end = max(place, first), min(place + len(samples), last)
        if begin < end:
            sound[begin - first : end - first] = samples[begin - place : end - place]
    return sound


def _decoded(facts: SoundFacts, first: int) -> Iterator[tuple[int, np.ndarray]]:
    """Decode from some way before sample ``first`` on: the place of each piece of sound, and its samples."""
    with open_container(facts.path) as container:
        stream = container.streams.best("audio")
        stream.codec_context.thread_count = 1  # the loader's workers already take one core each
        target = floor((Fraction(first, facts.rate) + facts.origin - Fraction(PRE_ROLL_S)) / stream.time_base)
        if facts.exact_clock and target > (stream.start_time or 0):
            container.seek(target, stream=stream)
        one_channel = AudioResampler(format="fltp")
        expected = None
        for frame in container.decode(stream):
            place = _place(facts, frame, expected)
            for piece in one_channel.resample(frame):
                samples = piece.to_ndarray().mean(0)
                yield place, samples
                place += len(samples)
            expected = place


def _place(facts: SoundFacts, frame: AudioFrame, expected: int | None) -> int:
    """Number of the first sample of a frame; where the one before has ended, unless the clock is far from there."""
    if frame.pts is None:
        return expected or 0
    place = round((frame.pts * frame.time_base - facts.origin) * facts.rate)
    return place if expected is None or abs(place - expected) > JITTER_S * facts.rate else expected


def _resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    """Bring one channel to 16 kHz; sample 0 stays where it is."""
    if rate == SAMPLE_RATE:
        return samples
    frame = AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
    frame.sample_rate = rate
    resampler = AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
    pieces = [piece.to_ndarray()[0] for part in (frame, None) for piece in resampler.resample(part)]
    return np.concatenate(pieces)


def _message(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)  # FFmpeg's errors repeat the path in their full text
