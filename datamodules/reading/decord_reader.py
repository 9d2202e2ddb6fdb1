"""Video files through decord (dmlc/decord), the fastest backend to open and read short clips."""

import re

import numpy as np

from datamodules.errors import MissingBackendError, VideoReadError
from datamodules.reading.facts import VideoFacts
from datamodules.reading.reader import FactsReader

try:
    import decord
except ImportError as error:
    remedy = "pip install decord (Linux x86-64, Windows, macOS on Intel), or use backend=pyav"
    raise MissingBackendError("decord", remedy) from error


class DecordReader(FactsReader):
    """Read frames with decord, which seeks by key frame and counts on from there.

    Exact wherever ``routing.route`` chooses it; wrong frames come back without an error elsewhere.

    Args:
        facts: What the probe found out about the file.

    Raises:
        VideoReadError: When decord refuses the file, or counts other frames than the probe.
    """

    def __init__(self, facts: VideoFacts) -> None:
        super().__init__(facts)
        try:
            # One thread: the loader's workers already take one core each.
            self._decoder = decord.VideoReader(str(facts.path), ctx=decord.cpu(0), num_threads=1)
        except (RuntimeError, decord.DECORDError) as error:
            raise VideoReadError(facts.path, f"decord cannot open it ({first_line(error)})") from error
        if len(self._decoder) != facts.frame_count:
            raise VideoReadError(
                facts.path,
                f"decord counts {len(self._decoder)} frames, the probe {facts.frame_count}; use backend=auto",
            )

    def decode(self, indices: np.ndarray) -> np.ndarray:
        try:
            return self._decoder.get_batch(indices.tolist()).asnumpy()
        except (RuntimeError, decord.DECORDError) as error:
            reason = f"decord cannot decode frames {indices[0]} to {indices[-1]} ({first_line(error)})"
            raise VideoReadError(self.path, reason) from error

    def close(self) -> None:
        # decord frees the file and the decoder with the last reference; it has no method for it.
        self._decoder = None


# [07:41:56] /github/workspace/src/video/video_reader.cc:151: Check failed: ...
ORIGIN = re.compile(r"^\[[\d:]+\] \S+:\d+: ")


def first_line(error: BaseException) -> str:
    """Message of an error of decord without its place in the C++ sources and the stack trace below it."""
    lines = str(error).strip().splitlines()
    return ORIGIN.sub("", lines[0]) if lines else type(error).__name__
