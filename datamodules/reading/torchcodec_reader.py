"""Video files through torchcodec (pytorch/torchcodec), which needs the FFmpeg libraries of the machine."""

import numpy as np

from datamodules.errors import MissingBackendError, VideoReadError
from datamodules.reading.facts import VideoFacts
from datamodules.reading.reader import FactsReader

try:
    from torchcodec.decoders import VideoDecoder
except (ImportError, OSError, RuntimeError) as error:  # the latter two: FFmpeg's libraries are missing or too old
    remedy = 'pip install -e ".[torchcodec]" and FFmpeg (Debian: apt-get install ffmpeg), or use backend=pyav'
    raise MissingBackendError("torchcodec", remedy) from error


class TorchCodecReader(FactsReader):
    """Read frames with torchcodec in its exact mode, which walks over the packets once on opening.

    Args:
        facts: What the probe found out about the file.

    Raises:
        VideoReadError: When torchcodec refuses the file, or counts other frames than the probe.
    """

    def __init__(self, facts: VideoFacts) -> None:
        super().__init__(facts)
        try:
            # One thread: the loader's workers already take one core each.
            self._decoder = VideoDecoder(
                str(facts.path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact"
            )
        except (RuntimeError, ValueError) as error:
            raise VideoReadError(facts.path, f"torchcodec cannot open it ({error})") from error
        if len(self._decoder) != facts.frame_count:
            found = f"torchcodec counts {len(self._decoder)} frames, the probe {facts.frame_count}"
            raise VideoReadError(facts.path, f"{found}; use backend=pyav")

    def decode(self, indices: np.ndarray) -> np.ndarray:
        try:
            return self._decoder.get_frames_at(indices=indices.tolist()).data.numpy()
        except (RuntimeError, ValueError, IndexError) as error:
            reason = f"torchcodec cannot decode frames {indices[0]} to {indices[-1]} ({error})"
            raise VideoReadError(self.path, reason) from error

    def close(self) -> None:
        self._decoder = None  # it has no method for it
