"""The key frames of a split with their boxes and actions, put together once and kept in a cache."""

import json
import logging
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from core.atomic import replace_file
from datamodules.ava_files import NO_CLASS, Rows
from datamodules.checking import Defect
from datamodules.label_map import LabelMap

log = logging.getLogger(__name__)

INDEX_VERSION = 1  # to be raised when Index changes, or what is put into one
DAMAGE = (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Index:
    """Key frames, ordered by video and second, and the boxes of each; annotated ones first, in the order of the file.

    Attributes:
        videos: (V,) str, names of the videos.
        video: int64 (K,), video of each key frame.
        second: float64 (K,), its time in seconds of the annotation.
        starts: int64 (K + 1,), place of its first box; the boxes of key frame k are ``starts[k]`` to ``starts[k + 1]``.
        boxes: float64 (N, 4), xyxy in [0, 1] of the frame.
        labels: bool (N, C), actions of each box.
        scores: float32 (N,), 1 for annotated boxes.
        annotated: bool (N,), True for annotated boxes, False for proposed ones.
    """

    videos: np.ndarray
    video: np.ndarray
    second: np.ndarray
    starts: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    annotated: np.ndarray

    def __len__(self) -> int:
        return len(self.second)

    def name(self, key_frame: int) -> str:
        """Video of a key frame."""
        return str(self.videos[self.video[key_frame]])

    def places(self, key_frame: int) -> np.ndarray:
        """Places of its boxes."""
        return np.arange(self.starts[key_frame], self.starts[key_frame + 1])

    def count(self, chosen: np.ndarray) -> np.ndarray:
        """Number of chosen boxes, bool (N,), of every key frame, int64 (K,)."""
        return np.diff(np.concatenate(([0], np.cumsum(chosen)))[self.starts])

    def validate(self) -> None:
        """Refuse arrays that do not belong together.

        Raises:
            ValueError: With the first contradiction.
        """
        num_boxes, num_frames = len(self.boxes), len(self.second)
        lengths = (self.labels, self.scores, self.annotated)
        if any(len(column) != num_boxes for column in lengths) or self.boxes.shape != (num_boxes, 4):
            raise ValueError("its columns of boxes differ in length")
        if len(self.video) != num_frames or len(self.starts) != num_frames + 1:
            raise ValueError("its columns of key frames differ in length")
        if self.starts[0] != 0 or self.starts[-1] != num_boxes or (np.diff(self.starts) < 1).any():
            raise ValueError("its key frames do not part its boxes")
        if num_frames and not 0 <= self.video.min() <= self.video.max() < len(self.videos):
            raise ValueError("a key frame is of no video")
        if not ((self.boxes >= 0) & (self.boxes <= 1)).all():
            raise ValueError("a box is outside the frame")


def build_index(
    annotated: Rows | None,
    proposed: Rows | None,
    label_map: LabelMap,
    excluded: Collection[tuple[str, float]] = (),
) -> Index:
    """Group rows by video, second and box, and join the actions of each box.

    Args:
        annotated: Rows of annotated boxes, as `datamodules.ava_rows.Judge` leaves them.
        proposed: Rows of boxes of a detector, likewise; they may have actions, and need not.
        label_map: The classes, in the order of the channels.
        excluded: Key frames (video, second) that are left out.
    """
    parts = [(rows, kind) for kind, rows in enumerate((annotated, proposed)) if rows is not None]
    videos, video = np.unique(np.concatenate([rows.videos for rows, _ in parts]), return_inverse=True)
    second = np.concatenate([rows.seconds for rows, _ in parts])
    kind = np.concatenate([np.full(len(rows), kind) for rows, kind in parts])
    boxes = np.concatenate([rows.boxes for rows, _ in parts])
    scores = np.concatenate([rows.scores for rows, _ in parts])
    classes = np.concatenate([rows.classes for rows, _ in parts])
    identity = np.column_stack((video, second, kind, boxes))
    _, first, box = np.unique(identity, axis=0, return_index=True, return_inverse=True)
    order = np.lexsort((first, second[first], video[first]))  # of a key frame's boxes: annotated ones, as in the file
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    labels = np.zeros((len(first), len(label_map)), dtype=bool)
    named = np.flatnonzero(classes != NO_CLASS)
    labels[rank[box[named]], [label_map.channels[int(classes[n])] for n in named]] = True
    chosen = first[order]
    out = np.array([(videos[v], s) in excluded for v, s in zip(video[chosen], second[chosen], strict=True)], dtype=bool)
    chosen, labels = chosen[~out], labels[~out]
    new = np.ones(len(chosen), dtype=bool)
    new[1:] = (np.diff(video[chosen]) != 0) | (np.diff(second[chosen]) != 0)
    begin = np.flatnonzero(new)
    return Index(
        videos=videos,
        video=video[chosen][begin].astype(np.int64),
        second=second[chosen][begin],
        starts=np.append(begin, len(chosen)).astype(np.int64),
        boxes=boxes[chosen],
        labels=labels,
        scores=scores[chosen].astype(np.float32),
        annotated=kind[chosen] == 0,
    )


def cached_index(
    cache: Path,
    inputs: Mapping[str, Path],
    settings: Mapping[str, Any],
    build: Callable[[], tuple[Index, list[Defect]]],
) -> tuple[Index, list[Defect]]:
    """Take an index from the cache, or build it and keep it there.

    Args:
        cache: Folder of the cache.
        inputs: Files that it is made of, by what they are; one that changes makes another index.
        settings: What else decides about it, as plain values.
        build: Makes it, and says what is wrong with the files.
    """
    recipe = {
        "version": INDEX_VERSION,
        "settings": settings,
        "inputs": {name: digest(file) for name, file in inputs.items()},
    }
    text = json.dumps(recipe, sort_keys=True)
    file = cache / f"key_frames_{blake2b(text.encode(), digest_size=8).hexdigest()}.npz"
    try:
        with np.load(file, allow_pickle=False) as content:
            if content["recipe"].item() != text:
                raise ValueError("it was made of something else")
            index = Index(**{field.name: content[field.name] for field in fields(Index)})
            index.validate()
            return index, [Defect(**one) for one in json.loads(content["defects"].item())]
    except FileNotFoundError:
        log.info(
            "the boxes of %s are put in order once; the index is kept in %s", ", ".join(map(str, inputs.values())), file
        )
    except DAMAGE as error:
        log.warning("%s cannot be used (%s); it is made anew", file, error)
    index, defects = build()
    index.validate()
    arrays = {field.name: getattr(index, field.name) for field in fields(Index)}
    said = json.dumps([asdict(defect) for defect in defects])
    cache.mkdir(parents=True, exist_ok=True)
    replace_file(file, lambda stream: np.savez_compressed(stream, recipe=text, defects=said, **arrays))
    return index, defects


def digest(file: Path) -> str:
    """Hash of the content of a file."""
    found = blake2b(digest_size=16)
    with file.open("rb") as stream:
        while part := stream.read(1 << 20):
            found.update(part)
    return found.hexdigest()
