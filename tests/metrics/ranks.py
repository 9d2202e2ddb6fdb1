"""Evaluations on 1, 2 and 3 real processes: ``python -m tests.metrics.ranks FOLDER`` computes every case on each.

Writes ``<world size>_<rank>.json`` with what each process found, by case.
"""

import datetime
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import start_processes
from torch.utils.data import DistributedSampler

from datamodules.loading import Shard
from metrics.asd import SpeakerScores
from metrics.ava import FrameMAP
from metrics.exact import EvaluationError, ExactMetric
from metrics.frame_anomaly import FrameAnomaly
from metrics.weighted_mean import WeightedMean
from tests.tasks.speaker_batches import batch_of, rows_of

WORLD_SIZES = (1, 2, 3)
BATCH_SIZES = (1, 3, 100)
SEEDS = (0, 1)  # of the order in which samples are visited
MEANS = {"seven": 7, "few": 2, "many": 100}  # two samples leave one of three processes without any
VALUES = 5
VIDEOS = 30
FRAME_NUMBERS = (
    *(f"{area}{over}" for area in ("auc", "ap") for over in ("", "_macro", "_anomalous", "_video")),
    *(f"false_alarm{over}" for over in ("", "_normal", "_anomalous")),
    *("pr_auc_trapezoid", "auc_scene_00", "auc_scene_01"),
)
ACTIONS = [(3, "walk", "pose"), (5, "sit", "pose"), (17, "read", "object")]
ACTION_NUMBERS = ("map", "map_pose", "map_object", "ap_walk", "ap_sit", "ap_read")
KEY_FRAMES = 40
SPEAKER_NUMBERS = ("ap", "map50", "accuracy", "ap_1_face", "ap_2_faces", "ap_small", "ap_large", "ap_audio")
SPEAKER_NUMBERS = tuple(f"speaker {name}" for name in SPEAKER_NUMBERS)  # there is an ap of frames as well
TRACKS = 30


class Ranking(ExactMetric):
    """Average precision of boxes of which a sample has any number; equal scores keep the order of the samples."""

    def __init__(self) -> None:
        super().__init__(score=1, label=2)

    def update(self, index: Tensor, counts: Tensor, score: Tensor, label: Tensor) -> None:
        self.record(index, counts, score=score, label=label)

    def compute(self) -> Tensor:
        columns = self.collect().columns
        right = columns["label"][columns["score"].argsort(descending=True, stable=True)]
        precision = right.cumsum(0) / torch.arange(1, len(right) + 1).unsqueeze(1)
        return (precision * right).sum() / right.sum()


def numbers(index: Tensor) -> tuple[Tensor, Tensor]:
    """Values and weights (B, 5) of samples, of very different size, so that the order of a sum would be seen in it."""
    place = torch.arange(max(MEANS.values()) * VALUES).view(-1, VALUES)  # of all samples: a batch must not change a bit
    size = 10.0 ** (place * 7 % 13 - 6).double()
    return (torch.sin(place.double()) * size)[index], ((torch.cos(place.double()) + 2) / size)[index]


def boxes(index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Number of boxes of each sample, none of every fourth, their coarse scores (R,) and labels (R, 2)."""
    counts = index % 4
    place = index.repeat_interleave(counts) * 4 + torch.cat([torch.arange(int(count)) for count in counts])
    score = torch.sin(place * 1.7).mul(4).round()
    return counts, score, torch.stack([torch.sin(place * 2.3) > 0, place % 2 == 0], 1)


def frames(index: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Number of frames of each video, none of every seventh, their coarse scores and labels (R,), and the scenes."""
    counts = index % 7 * 3
    place = index.repeat_interleave(counts) * 20 + torch.cat([torch.arange(int(count)) for count in counts])
    score = torch.sin(place * 0.7).mul(3).round().div(6).add(0.5)
    return counts, score, (torch.sin(place * 0.9) > 0.5) & (place // 20 % 3 > 0), index % 3 - 1


def persons(index: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Boxes of each key frame, none of every fourth, with coarse scores of three actions."""
    counts, score, _ = boxes(index)
    place = index.repeat_interleave(counts) * 4 + torch.cat([torch.arange(int(count)) for count in counts])
    corner = torch.stack([torch.sin(place * 1.3), torch.cos(place * 1.9)], 1).abs() / 2
    scores = (score[:, None] * torch.tensor([0.1, -0.2, 0.3])).sigmoid()
    return list(
        zip(torch.cat([corner, corner + 0.3], 1).split(counts.tolist()), scores.split(counts.tolist()), strict=True)
    )


def tracks(index: Tensor) -> tuple[dict, Tensor]:
    """Face tracks of up to 12 frames, none of every thirteenth, with coarse scores (B, T)."""
    batch = rows_of(batch_of([place % 13 for place in range(TRACKS)]), index)
    return batch, torch.sin(batch["frames"] * 1.7 + index.unsqueeze(1) * 0.9).mul(2).round() + batch["target"]


def batches(length: int, seed: int, batch_size: int, rank: int, world_size: int) -> Iterator[Tensor]:
    order = torch.randperm(length, generator=torch.Generator().manual_seed(seed))
    mine = order[[index for _, index in Shard(length, rank, world_size)]]
    yield from mine.split(batch_size) if len(mine) else ()


def computed(metric: ExactMetric) -> str:
    """The value, every bit of it; or why there is none."""
    try:
        return float(metric.compute()).hex()
    except EvaluationError as error:
        return str(error)


def mean_of(index: Tensor, expected: int | None) -> str:
    metric = WeightedMean()
    metric.expect(expected)
    if len(index):
        metric.update(index, *numbers(index))
    return computed(metric)


def cases(rank: int, world_size: int) -> Iterator[tuple[str, str]]:
    """Every case with what this process finds."""
    for batch_size in BATCH_SIZES:
        for seed in SEEDS:
            shape = (seed, batch_size, rank, world_size)
            for name, length in MEANS.items():
                mean = WeightedMean()
                mean.expect(length)
                for index in batches(length, *shape):
                    mean.update(index, *numbers(index))
                yield f"{name} in batches of {batch_size}, order {seed}", computed(mean)
            ranking = Ranking()
            ranking.expect(40)
            for index in batches(40, *shape):
                ranking.update(index, *boxes(index))
            yield f"ranking in batches of {batch_size}, order {seed}", computed(ranking)
            anomaly = FrameAnomaly()
            anomaly.expect(VIDEOS)
            for index in batches(VIDEOS, *shape):
                counts, score, label, scene = frames(index)
                anomaly.update(index, counts, score, label, scene)
            for name, value in anomaly.compute().items():
                yield f"{name} in batches of {batch_size}, order {seed}", float(value).hex()
            actions = FrameMAP(ACTIONS)
            actions.expect(KEY_FRAMES)
            for index in batches(KEY_FRAMES, *shape):
                found = persons(index)
                actions.update(index, found, [(box + 0.02, (score > 0.5).float()) for box, score in found])
            for name, value in actions.compute().items():
                yield f"{name} in batches of {batch_size}, order {seed}", float(value).hex()
            speakers = SpeakerScores()
            speakers.expect(TRACKS)
            for index in batches(TRACKS, *shape):
                batch, score = tracks(index)
                speakers.update(batch, score, audio=-score)
            for name, value in speakers.compute().items():
                yield f"speaker {name} in batches of {batch_size}, order {seed}", float(value).hex()
    share = torch.arange(7)[rank::world_size]
    yield (
        "torch's sampler",
        mean_of(torch.tensor(list(DistributedSampler(range(7), world_size, rank, shuffle=False))), 7),
    )
    yield "our sampler", mean_of(torch.tensor([index for _, index in Shard(7, rank, world_size)]), 7)
    yield "one is missing", mean_of(share[share != 4], 7)
    yield "one too many", mean_of(share, 6)
    yield "one is missing from a part", mean_of(share[share != 4], None)
    yield "a part for one process", mean_of(share[share != 4], None if rank == 0 else 7)


def evaluate(rank: int, world_size: int, folder: Path) -> None:
    """Compute all cases as one of several processes, and write down what was found."""
    init = f"file://{folder}/{world_size}.rendezvous"
    wait = datetime.timedelta(seconds=60)
    dist.init_process_group("gloo", init_method=init, rank=rank, world_size=world_size, timeout=wait)
    (folder / f"{world_size}_{rank}.json").write_text(json.dumps(dict(cases(rank, world_size))))
    dist.destroy_process_group()


if __name__ == "__main__":
    for world_size in WORLD_SIZES:
        start_processes(evaluate, (world_size, Path(sys.argv[1])), nprocs=world_size, start_method="fork")
