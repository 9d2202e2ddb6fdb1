"""The sound of a video on its way into a film."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

COPIED = ("aac", "ac3", "alac", "eac3", "mp3", "opus")  # codecs that players expect in MP4; all others become AAC
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)  # in Hz
USUAL_RATE = 48_000


class FilmSound:
    """Puts the sound of a video that players choose into a film: as it is where MP4 can hold it, else as AAC.

    What is heard with the first frame of the video is heard at 0; what lies before it is left out.

    Args:
        video: The video; from one without sound nothing comes.
        film: Open for writing, with nothing in it yet.
    """

    def __init__(self, video: Path, film: OutputContainer) -> None:
        self._film = film
        self._begin = first_picture(video)
        self._container = av.open(str(video))
        self._packets: Iterator[tuple[float, Packet]] = iter(())
        stream = self._container.streams.best("audio")
        if stream is not None:
            if stream.codec_context.codec.canonical_name in COPIED:
                self._packets = self._copied(stream, film.add_stream_from_template(stream))
            else:
                rate = stream.rate if stream.rate in AAC_RATES else USUAL_RATE
                layout = "mono" if stream.channels == 1 else "stereo"
                self._packets = self._encoded(stream, film.add_stream("aac", rate=rate, layout=layout))
        self._next: tuple[float, Packet] | None = None
        self._is_begun = False

    def play_until(self, seconds: float) -> None:
        """Put everything into the film that begins before a time."""
        if not self._is_begun:  # packets may go into the film once all its streams are known
            self._next, self._is_begun = next(self._packets, None), True
        while self._next is not None and self._next[0] < seconds:
            self._film.mux(self._next[1])
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Give the video back."""
        self._container.close()

    def _copied(self, stream: AudioStream, target: AudioStream) -> Iterator[tuple[float, Packet]]:
        shift = round(self._begin / stream.time_base)
        for packet in self._container.demux(stream):
            if packet.dts is None or packet.pts - shift + packet.duration < 0:  # the last one before 0 primes a decoder
                continue
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, target
            yield float(packet.pts * stream.time_base), packet

    def _encoded(self, stream: AudioStream, target: AudioStream) -> Iterator[tuple[float, Packet]]:
        for frame in self._container.decode(stream):
            begin = frame.pts * frame.time_base - self._begin
            if begin < 0:
                continue
            frame.pts = round(begin / frame.time_base)
            for packet in target.encode(frame):
                yield float(packet.pts * packet.time_base), packet
        for packet in target.encode():
            yield float(packet.pts * packet.time_base), packet


def first_picture(video: Path) -> Fraction:
    """When the first frame of a video is shown, in seconds of its container's clock."""
    with av.open(str(video)) as container:
        frame = next(container.decode(container.streams.best("video")))
        return Fraction(0) if frame.pts is None else frame.pts * frame.time_base
