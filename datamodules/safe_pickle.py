"""Reads label files that were pickled without unpickling them (``core/safe_pickle``)."""

import shlex
from pathlib import Path
from typing import Any

from core.safe_pickle import BrokenError, RefusedError, loads
from datamodules.errors import LabelFileError

MAX_BYTES = 2**28  # frame labels of ShanghaiTech take 0.3 to 20 MB


class UnsafePickleError(LabelFileError):
    """A pickle asks for more than plain containers and arrays of numbers; nothing of it was run."""


def load(path: str | Path) -> Any:
    """Read a pickle of containers, texts, numbers and numpy arrays of numbers, of any protocol.

    Args:
        path: The file.

    Returns:
        What ``pickle.load(file, encoding="latin1")`` would return; ordered dictionaries are plain ones.

    Raises:
        UnsafePickleError: When the file names anything else, or holds arrays of anything else.
        LabelFileError: When it is no pickle, ends too early or is too large.
    """
    path = Path(path)
    if (size := path.stat().st_size) > MAX_BYTES:
        raise LabelFileError(path, f"has {size} bytes, expected at most {MAX_BYTES} for labels")
    try:
        return loads(path.read_bytes())
    except RefusedError as refused:
        raise UnsafePickleError(path, f"{refused}; nothing of it was run. {advice(path)}") from None
    except BrokenError as error:
        raise LabelFileError(path, f"is no pickle, or not all of one ({error})") from error


def advice(path: Path) -> str:
    """How to go on with a file that was refused."""
    labels = f"pickle.load(open({str(path)!r}, 'rb'), encoding='latin1').items()"
    arrays = "{name: numpy.ravel(label).astype('uint8') for name, label in " + labels + "}"
    command = f"import numpy, pickle; numpy.savez({str(path.with_suffix('.npz'))!r}, **{arrays})"
    look = f"python -m pickletools {shlex.quote(str(path))}"
    convert = f'convert it once where it was made, or where you trust it, and use the .npz: python -c "{command}"'
    return f"To see what it would do, without doing it: {look}; {convert}"
