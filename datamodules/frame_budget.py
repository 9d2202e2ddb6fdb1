"""Batches of face tracks of like length, whose frames together stay within a budget."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import torch

from datamodules.loading import Order, seeded

SHORTEST = 0.75  # of the longest track of a batch; what is shorter goes into the next one, where less is cropped away
JITTER, DEAL = 0, 1  # what a stream of random numbers is for


class CroppedVisit(NamedTuple):
    """A visit of a track of which a part is used, at a place that the data set draws.

    Attributes:
        epoch: The epoch.
        index: Index of the track.
        length: Frames that are used.
    """

    epoch: int
    index: int
    length: int


class FrameBudgetBatchSampler(Order):
    """Deal tracks of like length into batches within a budget of frames; those of a batch are cropped to one length.

    As in TaoRuijie/TalkNet-ASD, tracks are sorted by length and a batch takes ``budget // length`` of them, at least
    one, though none that is shorter than ``SHORTEST`` of its longest. There the batches never change; here lengths are
    jittered before they are sorted, so that a track meets others in every epoch, while the number of batches and of
    tracks in each, and so the length of the schedule, stays what it is. A batch is cropped to its shortest track, and a
    batch of several tracks at most to its share of the budget: no batch has more frames than the budget unless it is
    one track alone. Every track is used at most once in an epoch, the ranks have different ones and equally many
    batches. The order is a function of lengths, budget, ``seed`` and epoch; its unit is a batch.

    Args:
        lengths: Frames of each track, at least one each.
        budget: Frames of a batch.
        world_size: Number of processes.
        rank: Index of this process.
        seed: Seed of the run.
        drop_last: Leave out the batches that do not divide by the number of ranks, others in every epoch; else the
            largest batches are halved until they do, and every track is used.
        jitter: Largest share of its length that a track is sorted away from its place.

    Raises:
        ValueError: When there is not a track for each process, or a number is out of its range.
    """

    counted = "frames"

    def __init__(
        self,
        lengths: Sequence[int],
        budget: int,
        world_size: int = 1,
        rank: int = 0,
        seed: int = 0,
        drop_last: bool = False,
        jitter: float = 0.1,
    ) -> None:
        self.lengths = np.asarray(lengths, dtype=np.int64)
        if self.lengths.ndim != 1 or (self.lengths < 1).any():
            raise ValueError("lengths: expected tracks of one frame or more")
        if budget < 1 or not 0 <= jitter < 1:
            raise ValueError(f"expected budget >= 1 and 0 <= jitter < 1, found {budget} and {jitter:g}")
        self.budget, self.jitter, self.seed, self.rank, self.world_size = budget, jitter, seed, rank, world_size
        sizes = batch_sizes(np.sort(self.lengths)[::-1], budget)
        self.sizes = sizes if drop_last else halved(sizes, world_size)
        if len(self) < 1:
            raise ValueError(
                f"{len(self.lengths)} tracks make {len(sizes)} batches of {budget} frames, fewer than one for each of "
                f"{world_size} processes"
            )

    @property
    def sampler(self) -> "FrameBudgetBatchSampler":
        """Itself: Lightning sets the epoch of a loader's sampler and of a batch sampler's, never of the latter."""
        return self

    def __len__(self) -> int:
        """Batches of this rank in a whole epoch."""
        return len(self.sizes) // self.world_size

    def __iter__(self) -> Iterator[list[CroppedVisit]]:
        for tracks in self.batches()[self.position + self.rank :: self.world_size]:
            length = int(self.lengths[tracks].min())
            if len(tracks) > 1:
                length = max(1, min(length, self.budget // len(tracks)))
            yield [CroppedVisit(self.epoch, track, length) for track in tracks.tolist()]

    def batches(self) -> list[np.ndarray]:
        """The tracks of each batch of the epoch, of all ranks together, in their order."""
        noise = torch.rand(2, len(self.lengths), dtype=torch.float64, generator=seeded(self.seed, self.epoch, JITTER))
        stretch, ties = noise.numpy()
        order = np.lexsort((ties, -self.lengths * (1 + self.jitter * (2 * stretch - 1))))
        found = np.split(order, np.cumsum(self.sizes)[:-1])
        deal = torch.randperm(len(found), generator=seeded(self.seed, self.epoch, DEAL)).tolist()
        return [found[place] for place in deal[: len(self) * self.world_size]]

    def units(self, batch_size: int | None) -> int:
        return self.world_size

    def batch(self, batch_size: int | None) -> tuple[int, str]:
        return self.budget * self.world_size, f"datamodule.budget={self.budget} x {self.world_size} processes"

    def decided_by(self) -> dict[str, int]:
        parts = (self.lengths, np.asarray(self.sizes), np.asarray(self.jitter))
        parted = blake2b(b"".join(part.tobytes() for part in parts), digest_size=6).digest()
        fixed = {"length": len(self.lengths), "seed": self.seed, "budget": self.budget}
        return fixed | {"parted": int.from_bytes(parted, "big")}


def batch_sizes(lengths: np.ndarray, budget: int) -> list[int]:
    """Number of tracks of each batch, when tracks of these lengths, decreasing, are dealt out one after the other."""
    sizes, start = [], 0
    while start < len(lengths):
        alike = int(np.searchsorted(-lengths[start:], -SHORTEST * lengths[start], side="right"))
        sizes.append(min(max(1, budget // int(lengths[start])), alike))
        start += sizes[-1]
    return sizes


def halved(sizes: Sequence[int], world_size: int) -> list[int]:
    """Halve the largest batches until the ranks can have equally many, as long as there is one that can be halved."""
    sizes = list(sizes)
    while len(sizes) % world_size and max(sizes) > 1:
        place = sizes.index(max(sizes))
        sizes[place : place + 1] = [sizes[place] - sizes[place] // 2, sizes[place] // 2]
    return sizes
