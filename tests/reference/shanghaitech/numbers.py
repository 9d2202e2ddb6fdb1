"""Finds the reference numbers of ShanghaiTech by what files hold."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.frame_labels import read_frame_labels
from tests.conftest import fixtures_root

# What label files may name (README of the numbers, "Label files"); `Restricted` is the unpickler of Python's manual.
ALLOWED = {
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    *(("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"), ("collections", "OrderedDict")),
}


class ForeignError(pickle.UnpicklingError):
    """A pickle holds something else; the only argument is what."""


class Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise ForeignError(f"{module}.{name}")
        return super().find_class(module, name)


def folder() -> Path:
    return fixtures_root() / "shanghaitech"


def some(found: list, kind: str) -> list:
    assert found, f"no {kind} in {folder()}"
    return found


def documents(*keys: str) -> list[tuple[Path, dict]]:
    """Every JSON file whose object has all of ``keys``; there must be one."""
    files = [(path, json.loads(path.read_text())) for path in sorted(folder().glob("*.json"))]
    return some([(path, content) for path, content in files if set(keys) <= set(content)], f"documents with {keys}")


def array_files(*keys: str) -> list[tuple[Path, dict[str, np.ndarray]]]:
    """Every npz file that holds all of ``keys``; there must be one."""
    files = [(path, dict(np.load(path, allow_pickle=False))) for path in sorted(folder().glob("*.npz"))]
    return some([(path, arrays) for path, arrays in files if set(keys) <= set(arrays)], f"arrays {keys}")


def pickles() -> list[tuple[Path, dict | Exception]]:
    """Every pickle, with its content or with why it must be refused; there must be both kinds."""
    found = [(path, unpickled(path)) for path in sorted(folder().iterdir()) if path.suffix in (".pickle", ".pkl")]
    for kind in (dict, Exception):
        some([content for _, content in found if isinstance(content, kind)], f"pickle that is a {kind.__name__}")
    return found


def unpickled(path: Path) -> dict | Exception:
    try:
        with path.open("rb") as file:
            content = Restricted(file, encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError) as error:
        return error
    if any(isinstance(values, np.ndarray) and values.dtype.hasobject for values in content.values()):
        return ForeignError("which is no type of numbers")
    return content


def frame_label_files() -> list[Path]:
    """Pickles with more than one label for some video."""
    plain = [(path, content) for path, content in pickles() if isinstance(content, dict)]
    long = [path for path, content in plain if any(np.size(values) > 1 for values in content.values())]
    return some(long, "pickles of frame labels")


def labels_of(videos: list[str]) -> dict[str, np.ndarray]:
    """The frame labels of some videos."""
    files = [read_frame_labels(path) for path in frame_label_files()]
    return some([labels for labels in files if labels.keys() >= set(videos)], f"frame labels of {videos}")[0]
