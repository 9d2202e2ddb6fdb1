"""Clips that know the class of their video, chosen as published fine-tuning does, and seen in several views."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from datamodules.clips import Clips, Sampling, Source, UnreadableSource, collate_clips
from datamodules.crops import View
from datamodules.frame_indices import dense_clip, dense_views, segment_clip, segment_views
from datamodules.loading import Visit
from datamodules.transforms import ClipTransform

Moments = Literal["strided", "dense", "segments"]


@dataclass(frozen=True)
class ViewSampling(Sampling):
    """Which clips are made of a video, and in how many crops each is seen, one crop after the other.

    ``clips_per_video`` counts both: K moments x S crops.

    Attributes:
        moments: ``strided``: as in pretraining. ``dense``: frames spread over ``num_frames * frame_step`` of the video,
            drawn in training, else in its middle, several from its first to its last clip (Kinetics in VideoMAE).
            ``segments``: a frame of each of T equal segments of the whole video (Something-Something in VideoMAE).
            As published, the training clips of a visit are the same frames with these two, each cropped and flipped by
            itself (repeated augmentation); with ``strided`` they are of different moments.
        crops: S.
    """

    moments: Moments = "strided"
    crops: int = 1

    def clips(self, source: Source, generator: torch.Generator) -> np.ndarray:
        """Choose the frames of the clips of one visit: int64 (K S, T), indices into the video."""
        wanted = self.clips_per_video // self.crops
        if self.moments == "strided":
            clips = Sampling.clips(replace(self, clips_per_video=wanted), source, generator)
        else:
            choose = self.dense if self.moments == "dense" else self.segments
            clips = source.first + choose(source.count, wanted, generator)
        return clips.repeat(self.crops, axis=0)

    def dense(self, count: int, wanted: int, generator: torch.Generator) -> np.ndarray:
        """Clips (K, T) of a video of ``count`` frames, see ``dense``."""
        if self.random:
            free = max(count - self.num_frames * self.frame_step, 1)
            start = int(torch.randint(free, (), generator=generator))
            return np.stack([dense_clip(count, self.num_frames, self.frame_step, start)] * wanted)
        if wanted == 1:
            return dense_clip(count, self.num_frames, self.frame_step)[None]
        return dense_views(count, self.num_frames, self.frame_step, wanted)

    def segments(self, count: int, wanted: int, generator: torch.Generator) -> np.ndarray:
        """Clips (K, T) of a video of ``count`` frames, see ``segments``."""
        if self.random:
            offsets = torch.randint(max(count // self.num_frames, 1), (self.num_frames,), generator=generator)
            return np.stack([segment_clip(count, self.num_frames, offsets.numpy())] * wanted)
        if wanted == 1:
            return segment_clip(count, self.num_frames)[None]
        return segment_views(count, self.num_frames, wanted)


class SideCrop(ClipTransform):
    """One of several crops that lie evenly along the longer side of a frame, from one end to the other.

    Three of them after ``resize=short_side`` are the spatial views of VideoMAE and VideoMAE V2.

    Args:
        size: Height and width of the result in pixels.
        resize: See `ClipTransform`.
        place: Which of them, from 0: the one at the left or at the top.
        places: How many there are, at least 2.
    """

    def __init__(self, size: tuple[int, int], resize: str, place: int, places: int) -> None:
        super().__init__(size, resize, "center")
        self.place, self.places = place, places

    def draw_crop(self, height: int, width: int, generator: torch.Generator) -> View:
        middle = super().draw_crop(height, width, generator)
        top, left = (self.place * free // (self.places - 1) for free in (height - middle.height, width - middle.width))
        return replace(middle, top=top, left=left)


class LabelledClips(Clips):
    """Clips whose samples have the ``class_id`` of their video, int64 (B,), and in evaluation several views.

    Args:
        sources: The videos.
        sampling: Which clips are made of them, and in how many crops they are seen.
        transforms: What happens to a clip in each of the crops.
        class_ids: Class of each video, by name.
        **clips: Further arguments of `Clips`.
    """

    def __init__(
        self,
        sources: Sequence[Source | UnreadableSource],
        sampling: ViewSampling,
        transforms: Sequence[ClipTransform],
        class_ids: Mapping[str, int],
        **clips: Any,
    ) -> None:
        super().__init__(sources, sampling, transforms[0], **clips)
        self.transforms, self.class_ids = list(transforms), dict(class_ids)

    def transform_of(self, clip: int) -> ClipTransform:
        return self.transforms[clip % len(self.transforms)]

    def __getitem__(self, visit: Visit | int) -> dict[str, Any]:
        """Make the clips of one visit of a video, see `Clips`; ``row`` counts moments, ``view`` crops."""
        sample, views = super().__getitem__(visit), len(self.transforms)
        places = sample["row"]
        return sample | {
            "row": places // views,
            "rows": sample["rows"] // views,
            "view": places % views,
            "views": torch.full_like(places, views),
            "class_id": torch.tensor([self.class_ids[name] for name in sample["name"]]),
        }


def collate_labelled(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Join the clips of several visits to a batch, as `collate_clips` does, with ``class_id`` int64 (B,)."""
    return collate_clips(samples) | {"class_id": torch.cat([sample["class_id"] for sample in samples])}
