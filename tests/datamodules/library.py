"""A small folder of videos whose frames say which one they are, and what tests of its batches share."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from tests.datamodules import counters

SIZE = (counters.HEIGHT, counters.WIDTH)
LENGTHS = {"a": 40, "frames/d": 30, "scene/b": 60, "scene/c": 50, "z": 45}


def write_library(root: Path) -> None:
    """Numbered frames in mp4 and avi files and in a folder of images, which count from 1."""
    (root / "scene").mkdir()
    for name, suffix, codec in (("a", "mp4", "libx264"), ("scene/b", "mp4", "libx264"), ("z", "mp4", "libx264")):
        counters.encode(root / f"{name}.{suffix}", codec, LENGTHS[name])
    counters.encode(root / "scene/c.avi", "mpeg4", LENGTHS["scene/c"], b_frames=None)
    counters.write_frames(root / "frames/d", {number: f"img_{number:05}.jpg" for number in range(1, 31)})


def as_bytes(batch: dict) -> np.ndarray:
    """uint8 (B, T, H, W, 3)."""
    return batch["video"].permute(0, 2, 3, 4, 1).numpy()


def equal(first: Iterable[dict], second: Iterable[dict]) -> bool:
    pairs = list(zip(first, second, strict=True))
    return bool(pairs) and all(
        one.keys() == other.keys()
        and all(torch.equal(one[key], other[key]) if key != "name" else one[key] == other[key] for key in one)
        for one, other in pairs
    )


def clips_of(loader: Iterable[dict]) -> dict[int, tuple[str, list[int]]]:
    """Name and frames of every clip, by its index."""
    return {
        index: (name, frames)
        for batch in loader
        for index, name, frames in zip(batch["index"].tolist(), batch["name"], batch["frames"].tolist(), strict=True)
    }
