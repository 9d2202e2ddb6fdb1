"""A folder of features: ``<video>.npy`` with its sidecar ``<video>.json``, complete or absent, and a manifest."""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from core.atomic import PARTIALS, replace_file, unlink

FORMAT, VERSION = "vidzoo-features", 1
MANIFEST = "manifest"
_MOVES = "path"  # of a source: the same file may be found at another place next time
_CHUNK_BYTES = 1 << 20


class Existing(NamedTuple):
    """What was found of a video.

    Attributes:
        state: ``absent``; ``whole``, and what would be written again; ``damaged``; or made with ``other`` settings.
        details: What is damaged, or which settings differ.
    """

    state: Literal["absent", "whole", "damaged", "other"]
    details: tuple[str, ...] = ()


class FeatureFolder:
    """Write and verify the features of videos.

    The array is written first and the sidecar, which holds its sum, makes it count: a process killed at any moment
    leaves videos that are complete and videos that are not there. Neither file depends on when or by which process it
    was written.

    Args:
        folder: Made when something is written. Names of videos may have slashes, which become folders below it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def manifest(self) -> Path:
        return self.folder / f"{MANIFEST}.json"

    def files(self, name: str) -> tuple[Path, Path]:
        """Where array and sidecar of a video go.

        Raises:
            ValueError: For a name that leads out of the folder, or to the manifest.
        """
        parts = name.split("/")
        if "" in parts or "." in parts or ".." in parts or name == MANIFEST:
            raise ValueError(f"callbacks.features: a video called {name!r} can have no file in {self.folder}")
        return self.folder / f"{name}.npy", self.folder / f"{name}.json"

    def write(self, name: str, array: np.ndarray, axes: tuple[str, ...], facts: Mapping[str, Any]) -> None:
        """Write a video.

        Args:
            name: Of the video.
            array: (rows, ...), float32 or float16.
            axes: Names of the axes of the array.
            facts: What else the sidecar says: ``source``, ``rows``, ``recipe``, ``versions``.
        """
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=False)
        content = buffer.getbuffer()
        about = {"shape": array.shape, "dtype": array.dtype.name, "sha256": hashlib.sha256(content).hexdigest()}
        sidecar = {"format": FORMAT, "version": VERSION, "video": name, "array": {**about, "axes": axes}, **facts}
        array_file, sidecar_file = self.files(name)
        array_file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(array_file, lambda file: file.write(content))
        replace_file(sidecar_file, lambda file: file.write(_line_per_key(sidecar)))

    def remove(self, name: str) -> None:
        """Remove what there may be of a video from an earlier run."""
        for file in reversed(self.files(name)):  # the sidecar first, without which the array does not count
            unlink(file)

    def write_manifest(self, manifest: Mapping[str, list]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(manifest, indent=1)
        replace_file(self.manifest, lambda file: file.write(f"{text}\n".encode()))

    def clear(self) -> None:
        """Remove the manifest of an earlier run, and what one that was killed has left half-written."""
        unlink(self.manifest)
        for partial in self.folder.rglob(PARTIALS):
            unlink(partial)

    def examine(self, name: str, recipe: Mapping[str, Any], source: Mapping[str, Any]) -> Existing:
        """See whether a video is there, whole, and made from this source with this recipe."""
        array_file, sidecar_file = self.files(name)
        if not array_file.exists() and not sidecar_file.exists():
            return Existing("absent")
        if not array_file.exists() or not sidecar_file.exists():
            return Existing("damaged", (f"no {(array_file, sidecar_file)[array_file.exists()].name}",))
        try:
            sidecar = json.loads(sidecar_file.read_bytes())
        except ValueError:  # of the JSON, or of the bytes as text
            return Existing("damaged", (f"{sidecar_file.name} is cut short or altered",))
        expected = {"format": FORMAT, "version": VERSION, "video": name, "source": source, "recipe": recipe}
        differing = tuple(differences(sidecar, json.loads(json.dumps(expected))))
        if differing:
            return Existing("other", differing)
        if _sha256(array_file) != sidecar.get("array", {}).get("sha256"):
            return Existing("damaged", (f"the sum of {array_file.name} is not that of its sidecar",))
        return Existing("whole")


def differences(found: Any, expected: Any, key: str = "") -> Iterator[str]:
    """Name the settings that are not as expected, ``recipe.data.windows.stride: found 16, expected 4``.

    Keys of the sidecar itself that are not expected say what was made and not how; further down all keys count.
    """
    if isinstance(found, dict) and isinstance(expected, dict):
        names = list(expected) if not key else [*expected, *(name for name in found if name not in expected)]
        for name in names:
            if (key, name) != ("source", _MOVES):
                yield from differences(
                    found.get(name, ...), expected.get(name, ...), f"{key}.{name}" if key else str(name)
                )
    elif found != expected:
        yield f"{key or 'sidecar'}: found {_spelt(found)}, expected {_spelt(expected)}"


def _spelt(value: Any) -> str:
    return "nothing" if value is ... else json.dumps(value)


def _line_per_key(sidecar: Mapping[str, Any]) -> bytes:
    lines = (f" {json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in sidecar.items())
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
