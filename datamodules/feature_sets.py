"""Data sets of bags of rows: pairs of a video with and one without an anomaly to train on, single ones to evaluate."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from datamodules.feature_bags import Bag
from datamodules.loading import Visit, seeded
from datamodules.segments import pooled

PADDING = -1  # in spans and labels of frames, behind the end of a video


class TrainingBags(Dataset[list[dict[str, Any]]]):
    """Pairs of an anomalous and a normal video; what is drawn is a function of ``(seed, epoch, index)`` alone.

    An epoch has ``repeat`` pairs for every video of the more frequent kind. Each kind is gone through again and again,
    in another order each time, so that within an epoch every video has its turn. Where all videos are of one kind, a
    sample is one video.

    Args:
        bags: The videos.
        seed: Seed of the run.
        num_segments: Segments into which the rows of a video are averaged; None for the rows themselves.
        max_rows: Longest run of rows that is taken of a video, from a start that is drawn; None for all.
        repeat: Visits of every video in an epoch.
    """

    def __init__(
        self, bags: Sequence[Bag], seed: int, num_segments: int | None, max_rows: int | None, repeat: int
    ) -> None:
        kinds = ([bag for bag in bags if bag.video.label == label] for label in (1, 0))
        self.kinds = [kind for kind in kinds if kind]
        self.seed, self.num_segments, self.max_rows, self.repeat = seed, num_segments, max_rows, repeat

    def __len__(self) -> int:
        """Number of pairs in an epoch."""
        return self.repeat * max(map(len, self.kinds), default=0)

    def __getitem__(self, visit: Visit | int) -> list[dict[str, Any]]:
        """Read a pair.

        Args:
            visit: Epoch and index; an index alone is one of epoch 0.

        Raises:
            FeatureFileError: When a file cannot be read.
        """
        epoch, index = visit if isinstance(visit, tuple) else (0, visit)
        generator = seeded(self.seed, epoch, index)
        pair = []
        for place, kind in enumerate(self.kinds):
            turn, within = divmod(index, len(kind))
            # the last number is never 0: a stream of its own, also beside that of the pair
            order = torch.randperm(len(kind), generator=seeded(self.seed, epoch, turn, place + 1))
            bag = kind[int(order[within])]
            features = torch.from_numpy(self.taken(bag.file.read(), generator))
            pair.append(sample(bag, index * len(self.kinds) + place, features))
        return pair

    def taken(self, rows: np.ndarray, generator: torch.Generator) -> np.ndarray:
        """What training sees of the rows (V, T, C) of a video."""
        if self.num_segments is not None:
            return pooled(rows, self.num_segments)
        if self.max_rows is None or rows.shape[1] <= self.max_rows:
            return rows
        start = int(torch.randint(rows.shape[1] - self.max_rows + 1, (), generator=generator))
        return rows[:, start : start + self.max_rows]


class EvaluationBags(Dataset[list[dict[str, Any]]]):
    """All rows of every video, in the order of the list, with what scores of frames are compared with.

    Args:
        bags: The videos.
    """

    def __init__(self, bags: Sequence[Bag]) -> None:
        self.bags = list(bags)

    @property
    def names(self) -> list[str]:
        """Names of the videos by ``index``."""
        return [bag.video.name for bag in self.bags]

    def __len__(self) -> int:
        return len(self.bags)

    def __getitem__(self, visit: Visit | int) -> list[dict[str, Any]]:
        """Read a video, as a list of one.

        Raises:
            FeatureFileError: When the file cannot be read.
        """
        index = visit[1] if isinstance(visit, tuple) else visit
        bag = self.bags[index]
        about = {
            "spans": torch.from_numpy(bag.spans),
            "frame_label": torch.from_numpy(bag.frame_label),
            "num_frames": len(bag.frame_label),
            "scene": bag.video.scene,
        }
        return [sample(bag, index, torch.from_numpy(bag.file.read())) | about]


def sample(bag: Bag, index: int, features: Tensor) -> dict[str, Any]:
    """What training and evaluation have in common."""
    return {"features": features, "name": bag.video.name, "label": bag.video.label, "index": index}


def collate_bags(samples: Sequence[list[dict[str, Any]]]) -> dict[str, Any]:
    """Join videos of different lengths to a batch.

    Returns:
        ``features`` float32 (B, V, T, C), T that of the longest, 0 behind the end of others; ``mask`` bool (B, T), True
        for rows that are there; ``name`` list of B; ``label`` and ``index`` int64 (B,). In evaluation also ``spans``
        int64 (B, T, 2), ``num_frames`` int64 (B,), ``frame_label`` int64 (B, N), N that of the longest, -1 behind the
        end of others, and ``scene`` int64 (B,).
    """
    videos = [video for group in samples for video in group]
    lengths = torch.tensor([video["features"].shape[1] for video in videos])
    batch = {
        "features": padded([video["features"].transpose(0, 1) for video in videos], 0).transpose(1, 2),
        "mask": torch.arange(int(lengths.max())) < lengths[:, None],
        "name": [video["name"] for video in videos],
    }
    numbers = [key for key in ("label", "index", "num_frames", "scene") if key in videos[0]]
    ragged = [key for key in ("spans", "frame_label") if key in videos[0]]
    batch |= {key: torch.tensor([video[key] for video in videos]) for key in numbers}
    return batch | {key: padded([video[key] for video in videos], PADDING) for key in ragged}


def padded(values: Sequence[Tensor], filler: int) -> Tensor:
    """Stack tensors that differ in their first dimension."""
    return pad_sequence(list(values), batch_first=True, padding_value=filler)
