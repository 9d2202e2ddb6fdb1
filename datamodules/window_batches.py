"""The data set of sliding windows: each video is decoded once, in order, while its windows go into batches."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from datamodules.clips import COLOURS, UNKNOWN, Source, UnreadableSource
from datamodules.errors import VideoReadError
from datamodules.frame_indices import strided_clip, window_starts
from datamodules.packing import Segment, count_batches, deal, pack_videos, split_into_batches
from datamodules.sequential import FrameQueue, SequentialDecoder
from datamodules.transforms import channels_first
from datamodules.windows import Windows

CHUNK_FRAMES = 64  # decoded at a time, fewer where frames are large
CHUNK_BYTES = 5_000_000  # of decoded pixels; far larger arrays cost twice the time, as no cache holds them
NOTHING = -1  # row of what only fills up a batch


@dataclass(frozen=True)
class WindowClips:
    """Which clips are made of a video, and how they are brought to size.

    Attributes:
        windows: How videos are walked through.
        num_frames: T, frames of a clip.
        size: Height and width of a clip in pixels.
    """

    windows: Windows
    num_frames: int
    size: tuple[int, int]

    def starts(self, source: Source) -> np.ndarray:
        """Where the windows of a video begin, int64 (rows,), counted from its first used frame."""
        return window_starts(source.count, self.num_frames, self.windows.stride, self.windows.tail)

    def indices(self, source: Source) -> np.ndarray:
        """The frames of all windows of a video, int64 (rows, T), indices into the video."""
        clips = [strided_clip(start, source.count, self.num_frames, 1) for start in self.starts(source).tolist()]
        return source.first + np.stack(clips)

    def convert(self, frames: np.ndarray) -> np.ndarray:
        """Bring decoded frames to size: uint8 (F, H, W, 3) to the bytes of pixels (F, h, w, 3) of ``windows.dtype``."""
        pixels = self.windows.bring_to_size(channels_first(frames), self.size)
        return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy()).view(np.uint8)

    def pool(self, converted: np.ndarray) -> Tensor:
        """What ``convert`` made as pixels (F, 3, h, w)."""
        return channels_first(torch.from_numpy(converted).view(self.windows.dtype))

    def frame_bytes(self, source: Source) -> int:
        """Size of a frame that was brought to size."""
        height, width = self.windows.scaled(source.facts.height, source.facts.width, self.size).size
        return height * width * COLOURS * self.windows.dtype.itemsize


class Walk:
    """A video whose windows go into batches one after the other.

    Args:
        source: The video.
        clips: Which clips are made of it.
        decoder: What decodes it.
    """

    def __init__(self, source: Source, clips: WindowClips, decoder: SequentialDecoder) -> None:
        self.facts, self.clips, self.decoder = source.facts, clips, decoder
        self.indices = clips.indices(source)
        self.numbers = np.asarray(source.facts.frame_ids, dtype=np.int64)
        self.seconds = source.facts.times()
        self.labels = np.full(len(self.numbers), UNKNOWN) if source.labels is None else source.labels
        self.frame_bytes = clips.frame_bytes(source)
        chunk = CHUNK_BYTES // (source.facts.height * source.facts.width * COLOURS)
        self.queue = FrameQueue(np.unique(self.indices), self.read, min(max(chunk, 1), CHUNK_FRAMES))

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Decode frames and bring them to size."""
        return self.decoder.read(self.facts, indices, self.frame_bytes * len(indices))

    def next(self, first: int, stop: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Make the next clips.

        Args:
            first: Number of the first one; each window has its views one after the other.
            stop: Number of the one behind the last.

        Returns:
            The frames they are cut from, (F, 3, h, w), and for each clip what ``Windows.cut`` and a batch need.

        Raises:
            VideoReadError: When a frame cannot be decoded.
        """
        row, view = np.divmod(np.arange(first, stop), self.clips.windows.num_views)
        indices = self.indices[row]
        needed, places = np.unique(indices, return_inverse=True)
        values = {"row": row, "rows": np.full_like(row, len(self.indices)), "view": view}
        values |= {"frames": self.numbers[indices], "seconds": self.seconds[indices], "label": self.labels[indices]}
        values["places"] = places.reshape(indices.shape)
        pool = self.clips.pool(self.queue.take(needed))
        return pool, {key: torch.from_numpy(value) for key, value in values.items()}


class WindowBatches(IterableDataset[dict[str, Any]]):
    """Batches of the windows of videos, each video decoded once.

    A batch is a function of the list of videos and the options (``datamodules.packing``). Its keys are those of
    ``datamodules.clips.collate_clips`` without boxes, with ``pools``, ``pool`` and ``places`` instead of ``video``
    (``Windows.cut``). What fills up a batch has row -1 and the name "". Where videos cannot be read, or are too short
    to have a window, ``failed`` lists (name, path, reason); the place of what is missing of them is filled up.

    Args:
        sources: The videos.
        clips: Which clips are made of them.
        batch_size: B, clips of a batch.
        backend: How videos are read: ``auto`` or the name of a backend.
        timeout_s: Seconds that a chunk of frames may take (``SequentialDecoder``).
        left_out: Names of videos that need not be visited, which they are where another one shares their batches.
        rank: Index of this process.
        world_size: Number of processes.
    """

    def __init__(
        self,
        sources: Sequence[Source | UnreadableSource],
        clips: WindowClips,
        batch_size: int,
        backend: str = "auto",
        timeout_s: float | None = None,
        left_out: Collection[str] = (),
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.sources, self.clips, self.batch_size = list(sources), clips, batch_size
        self.backend, self.timeout_s = backend, timeout_s
        rows = [len(clips.starts(source)) if isinstance(source, Source) else 0 for source in self.sources]
        self.counts = [count * clips.windows.num_views for count in rows]
        self.offsets = [0, *accumulate(self.counts)]
        packs = pack_videos(self.counts, batch_size)
        packs = [pack for pack in packs if any(self.sources[video].name not in left_out for video in pack)]
        self.packs = [packs[place] for place in deal(self.weigh(packs), world_size)[rank]]

    def weigh(self, packs: Sequence[tuple[int, ...]]) -> list[int]:
        """Batches of each pack."""
        return [count_batches(sum(self.counts[video] for video in pack), self.batch_size) for pack in packs]

    def __len__(self) -> int:
        """Batches of this process."""
        return sum(self.weigh(self.packs))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        share, shares = (0, 1) if worker is None else (worker.id, worker.num_workers)
        decoder = SequentialDecoder(self.clips.convert, self.backend, self.timeout_s)
        try:
            for place in deal(self.weigh(self.packs), shares)[share]:
                yield from self.batches_of(self.packs[place], decoder)
        finally:
            decoder.close()

    def batches_of(self, pack: Sequence[int], decoder: SequentialDecoder) -> Iterator[dict[str, Any]]:
        """Make the batches of a pack."""
        walks: dict[int, Walk | None] = {}  # None for a broken video
        for segments in split_into_batches(pack, self.counts, self.batch_size):
            batch, end = self.blank(), 0
            for segment in segments:
                begin, end = end, end + segment.stop - segment.first
                try:
                    if segment.video not in walks:
                        walks = {segment.video: self.walk(segment.video, decoder)}
                    walk = walks[segment.video]
                    if walk is not None:
                        self.fill(batch, slice(begin, end), segment, walk)
                except VideoReadError as error:
                    source, walks[segment.video] = self.sources[segment.video], None
                    path = error.path or source.facts.path
                    batch.setdefault("failed", []).append((source.name, str(path), error.reason))
            yield batch

    def walk(self, video: int, decoder: SequentialDecoder) -> Walk:
        """Begin with a video.

        Raises:
            VideoReadError: When it was found broken, or has no window.
        """
        source = self.sources[video]
        if isinstance(source, UnreadableSource):
            raise VideoReadError(source.path, source.reason)
        if self.counts[video] == 0:
            found = f"has {source.count} frames, a window takes {self.clips.num_frames}"
            raise VideoReadError(source.facts.path, f"{found} (datamodule.windows.tail=drop)")
        return Walk(source, self.clips, decoder)

    def fill(self, batch: dict[str, Any], slots: slice, segment: Segment, walk: Walk) -> None:
        """Write the next clips of a video into a batch."""
        pool, values = walk.next(segment.first, segment.stop)
        for key, value in values.items():
            batch[key][slots] = value
        batch["name"][slots] = [self.sources[segment.video].name] * (segment.stop - segment.first)
        batch["index"][slots] = self.offsets[segment.video] + torch.arange(segment.first, segment.stop)
        batch["pool"][slots] = len(batch["pools"])
        batch["pools"].append(pool)

    def blank(self) -> dict[str, Any]:
        """Make a batch of nothing."""
        clips, frames = self.batch_size, (self.batch_size, self.clips.num_frames)
        return {
            "pools": [],
            "pool": torch.full((clips,), NOTHING),
            "places": torch.zeros(frames, dtype=torch.int64),
            "name": [""] * clips,
            "frames": torch.zeros(frames, dtype=torch.int64),
            "seconds": torch.zeros(frames, dtype=torch.float64),
            "index": torch.zeros(clips, dtype=torch.int64),
            "row": torch.full((clips,), NOTHING),
            "rows": torch.zeros(clips, dtype=torch.int64),
            "view": torch.zeros(clips, dtype=torch.int64),
            "views": torch.full((clips,), self.clips.windows.num_views),
            "label": torch.full(frames, UNKNOWN),
        }


def as_it_is(batch: dict[str, Any]) -> dict[str, Any]:
    """What a loader does with batches that the data set has made."""
    return batch
