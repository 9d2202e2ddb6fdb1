"""Whether a checkpoint file is whole: its sum beside it, and torch's own marks of damage.

Needs torch alone: what reads checkpoints need not wait for Lightning.
"""

import hashlib
import logging
import re
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

from core.errors import primary_process

_CHUNK = 1 << 20  # bytes that are read at a time
_LINE = re.compile(r"\\?([0-9a-f]{64}) [ *](.+)")  # of sha256sum, which begins lines with escaped names by a backslash

# How torch's safe loading tells of a class or function that it does not know, and of a stream that makes no sense.
_FOREIGN = re.compile(r"GLOBAL ([\w.]+)")
_TOLD = re.compile(r"WeightsUnpickler error: *(.+)")

log = logging.getLogger(__name__)


class CheckpointError(ValueError):
    """A file that is no checkpoint of this project, that is damaged, or that does not suit."""


class CheckpointNotFoundError(FileNotFoundError):
    """There is no checkpoint where one was named."""


def sum_file(path: Path) -> Path:
    """Where the sum of a checkpoint is kept.

    Lightning reads the number of a batch job's file out of every name that holds ``hpc_ckpt_``, so that the sum of one
    must be called otherwise.
    """
    return path.with_name(f"{path.name.replace('hpc_ckpt_', 'hpc-ckpt-')}.sha256")


def recorded_sums(path: Path) -> tuple[str, ...]:
    """Sums that the file may have: one, two while it is being replaced, none for a file of another program.

    Raises:
        CheckpointError: When there is a list of sums that cannot be read.
    """
    sums = sum_file(path)
    try:
        lines = [_LINE.fullmatch(line) for line in sums.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return ()
    except UnicodeDecodeError:
        lines = [None]
    if not lines or None in lines:
        raise CheckpointError(
            f"{sums}: is no list of sums as sha256sum writes it; delete it to use {path.name} unchecked"
        )
    return tuple(line[1] for line in lines if line is not None)


def verify(path: str | Path) -> None:
    """Compare a file with its sum, once per process and file; a run may be saving meanwhile.

    A file without a sum, written by an earlier version, is accepted with a warning when it opens and the checks of its
    archive hold.

    Raises:
        CheckpointNotFoundError: When there is no such file.
        CheckpointError: When the file is truncated or altered.
    """
    path = Path(path).absolute()
    while True:
        state = _state(path)
        try:
            return _verify(path, *state)
        except (CheckpointError, OSError):
            if _state(path) == state:
                raise


def _state(path: Path) -> tuple[int, int, int, tuple[str, ...]]:
    """What changes when a file is written anew."""
    if not path.is_file():
        raise CheckpointNotFoundError(f"{path}: no such checkpoint")
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, recorded_sums(path)


@cache
def _verify(path: Path, inode: int, size: int, modified: int, sums: tuple[str, ...]) -> None:
    if sums and digest_of(path) not in sums:
        raise CheckpointError(
            f"{path}: truncated or altered since it was written ({size:,} bytes): it does not have the sum that "
            f"{sum_file(path).name} records"
        )
    if not sums:
        open_safely(path)
        _check_archive(path)
        if primary_process():
            log.warning("warning: %s has no sum beside it; it opens, but cannot be checked further", path)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_CHUNK))
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest.update(buffer[:size])
    return digest.hexdigest()


def open_safely(path: Path, *, mmap: bool = True, map_location: Any = "cpu") -> Any:
    """Content of a torch file, without executing anything stored in it.

    Args:
        path: The file.
        mmap: Leave tensors on disk until they are used.
        map_location: Where tensors go, as for ``torch.load``.

    Raises:
        CheckpointError: When the file is damaged, or holds objects other than tensors and plain values.
    """
    try:
        mapped = mmap and zipfile.is_zipfile(path)
        return torch.load(path, map_location=map_location, weights_only=True, mmap=mapped)
    except Exception as error:  # a cut or altered file fails in whatever way its parser happens to
        reason = str(error)
        if foreign := _FOREIGN.search(reason):
            raise CheckpointError(
                f"{path}: holds objects other than tensors and plain values ({foreign[1]}), which are not "
                "loaded since they can run code"
            ) from error
        if told := _TOLD.search(reason):
            reason = told[1]
        raise _unreadable(path, re.split(r"\n|\. ", reason)[0].strip() or type(error).__name__) from error


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path}: cannot be read as a checkpoint ({path.stat().st_size:,} bytes; {reason})")


def _check_archive(path: Path) -> None:
    """Check the sums that torch's archive keeps of its parts."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, OSError) as error:
        raise _unreadable(path, str(error)) from error
    if broken:
        raise CheckpointError(f"{path}: altered since it was written: its part {broken} is damaged")
