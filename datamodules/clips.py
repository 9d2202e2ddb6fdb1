"""The data set of clips: one sample is one visit of a video, with all the clips that are made of it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from datamodules.crops import View
from datamodules.errors import VideoReadError
from datamodules.frame_indices import count_starts, count_timed_starts, even_starts, strided_clip, timed_clip
from datamodules.killable import KillableProcess
from datamodules.loading import Visit, seeded
from datamodules.reading import VideoFacts, open_video
from datamodules.regions import NOTHING, Regions
from datamodules.transforms import ClipTransform, channels_first, transform_boxes, transform_clip

COLOURS = 3
UNKNOWN = -1  # label of a frame of which nothing is said
JOINED = ("video", "frames", "seconds", "index", "row", "rows", "view", "views", "label")  # clip by clip in a batch


@dataclass(frozen=True)
class Source:
    """A video, or a part of one, of which clips are made.

    Attributes:
        name: What it is called in batches.
        facts: What is known about the file or frame folder.
        first: Index of the first frame that may be used.
        count: Number of frames that may be used.
        labels: int64 (facts.frame_count,), 1 anomalous, 0 normal; None where nothing is known.
        regions: Boxes by frame number.
    """

    name: str
    facts: VideoFacts
    first: int
    count: int
    labels: np.ndarray | None = None
    regions: Regions = NOTHING


@dataclass(frozen=True)
class UnreadableSource:
    """A video that was found broken; it keeps its place, so that the order of the others does not depend on it.

    Attributes:
        name: What it would be called in batches.
        path: The file that is broken: the video, or one image of a frame folder.
        reason: What was found.
    """

    name: str
    path: Path
    reason: str


def describe(source: Source | UnreadableSource, root: Path) -> dict[str, Any]:
    """Say as plain values which video a source is, so that another one in its place can be told from it.

    Returns:
        ``path``, below ``root`` where it lies there; ``bytes``, of all images for a frame folder; number of the
        ``first`` frame that is used, and how many ``frames`` are; ``fps`` in Hz. None for what cannot be found out.
    """
    readable = isinstance(source, Source)
    path = source.facts.path if readable else source.path
    try:
        size = sum(entry.stat().st_size for entry in os.scandir(path)) if path.is_dir() else path.stat().st_size
    except OSError:
        size = None
    return {
        "path": (path.relative_to(root) if path.is_relative_to(root) else path).as_posix(),
        "bytes": size,
        "first": int(source.facts.frame_ids[source.first]) if readable else None,
        "frames": source.count if readable else None,
        "fps": source.facts.fps if readable else None,
    }


@dataclass(frozen=True)
class Sampling:
    """Which clips are made of a video.

    Attributes:
        num_frames: T, frames of a clip.
        frame_step: Distance of two frames; not used when ``step_s`` is given.
        step_s: Seconds between two frames, by the presentation times of the video.
        clips_per_video: K, clips of one visit of a video; they share its decoding.
        repeat: Visits of every video in an epoch.
        random: Draw the starts of the clips; otherwise they are spread evenly over the video.
    """

    num_frames: int = 16
    frame_step: int = 2
    step_s: float | None = None
    clips_per_video: int = 1
    repeat: int = 1
    random: bool = True

    def clips(self, source: Source, generator: torch.Generator) -> np.ndarray:
        """Choose the frames of the clips of one visit: int64 (K, T), indices into the video."""
        if self.step_s is None:
            num_starts = count_starts(source.count, self.num_frames, self.frame_step)
        else:
            times = source.facts.times()[source.first : source.first + source.count]
            num_starts = count_timed_starts(times, self.num_frames, self.step_s)
        if self.random:
            starts = torch.randint(num_starts, (self.clips_per_video,), generator=generator).tolist()
        else:
            starts = even_starts(num_starts, self.clips_per_video).tolist()
        if self.step_s is None:
            clips = [strided_clip(start, source.count, self.num_frames, self.frame_step) for start in starts]
        else:
            clips = [timed_clip(start, times, self.num_frames, self.step_s) for start in starts]
        return source.first + np.stack(clips)


class Clips(Dataset[dict[str, Any]]):
    """Clips of videos; what is random about a sample is a function of ``(seed, epoch, index)`` alone.

    Args:
        sources: The videos.
        sampling: Which clips are made of them.
        transform: Crop, resizing and flip, drawn for each clip.
        seed: Seed of the run.
        backend: How videos are read: ``auto`` or the name of a backend.
        boxes_follow: Move boxes with the pixels; otherwise they stay in pixels of the stored frame.
        timeout_s: Seconds that reading the frames of a visit may take. In a loader's worker they are decoded by a
            process that the worker forks, keeps, and kills when it is stuck; **without workers
            (``num_workers=0``) nothing can be killed, and the deadline does not hold**. None for no deadline, and
            decoding in the worker itself.
    """

    def __init__(
        self,
        sources: Sequence[Source | UnreadableSource],
        sampling: Sampling,
        transform: ClipTransform,
        seed: int,
        backend: str = "auto",
        boxes_follow: bool = True,
        timeout_s: float | None = None,
    ) -> None:
        self.sources, self.sampling, self.transform = list(sources), sampling, transform
        self.seed, self.backend, self.boxes_follow, self.timeout_s = seed, backend, boxes_follow, timeout_s
        self._decoding: KillableProcess | None = None

    def __len__(self) -> int:
        """Number of visits in an epoch."""
        return len(self.sources) * self.sampling.repeat

    @property
    def num_clips(self) -> int:
        """Number of clips in an epoch; their ``index`` counts from 0."""
        return len(self) * self.sampling.clips_per_video

    def source(self, index: int) -> Source | UnreadableSource:
        """The video of a visit."""
        return self.sources[index // self.sampling.repeat]

    def __getitem__(self, visit: Visit | int) -> dict[str, Any]:
        """Make the clips of one visit of a video.

        Args:
            visit: (epoch, index), or the index alone for epoch 0.

        Raises:
            VideoReadError: When the video cannot be read, or not in time.

        Returns:
            The keys of a batch (see ``collate_clips``) for B = K clips; boxes are a list of (R_t, 4) and (R_t,) per
            clip and frame.
        """
        epoch, index = visit if isinstance(visit, tuple) else (0, visit)
        source = self.source(index)
        if isinstance(source, UnreadableSource):
            raise VideoReadError(source.path, source.reason)
        generator = seeded(self.seed, epoch, index)
        clips = self.sampling.clips(source, generator)
        needed, place = np.unique(clips, return_inverse=True)
        frames = self.frames(index // self.sampling.repeat, needed)
        numbers = np.asarray(source.facts.frame_ids, dtype=np.int64)[clips]
        places, rows = index * len(clips) + torch.arange(len(clips)), self.sampling.repeat * len(clips)
        labels = np.full(clips.shape, UNKNOWN, dtype=np.int64) if source.labels is None else source.labels[clips]
        videos, boxes = [], []
        for clip, (clip_place, clip_numbers) in enumerate(zip(place.reshape(clips.shape), numbers, strict=True)):
            views = self.transform_of(clip).views(*frames.shape[1:3], generator)
            videos.append(transform_clip(channels_first(frames[clip_place]), views).transpose(0, 1))
            boxes.append(clip_boxes(source.regions, clip_numbers, views if self.boxes_follow else []))
        return {
            "video": torch.stack(videos),
            "name": [source.name] * len(clips),
            "frames": torch.from_numpy(numbers),
            "seconds": torch.from_numpy(source.facts.times()[clips]),
            "index": places,
            "row": places % rows,
            "rows": torch.full_like(places, rows),
            "view": torch.zeros_like(places),
            "views": torch.ones_like(places),
            "label": torch.from_numpy(labels),
            "boxes": boxes,
        }

    def transform_of(self, clip: int) -> ClipTransform:
        """What happens to one of the clips of a visit."""
        return self.transform

    def frames(self, place: int, needed: np.ndarray) -> np.ndarray:
        """Read frames ``needed`` of a source, uint8 (N, H, W, 3); they may lie in memory that the next call reuses."""
        if self.timeout_s is None or get_worker_info() is None:
            return self.decode(place, needed)
        if self._decoding is None:
            self._decoding = KillableProcess(self.decode, self.timeout_s)
        facts = self.sources[place].facts
        size = len(needed) * facts.height * facts.width * COLOURS
        return self._decoding.call(place, needed, path=facts.path, nbytes=size)

    def decode(self, place: int, needed: np.ndarray) -> np.ndarray:
        """Read frames ``needed`` of a source in this process."""
        with open_video(self.sources[place].facts, self.backend) as reader:
            return reader.read(needed)


def clip_boxes(regions: Regions, frames: np.ndarray, views: list[View]) -> list[tuple[Tensor, Tensor]]:
    """Look up the boxes of the frames of a clip and let them follow the pixels: per frame boxes (R, 4), scores (R,)."""
    found = [regions.at(int(frame)) for frame in frames]
    lengths = [len(scores) for _, scores in found]
    boxes, scores = (torch.from_numpy(np.concatenate(values)) for values in zip(*found, strict=True))
    moved, kept = transform_boxes(boxes, views)
    parts = zip(moved.split(lengths), scores.split(lengths), kept.split(lengths), strict=True)
    return [(boxes[kept], scores[kept]) for boxes, scores, kept in parts]


def collate_clips(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Join the clips of several visits to a batch.

    Returns:
        ``video`` uint8 (B, 3, T, H, W), ``name`` list of B, ``frames`` int64 (B, T), ``seconds`` float64 (B, T),
        ``index``, ``row``, ``rows``, ``view`` and ``views`` int64 (B,), ``label`` int64 (B, T), ``boxes`` float32
        (B, T, R, 4), ``box_scores`` float32 (B, T, R), ``box_count`` int64 (B, T). R is the largest number of boxes of
        a frame in the batch, at least 1; rows from ``box_count`` on are 0. Where samples took the place of others,
        ``bad`` lists these (``datamodules.quarantine.BadSample``); the datamodule takes it out again.
    """
    batch: dict[str, Any] = {key: torch.cat([sample[key] for sample in samples]) for key in JOINED}
    bad = [visit for sample in samples for visit in sample.get("bad", ())]
    if bad:
        batch["bad"] = bad
    batch["name"] = [name for sample in samples for name in sample["name"]]
    clips = [clip for sample in samples for clip in sample["boxes"]]
    count = torch.tensor([[len(boxes) for boxes, _ in clip] for clip in clips])
    shape = (*count.shape, max(int(count.max()), 1))
    batch["boxes"], batch["box_scores"], batch["box_count"] = torch.zeros(*shape, 4), torch.zeros(shape), count
    for b, clip in enumerate(clips):
        for t, (boxes, scores) in enumerate(clip):
            batch["boxes"][b, t, : len(boxes)] = boxes
            batch["box_scores"][b, t, : len(boxes)] = scores
    return batch
