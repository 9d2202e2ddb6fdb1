"""Open a video with the backend that is exact on it."""

from datamodules.reading.facts import VideoFacts
from datamodules.reading.frame_folder import FrameFolderReader
from datamodules.reading.reader import VideoReader
from datamodules.reading.routing import choose_backend


def open_video(facts: VideoFacts, backend: str = "auto") -> VideoReader:
    """Open a video that has been probed.

    Args:
        facts: What the probe found out about it.
        backend: ``auto`` for the fastest backend that is exact on this video, or the name of one.

    Raises:
        MissingBackendError: When the backend is not installed.
        VideoReadError: When the video cannot be opened, or is not what it was when it was probed.
        ValueError: When there is no backend of this name.
    """
    chosen = choose_backend(facts, backend)
    if chosen == "frames":
        return FrameFolderReader(facts)
    # The decoders are imported when they are used: each loads its own copy of FFmpeg, and one of them may be absent.
    if chosen == "decord":
        from datamodules.reading.decord_reader import DecordReader

        return DecordReader(facts)
    if chosen == "torchcodec":
        from datamodules.reading.torchcodec_reader import TorchCodecReader

        return TorchCodecReader(facts)
    from datamodules.reading.pyav_reader import PyAVReader

    return PyAVReader(facts)
