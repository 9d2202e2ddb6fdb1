"""Checkpoint files that are whole or not there: how they are written, checked and removed.

Beside ``last.ckpt`` lies ``last.ckpt.sha256``, which ``sha256sum -c`` reads. Two files cannot be replaced at once, so
the sums of the old and of the new file are both written down before the one takes the other's place, and the old one
is struck out afterwards. A process that is killed at any moment leaves a file that one of its recorded sums fits; the
next run strikes out the other (until then ``sha256sum -c`` reports one match and one failure).

Needs torch alone: what reads checkpoints need not wait for Lightning.
"""

import errno
import hashlib
import os
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from core.atomic import PARTIALS, replace_file, sync_folder, unlink, write_file
from core.checkpoint.sums import CheckpointError, digest_of, recorded_sums, sum_file

_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.Tensor, torch.nn.Parameter)
_PLAIN_TORCH = (torch.Size, torch.dtype, torch.device)
_PROBE_SIZE = 1 << 20  # bytes
_ADVICE = """
  Nothing half-written is left, earlier files are untouched. Once there is a place to write to, continue with
  ckpt_path=last, or begin elsewhere with paths.logs=FOLDER"""


class SaveError(OSError):
    """A file of a run could not be written; the message names it and the bytes that it needs."""

    def __str__(self) -> str:
        return str(self.args[1])  # without the number of the error, which is in ``errno``


def write_checkpoint(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Write a checkpoint and its sum, so that a kill at any moment leaves the old file or the new one, whole.

    Args:
        checkpoint: Tensors and plain values.
        path: Where to; the folder must exist.

    Raises:
        CheckpointError: When the checkpoint holds anything that could not be loaded safely; nothing is written.
        SaveError: When the file cannot be written; the earlier file of this name is untouched and nothing else is left.
    """
    path = Path(path)
    _refuse_objects(checkpoint, path)
    summing = _Summing()
    try:
        replace_file(
            path,
            lambda file: summing.save(checkpoint, file),
            lambda partial, path: _take_place(partial, path, summing.digest()),
        )
    except OSError as error:
        count = _Size()
        torch.save(checkpoint, count)
        raise save_error(path, error, f"{count.size:,}") from error


def _take_place(partial: Path, path: Path, digest: str) -> None:
    """Move a complete file to its final name; at every moment one of the recorded sums fits the file there."""
    earlier = path.exists()
    try:
        recorded = recorded_sums(path) if earlier else ()
    except CheckpointError:  # what stands there is lost already
        recorded = ("0" * len(digest),)
    before = recorded or ((digest_of(path),) if earlier else ())
    _write_sums(path, (digest, *before))
    try:
        partial.replace(path)
    except OSError:
        _write_sums(path, recorded)
        raise
    sync_folder(path.parent)
    if before:
        _write_sums(path, (digest,))


def _strike_out(path: Path) -> None:
    """Leave of several recorded sums the one that fits; none fits a file that was damaged, and then all stay."""
    try:
        recorded = recorded_sums(path)
    except CheckpointError:  # told to whoever reads the file
        return
    if len(recorded) > 1 and (digest := digest_of(path)) in recorded:
        _write_sums(path, (digest,))


def _write_sums(path: Path, digests: tuple[str, ...]) -> None:
    sums = sum_file(path)
    if not digests:
        unlink(sums)
        return
    name = path.name.replace("\\", r"\\").replace("\n", r"\n")  # as sha256sum escapes, and marks by a backslash
    text = "".join(f"{'' if name == path.name else chr(92)}{digest}  {name}\n" for digest in digests)
    write_file(sums, text.encode())


def remove_checkpoint(path: str | Path) -> None:
    """Remove a checkpoint, then its sum; a kill in between leaves a sum without a file, which nothing reads."""
    path = Path(path)
    unlink(path)
    unlink(sum_file(path))


def probe_folder(folder: str | Path) -> None:
    """Make a folder and see that files can be written, synced and renamed there; tidy up what a kill left behind.

    Raises:
        SaveError: When that is not possible.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(PARTIALS):
            unlink(leftover)
        for path in folder.glob("*.ckpt"):
            _strike_out(path)
        probe = folder / f".probe-{os.getpid()}"
        write_file(probe, bytes(_PROBE_SIZE))
        probe.unlink()
    except OSError as error:
        raise save_error(folder / "*.ckpt", error, f"at least {_PROBE_SIZE:,}") from error


def save_error(path: Path, error: OSError, size: str, advice: str = _ADVICE) -> SaveError:
    """Compose the message of a file that could not be written, with what is known of the disk.

    Args:
        path: The file.
        error: As the system reported it.
        size: Bytes that it needs, in words.
        advice: How to go on.
    """
    reason = error.strerror or str(error)
    return SaveError(
        error.errno, f"{path}: cannot be saved: {reason}; it needs {size} bytes{_free(path.parent)}{advice}"
    )


def _free(folder: Path) -> str:
    try:
        state = os.statvfs(folder)
    except OSError as error:
        return f"; there is no folder {folder}" if error.errno in (errno.ENOENT, errno.ENOTDIR) else ""
    return f", {state.f_bavail * state.f_frsize:,} are free in {folder}"


def _refuse_objects(checkpoint: Mapping[str, Any], path: Path) -> None:
    for key, found in _objects(checkpoint, ""):
        raise CheckpointError(
            f"{path}: not saved, since {key.lstrip('.')} is a {found.__module__}.{found.__qualname__}, which could not "
            "be loaded safely; what puts it there must turn it into tensors and plain values"
        )


def _objects(value: Any, key: str) -> Iterator[tuple[str, type]]:
    """Place and type of everything that torch's safe loading would refuse."""
    kind = type(value)
    if kind in (dict, OrderedDict, Counter):
        for name, child in value.items():
            yield from _objects(name, f"{key}.{name} (a key)")
            yield from _objects(child, f"{key}.{name}")
    elif kind in (list, tuple, set):
        for index, child in enumerate(value):
            yield from _objects(child, f"{key}.{index}")
    elif kind not in _PLAIN and not isinstance(value, _PLAIN_TORCH):
        yield key, kind


class _Summing:
    """Writes a checkpoint and knows its sum; torch sees a file that remembers the error of a write that failed."""

    def __init__(self) -> None:
        self._sum = hashlib.sha256()
        self._file: BinaryIO
        self._error: OSError | None = None

    def save(self, checkpoint: Mapping[str, Any], file: BinaryIO) -> None:
        """Write to ``file``."""
        self._file = file
        try:
            torch.save(checkpoint, self)
        except RuntimeError as error:  # torch tells in its own words of a write that failed
            raise (self._error or error) from None

    def write(self, data: bytes | memoryview) -> int:
        try:
            size = self._file.write(data)
        except OSError as error:
            self._error = self._error or error
            raise
        self._sum.update(data)
        return size

    def flush(self) -> None:
        self._file.flush()

    def digest(self) -> str:
        return self._sum.hexdigest()


class _Size:
    """A file that keeps nothing but its size."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is kept."""
