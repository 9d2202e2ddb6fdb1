"""Video files through PyAV (PyAV-Org/PyAV): exact on everything that FFmpeg decodes, and the judge of the others."""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import chain

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame

from datamodules.errors import VideoReadError
from datamodules.reading.containers import open_container, video_stream
from datamodules.reading.facts import VideoFacts
from datamodules.reading.reader import FactsReader

DEGREES_OF_QUARTER_TURN = 90


class PyAVReader(FactsReader):
    """Read frames by the name that the file's clock gives them, never by counting where there is a clock.

    Decoding starts at the last key frame that is shown at or before a wanted frame, and earlier where the decoder does
    not deliver that key frame itself (recovery points of a stream with intra refresh). So a frame that is stored after
    a key frame and shown before it is decoded with all that it refers to. A file without a clock is decoded from its
    beginning.

    Args:
        facts: What the probe found out about the file.

    Raises:
        VideoReadError: When the file cannot be opened.
    """

    def __init__(self, facts: VideoFacts) -> None:
        super().__init__(facts)
        self._places = {tick: index for index, tick in enumerate(facts.ticks)}
        self._starts = [index for index, _ in facts.keys]
        self._container: av.container.InputContainer | None = None
        self._open()

    def decode(self, indices: np.ndarray) -> np.ndarray:
        frames = np.empty((len(indices), self.height, self.width, 3), dtype=np.uint8)
        for place, index in enumerate(indices.tolist()):
            try:
                frame = self._find(index)
            except (av.FFmpegError, OSError) as error:
                self._stop()
                raise VideoReadError(self.path, f"frame {index} cannot be decoded ({error})") from error
            if index < self._sound_from:
                raise VideoReadError(self.path, f"frame {index} is damaged, or refers to one that is")
            pixels = np.rot90(frame.to_ndarray(format="rgb24"), -self.facts.rotation // DEGREES_OF_QUARTER_TURN)
            if pixels.shape != frames.shape[1:]:
                expected, found = (f"{width}x{height}" for height, width in (frames.shape[1:3], pixels.shape[:2]))
                raise VideoReadError(self.path, f"expected {expected} pixels as in frame 0, found {found} in {index}")
            frames[place] = pixels
        return frames

    def close(self) -> None:
        self._stop()
        if self._container is not None:
            self._container.close()  # what is left to the garbage collector leaks
            self._container = None

    def _open(self) -> None:
        self.close()
        try:
            self._container = open_container(self.path)
            self._stream = video_stream(self._container, self.path)
        except (av.FFmpegError, OSError) as error:
            raise VideoReadError(self.path, f"it cannot be opened ({error})") from error

    def _stop(self) -> None:
        """Forget the running decoder, so that the next frame is looked for from a key frame."""
        self._running: Iterator[tuple[int, VideoFrame]] = iter(())
        self._next = self.frame_count  # no frame before this one is still to come
        self._sound_from = 0  # frames before this one may show what is left of a damaged frame

    def _find(self, index: int) -> VideoFrame:
        """Decode on until frame ``index`` comes, from a key frame if it lies behind or a key frame lies between."""
        key = bisect_right(self._starts, index) - 1
        if index < self._next or self._next < self._starts[key]:
            self._start(key)
        for number, frame in self._running:
            self._next = number + 1
            if frame.is_corrupt:
                behind = bisect_right(self._starts, number)
                self._sound_from = self._starts[behind] if behind < len(self._starts) else self.frame_count
            if number == index:
                return frame
            if number > index:
                break
        raise VideoReadError(self.path, f"frame {index} of {self.frame_count} is in the container, but does not decode")

    def _start(self, key: int) -> None:
        """Start the decoder at key frame number ``key``, or the last one before it that comes out itself."""
        for earlier in range(key, -1, -1):
            running = self._decode_from(earlier)
            first = next(running, None)
            if first is not None and first[0] == self._starts[earlier]:
                self._running, self._next, self._sound_from = chain([first], running), first[0], 0
                return
        raise VideoReadError(self.path, f"no key frame at or before frame {self._starts[key]} can be decoded")

    def _decode_from(self, key: int) -> Iterator[tuple[int, VideoFrame]]:
        """Yield the frames from a key frame on with their indices; what is shown before it is broken and left out."""
        if self.facts.clock == "none":
            self._open()
            yield from enumerate(self._container.decode(self._stream))
            return
        packets = self._packets_from(key)
        self._stream.codec_context.flush_buffers()
        for packet in packets:
            packet.pts = self._tick(packet)  # the decoder hands it on to the frame
            for frame in self._stream.codec_context.decode(packet if packet.size else None):
                index = self._places.get(frame.pts) if self._places else self.facts.index_at(frame.pts)
                if index is not None and index >= self._starts[key]:
                    yield index, frame

    def _packets_from(self, key: int) -> Iterator[Packet]:
        """Find a key frame's packet, and return it with all that follow; none when the file no longer has it."""
        for aim in (key, max(key - 1, 0), None):  # containers seek by other clocks and may land behind the target
            if aim is None:
                self._open()
            else:
                self._container.seek(self.facts.keys[aim][1], stream=self._stream)
            packets = self._container.demux(self._stream)
            for packet in packets:
                if not packet.is_keyframe or self._tick(packet) is None:
                    continue
                if self._tick(packet) == self.facts.keys[key][1]:
                    return chain([packet], packets)
                if self._tick(packet) > self.facts.keys[key][1]:
                    break
        return iter(())

    def _tick(self, packet: Packet) -> int | None:
        return packet.dts if self.facts.clock == "dts" else packet.pts
