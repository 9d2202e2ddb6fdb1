"""One look at a video: everything that sampling and choosing a backend need to know."""

from pathlib import Path

from datamodules.errors import VideoReadError
from datamodules.reading.containers import probe_container
from datamodules.reading.facts import VideoFacts
from datamodules.reading.frame_folder import probe_frame_folder

__all__ = ["VideoFacts", "probe"]


def probe(path: Path, fps_of_frames: float = 25.0) -> VideoFacts:
    """Describe a video file or frame folder without decoding it.

    Args:
        path: The file or folder.
        fps_of_frames: Frame rate in Hz of frame folders, which do not tell theirs.

    Raises:
        VideoReadError: When it does not exist, is no video, or has no frames.
    """
    path = Path(path)
    if path.is_dir():
        return probe_frame_folder(path, fps_of_frames)
    if not path.exists():
        raise VideoReadError(path, "no such file or folder")
    if not path.is_file():  # opening a pipe waits for a writer, perhaps for ever
        raise VideoReadError(path, "neither a file nor a folder, but a pipe, a socket or a device")
    return probe_container(path)
