"""What can go wrong with data: each error names what is missing or broken, and how to go on.

All of them survive pickling, because they are mostly raised in a loader's worker process.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path


class PathNotFoundError(FileNotFoundError):
    """A file or folder that was asked for does not exist; the message names the one that may have been meant.

    Args:
        key: The setting that names it, such as ``datamodule.root``.
        path: The file or folder.
        advice: What should be there, or how to go on. Without it, ``key`` is the whole message, as it is again when an
            error comes back from a loader's worker.
    """

    def __init__(self, key: str, path: str | Path = "", advice: str | None = None) -> None:
        near = None if advice is None else nearest_path(Path(path))
        meant = f"; did you mean {near}?\n" if near else "\n"
        super().__init__(key if advice is None else f"{key}: {path} does not exist{meant}{advice}")

    def __reduce__(self) -> tuple:
        return type(self), (str(self),)


def nearest_path(path: Path) -> Path | None:
    """The path that exists and differs from a missing one in one similar name; as much of it as there is."""
    missing = path
    while not missing.parent.is_dir():
        missing = missing.parent
    try:
        names = sorted(entry.name for entry in missing.parent.iterdir())
    except PermissionError:  # what may not be listed cannot be suggested
        return None
    for name in get_close_matches(missing.name, names, n=1):
        near = missing.with_name(name)
        whole = near / path.relative_to(missing)
        return whole if whole.exists() else near
    return None


class DatasetNotFoundError(FileNotFoundError):
    """A dataset is not, or not completely, in the folder it was asked for in.

    Args:
        dataset: Name of the dataset as its authors write it.
        root: The folder that was searched, as the user gave it.
        missing: Files and folders that are lacking, relative to ``root``.
        page: Where the data can be had.
    """

    def __init__(self, dataset: str, root: str | Path, missing: Sequence[str], page: str) -> None:
        super().__init__(
            f"{dataset}: datamodule.root={root} lacks {', '.join(missing)}.\n"
            f"Get the data from {page} (manual download, licence there), then set paths.data or datamodule.root."
        )
        self.dataset, self.root, self.missing, self.page = dataset, Path(root), tuple(missing), page

    def __reduce__(self) -> tuple:
        return type(self), (self.dataset, self.root, self.missing, self.page)


class VideoReadError(RuntimeError):
    """A video file or frame folder cannot be read, or not as it was described when it was indexed.

    Args:
        path: The file or folder.
        reason: What was found, and what was expected. Without it, ``path`` is the whole message: torch re-raises what
            happened in a loader's worker as ``type(error)(text)``, where the text holds both.
    """

    def __init__(self, path: str | Path, reason: str | None = None) -> None:
        super().__init__(str(path) if reason is None else f"{path}: {reason}")
        self.path = None if reason is None else Path(path)
        self.reason = str(path) if reason is None else reason

    def __reduce__(self) -> tuple:
        return type(self), (self.reason,) if self.path is None else (self.path, self.reason)


class TruncatedVideoError(VideoReadError):
    """A video file or an image ends before its end."""


class SoundReadError(VideoReadError):
    """The sound of a file cannot be read, or there is none where there should be."""


class AmbiguousFramesError(VideoReadError):
    """Two images of a frame folder have the same number."""


class BadDataError(RuntimeError):
    """More of the training data cannot be read than may be left out."""


class DataFileError(ValueError):
    """A file beside the videos (labels, regions) does not hold what it should.

    Args:
        path: The file.
        reason: What was found, and what was expected.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = Path(path), reason

    def __reduce__(self) -> tuple:
        return type(self), (self.path, self.reason)


class LabelFileError(DataFileError):
    """A file of frame labels does not fit its video."""


class LabelLengthError(LabelFileError):
    """A file of frame labels has another number of labels than its video has frames."""


class MissingBackendError(ImportError):
    """A reading backend was asked for, or is needed for a file, and cannot be imported.

    Args:
        backend: Name of the backend.
        remedy: How to get it, or what to use instead. Without it, ``backend`` is the whole message, as above.
    """

    def __init__(self, backend: str, remedy: str | None = None) -> None:
        super().__init__(backend if remedy is None else f"the reading backend {backend!r} cannot be imported: {remedy}")
        self.backend = None if remedy is None else backend
        self.remedy = backend if remedy is None else remedy

    def __reduce__(self) -> tuple:
        return type(self), (self.remedy,) if self.backend is None else (self.backend, self.remedy)
