"""The data set of key frames: one sample is the clip around a key frame, in every view, with the actors in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.actor_boxes import Framing, follow, jittered
from datamodules.ava_index import Index
from datamodules.clips import Clips, Sampling, Source, UnreadableSource
from datamodules.crops import View, draw, short_side, uniform
from datamodules.errors import VideoReadError
from datamodules.frame_indices import centred_clip
from datamodules.loading import Visit, seeded
from datamodules.transforms import channels_first, transform_clip

LISTED = ("name", "truth")  # parts of a batch that are lists of B
PER_CLIP = ("second", "frames", "seconds", "index", "view", "views")


@dataclass(frozen=True)
class Movie(Source):
    """A video in which key frames are named by their time.

    Attributes:
        begins_s: Time of its first frame in seconds of the annotation.
    """

    begins_s: float = 0.0

    def clock(self) -> np.ndarray:
        """Time of every frame in seconds of the annotation, float64 (frames,)."""
        return self.begins_s + self.facts.times()


@dataclass(frozen=True)
class Look:
    """One way to look at a key frame.

    Attributes:
        side: Short side of the frame in pixels.
        mirrored: Whether left and right are swapped.
        shift_s: Seconds from the key frame to the middle of the clip.
        crop: Side of a square at a random place that is cut out; None for the whole frame.
    """

    side: int
    mirrored: bool = False
    shift_s: float = 0.0
    crop: int | None = None

    def views(self, height: int, width: int, generator: torch.Generator) -> list[View]:
        """What happens to frames of ``height`` x ``width``, one step after the other."""
        size = short_side(height, width, (self.side, self.side)).size
        steps = [View(0, 0, height, width, size, self.mirrored)]
        if self.crop is not None:
            top, left = (draw(side - self.crop + 1, generator) for side in size)
            steps.append(View(top, left, self.crop, self.crop, (self.crop, self.crop)))
        return steps


@dataclass(frozen=True)
class TrainingLook:
    """Draws how a training clip looks at its key frame.

    Attributes:
        sides: Smallest and largest short side.
        crop: See `Look`.
        flip: Probability of mirroring.
    """

    sides: tuple[int, int]
    crop: int | None = None
    flip: float = 0.0

    def __call__(self, generator: torch.Generator) -> list[Look]:
        side = self.sides[0] + draw(self.sides[1] - self.sides[0] + 1, generator)
        return [Look(side, uniform(generator) < self.flip, crop=self.crop)]


@dataclass(frozen=True)
class EvaluationLooks:
    """The looks at every key frame in evaluation: each time shift, at each scale, as it is and perhaps mirrored."""

    sides: tuple[int, ...]
    shifts_s: tuple[float, ...] = (0.0,)
    mirrored: bool = False

    def __call__(self, generator: torch.Generator) -> list[Look]:
        flips = (False, True) if self.mirrored else (False,)
        return [Look(side, flip, shift) for shift, side, flip in product(self.shifts_s, self.sides, flips)]


@dataclass(frozen=True)
class Actors:
    """Which boxes of the index a clip brings, and what happens to them in training.

    Attributes:
        chosen: bool (N,), boxes of the index that are actors.
        jitter: Largest displacement of a side, in sides of the box; 0 for none.
        copies: Boxes that are made of each: with more than one, itself and jittered copies.
        least_visible: Share of its area of which more has to be in the crop.
    """

    chosen: np.ndarray
    jitter: float = 0.0
    copies: int = 1
    least_visible: float = 0.0

    def boxes(self, boxes: np.ndarray, generator: torch.Generator) -> np.ndarray:
        """Where the actors are taken to be, float64 (copies, R, 4)."""
        if not self.jitter:
            return boxes[None]
        fixed = int(self.copies > 1)
        noise = torch.rand(self.copies - fixed, *boxes.shape, dtype=torch.float64, generator=generator).numpy()
        return np.concatenate((boxes[None][:fixed], jittered(boxes, 2 * noise - 1, self.jitter)))


class KeyFrames(Clips):
    """Clips around key frames; what is random about a sample is a function of ``(seed, epoch, index)`` alone.

    Args:
        index: Key frames, boxes and actions.
        key_frames: int64 (n,), which key frames of the index are visited.
        movies: The videos, by name.
        actors: Which boxes are actors.
        sampling: Number of frames of a clip and the seconds between them; ``random`` for training clips.
        looks: Gives the looks at a key frame, of which each makes a clip.
        seed: Seed of the run.
        backend: How videos are read.
        timeout_s: Seconds that reading a clip may take, see `datamodules.clips.Clips`.
    """

    def __init__(
        self,
        index: Index,
        key_frames: np.ndarray,
        movies: dict[str, Movie | UnreadableSource],
        actors: Actors,
        sampling: Sampling,
        looks: Callable[[torch.Generator], list[Look]],
        seed: int,
        backend: str = "auto",
        timeout_s: float | None = None,
    ) -> None:
        sources = [movies[index.name(k)] for k in key_frames.tolist()]
        super().__init__(sources, sampling, None, seed, backend, timeout_s=timeout_s)
        self.annotations, self.key_frames, self.actors, self.looks = index, key_frames, actors, looks

    def __getitem__(self, visit: Visit | int) -> dict[str, Any]:
        """Make the clips of a key frame, one per look.

        Args:
            visit: (epoch, index), or the index alone for epoch 0.

        Raises:
            VideoReadError: When the video cannot be read, or not in time.

        Returns:
            The keys of a batch (see `collate_key_frames`) as lists of one entry per clip.
        """
        epoch, index = visit if isinstance(visit, tuple) else (0, visit)
        source = self.source(index)
        if isinstance(source, UnreadableSource):
            raise VideoReadError(source.path, source.reason)
        generator = seeded(self.seed, epoch, index)
        looks, clock = self.looks(generator), source.clock()
        key_frame = int(self.key_frames[index])
        second = float(self.annotations.second[key_frame])
        step = (self.sampling.num_frames, self.sampling.step_s)
        clips = np.stack([centred_clip(second + look.shift_s, clock, *step) for look in looks])
        needed, place = np.unique(clips, return_inverse=True)
        frames = channels_first(self.frames(index, needed))
        numbers = np.asarray(source.facts.frame_ids, dtype=np.int64)[clips]
        views = [look.views(source.facts.height, source.facts.width, generator) for look in looks]
        count = len(looks)
        sample = {
            "video": [
                transform_clip(frames[rows], steps).transpose(0, 1)
                for rows, steps in zip(place.reshape(clips.shape), views, strict=True)
            ],
            "name": [source.name] * count,
            "second": torch.full((count,), second, dtype=torch.float64),
            "frames": torch.from_numpy(numbers),
            "seconds": torch.from_numpy(source.facts.times()[clips]),
            "index": torch.full((count,), index),
            "view": torch.arange(count),
            "views": torch.full((count,), count),
            "actors": [self.visible(key_frame, steps, source, generator) for steps in views],
        }
        return sample if self.sampling.random else sample | {"truth": [self.truth(key_frame)] * count}

    def visible(
        self, key_frame: int, views: list[View], source: Movie, generator: torch.Generator
    ) -> dict[str, np.ndarray]:
        """The actors that a clip shows: ``rois``, ``actor``, ``boxes``, ``scores`` and ``targets``, a row for each."""
        index = self.annotations
        all_places = index.places(key_frame)
        actor = np.flatnonzero(self.actors.chosen[all_places])
        places = all_places[actor]
        boxes = self.actors.boxes(index.boxes[places], generator)
        framing = Framing.of(views, source.facts.height, source.facts.width)
        rois, kept = follow(boxes.reshape(-1, 4), framing, self.actors.least_visible)
        rows = np.tile(np.arange(len(places)), len(boxes))[kept]
        order = np.argsort(rows, kind="stable")  # copies of an actor beside each other
        rows = rows[order]
        return {
            "rois": rois[kept][order].astype(np.float32),
            "actor": actor[rows],
            "boxes": index.boxes[places][rows],
            "scores": index.scores[places][rows],
            "targets": index.labels[places][rows].astype(np.float32),
        }

    def truth(self, key_frame: int) -> tuple[Tensor, Tensor]:
        """The annotated boxes of a key frame, float64 (G, 4), and their actions, float32 (G, C)."""
        places = self.annotations.places(key_frame)
        places = places[self.annotations.annotated[places]]
        labels = self.annotations.labels[places].astype(np.float32)
        return torch.from_numpy(self.annotations.boxes[places]), torch.from_numpy(labels)


def collate_key_frames(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Join the clips of several key frames to a batch.

    Returns:
        The batch of `datamodules.ava.AVA`, ``video`` uint8 (B, 3, T, H, W), 0 right of and below each clip's ``size``.
        Where samples took the place of others, ``bad`` lists these; the datamodule takes it out again.
    """
    clips = [clip for sample in samples for clip in sample["video"]]
    sizes = torch.tensor([clip.shape[-2:] for clip in clips])
    height, width = sizes.amax(0).tolist()
    video = torch.zeros(len(clips), *clips[0].shape[:2], height, width, dtype=torch.uint8)
    for place, clip in zip(video, clips, strict=True):
        place[..., : clip.shape[-2], : clip.shape[-1]] = clip
    batch: dict[str, Any] = {"video": video, "size": sizes}
    batch |= {key: torch.cat([sample[key] for sample in samples]) for key in PER_CLIP}
    batch |= {key: [one for sample in samples for one in sample[key]] for key in LISTED if key in samples[0]}
    actors = [found for sample in samples for found in sample["actors"]]
    counts = torch.tensor([len(found["actor"]) for found in actors])
    batch["clip"] = torch.arange(len(clips)).repeat_interleave(counts)
    batch |= {key: torch.from_numpy(np.concatenate([found[key] for found in actors])) for key in actors[0]}
    bad = [visit for sample in samples for visit in sample.get("bad", ())]
    return batch | {"bad": bad} if bad else batch
