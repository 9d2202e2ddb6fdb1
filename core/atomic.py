"""Files that are whole or not there, whenever a process is killed or the power goes."""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PARTIALS = ".saving-*.part"  # what a killed process may leave; named after no checkpoint, see core/checkpoint/sums.py
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP)  # of file systems that cannot sync a folder


def take_place(partial: Path, path: Path) -> None:
    """Give a complete file its final name, for good."""
    partial.replace(path)
    sync_folder(path.parent)


def replace_file(
    path: Path, write: Callable[[BinaryIO], object], move: Callable[[Path, Path], None] = take_place
) -> None:
    """Let ``write`` fill a file that then takes its place at ``path`` in one step.

    Args:
        path: The file; its folder must exist.
        write: Fills the open file.
        move: Moves the complete file, on the disk by then, from its first place to the second.

    Raises:
        OSError: As the system reports it; nothing is left of what was written.
    """
    with replacing(path, move) as file:
        write(file)


def write_file(path: Path, content: bytes) -> None:
    """Give a file this content in one step; see `replace_file`."""
    replace_file(path, lambda file: file.write(content))


def fill_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder that takes its place later, as a whole; they are on the disk when this returns."""
    for name, content in files.items():
        with (folder / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    sync_folder(folder)


@contextmanager
def replacing(path: Path, move: Callable[[Path, Path], None] = take_place) -> Iterator[BinaryIO]:
    """Open a file that takes its place at ``path`` in one step when it has been filled; see `replace_file`."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    partial = path.with_name(f".saving-{os.getpid()}{path.suffix}.part")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        move(partial, path)
    finally:
        unlink(partial)


def unlink(path: Path) -> None:
    """Remove a file if it is there; also where a part of its path is no folder."""
    try:
        path.unlink(missing_ok=True)
    except NotADirectoryError:
        return


def sync_folder(folder: Path) -> None:
    """See that names given in a folder outlive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)
