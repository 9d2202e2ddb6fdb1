"""Videos that are decoded once, from their first frame to their last, in chunks that fit into memory."""

from collections.abc import Callable

import numpy as np
from torch.utils.data import get_worker_info

from datamodules.errors import VideoReadError
from datamodules.killable import KillableProcess
from datamodules.reading import VideoFacts, open_video
from datamodules.reading.reader import VideoReader


class FrameQueue:
    """Frames of a video that are read in order, a chunk at a time, and kept as long as they are needed.

    Args:
        needed: int64 (F,), increasing: the frames that will be asked for.
        read: Reads frames by their indices, (n,), into an array (n, ...) that may be written over by the next call.
        chunk: Frames that are read at a time.
    """

    def __init__(self, needed: np.ndarray, read: Callable[[np.ndarray], np.ndarray], chunk: int) -> None:
        self.needed, self.read, self.chunk = needed, read, chunk
        self._held: list[np.ndarray] = []
        self._read = 0  # how many of the needed frames have been read

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Return frames, and forget those before them.

        Args:
            indices: int64 (n,), increasing, without a gap among the needed ones, and with none behind the last call's.

        Returns:
            (n, ...), a copy.

        Raises:
            VideoReadError: When a frame cannot be decoded.
        """
        first, last = np.searchsorted(self.needed, indices[[0, -1]]).tolist()
        del self._held[: first - (self._read - len(self._held))]
        while self._read <= last:
            chunk = self.needed[self._read : self._read + self.chunk]
            self._held.extend(self.read(chunk).copy())
            self._read += len(chunk)
        return np.stack(self._held[: last - first + 1])


class SequentialDecoder:
    """Decodes chunks of one video after the other; the video stays open from one chunk to the next.

    In a loader's worker it does so in a process that is killed when it is stuck; **without workers nothing can be
    killed, and the deadline does not hold**.

    Args:
        convert: What is done to the frames of a chunk where they are decoded: uint8 (n, H, W, 3) to uint8 (n, ...).
        backend: How videos are read: ``auto`` or the name of a backend.
        timeout_s: Seconds that a chunk may take; None for no deadline, and decoding in this process.
    """

    def __init__(self, convert: Callable[[np.ndarray], np.ndarray], backend: str, timeout_s: float | None) -> None:
        self.convert, self.backend = convert, backend
        self._open: VideoReader | None = None
        in_worker = timeout_s is not None and get_worker_info() is not None
        self._process = KillableProcess(self._decode, timeout_s) if in_worker else None

    def read(self, facts: VideoFacts, indices: np.ndarray, nbytes: int) -> np.ndarray:
        """Decode and convert frames.

        Args:
            facts: The video.
            indices: int64 (n,), increasing.
            nbytes: Size of the converted frames.

        Returns:
            uint8 (n, ...), which holds until the next call.

        Raises:
            VideoReadError: When the frames cannot be decoded, or not in time.
        """
        if self._process is None:
            return self._decode(facts, indices)
        return self._process.call(facts, indices, path=facts.path, nbytes=nbytes)

    def close(self) -> None:
        """Give the open video and the process back."""
        self._close_video()
        if self._process is not None:
            self._process.close()

    def _decode(self, facts: VideoFacts, indices: np.ndarray) -> np.ndarray:
        if self._open is None or self._open.path != facts.path:
            self._close_video()
            self._open = open_video(facts, self.backend)
        try:
            return self.convert(self._open.read(indices))
        except VideoReadError:
            self._close_video()
            raise

    def _close_video(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
