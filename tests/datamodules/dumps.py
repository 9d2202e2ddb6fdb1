"""Writes features of videos in the format of callbacks/features.py, for tests that read them."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

RECIPE = {
    "data": {"windows": {"stride": 16, "tail": "pad"}},
    "model": {"class": "V", "pool": "mean"},
    "dtype": "float32",
}


def write_dump(
    folder: Path,
    name: str,
    array: np.ndarray,
    frames: int,
    *,
    axes: tuple[str, ...] = ("row", "channel"),
    recipe: Mapping[str, Any] = RECIPE,
    stride: int = 16,
    clip_len: int = 16,
    first: int = 0,
) -> Path:
    """Write the features of a video and their sidecar.

    Args:
        folder: Where to.
        name: The video.
        array: Features, rows first.
        frames: N.
        axes: Of the array.
        recipe: Of the sidecar.
        stride: Frames between the starts of two rows.
        clip_len: Frames of a row; the last one ends with the video.
        first: Number of the first frame of the video.

    Returns:
        The array's file.
    """
    path = folder / f"{name}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    starts = [row * stride for row in range(len(array))]
    spans = [[first + start, first + min(start + clip_len, frames) - 1] for start in starts]
    content = {
        "format": "vidzoo-features",
        "version": 1,
        "video": name,
        "source": {"path": f"{name}.avi", "bytes": 1, "first": first, "frames": frames, "fps": 24.0},
        "array": {
            "shape": array.shape,
            "dtype": array.dtype.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "axes": axes,
        },
        "rows": {"frames": spans, "seconds": [[start / 24, end / 24] for start, end in spans]},
        "recipe": recipe,
        "versions": {},
    }
    path.with_suffix(".json").write_text(json.dumps(content))
    return path
