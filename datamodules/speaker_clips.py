"""The data set of face tracks with sound: one sample is a scene, or some tracks of like length."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from datamodules.clips import UnreadableSource
from datamodules.crops import draw, uniform
from datamodules.faces.augment import augmented
from datamodules.faces.cache import open_packed
from datamodules.frame_budget import CroppedVisit
from datamodules.loading import Visit, seeded
from datamodules.sound import at_level, mfcc, mix, sample_range
from datamodules.speaker_spans import Span
from datamodules.tracks import TrackTable, VoiceTable

UNKNOWN = -1
NO_FRAME = -1
ROWS_PER_FRAME = 4  # of sound
LOUDEST_DB = 5.0  # largest difference between a voice and the one that is laid over it (TaoRuijie/TalkNet-ASD)
PADDING = {"target": UNKNOWN, "voice": UNKNOWN, "frames": NO_FRAME}  # 0 for all others
WORDS = ("name", "entity")
NUMBERS = {"length": torch.int64, "index": torch.int64, "frame_size": torch.int64, "fps": torch.float64}


@dataclass(frozen=True)
class SpeakerSource:
    """A clip whose faces and sound are packed.

    Attributes:
        name: What it is called in batches.
        fps: Frames per second.
        num_frames: Frames of the clip.
        tracks: Its faces; short gaps are filled.
        voices: Who is heard in it; of other clips as well.
        faces: File of the packed faces, in the order of ``tracks``.
        sound: File of its packed sound; None for silence.
    """

    name: str
    fps: float
    num_frames: int
    tracks: TrackTable
    voices: VoiceTable
    faces: Path
    sound: Path | None

    @cached_property
    def num_faces(self) -> np.ndarray:
        """Annotated faces in each frame, int64 (num_frames,)."""
        return np.bincount(self.tracks.frame[self.tracks.annotated], minlength=self.num_frames)

    def hear(self, first: int, length: int) -> np.ndarray:
        """The sound under some frames, float32 (samples,) at 16 kHz; silence where there is none."""
        start, stop = sample_range(first, first + length, self.fps)
        samples = np.zeros(stop - start, np.float32)
        if self.sound is not None:
            found = open_packed(self.sound)[start:stop]
            samples[: len(found)] = found
        return samples


@dataclass(frozen=True)
class Listening:
    """How sound becomes coefficients.

    Attributes:
        level: ``int16`` or ``rms0.1``, see `datamodules.sound.at_level`.
        hop: ``exact`` or ``upstream``, see `datamodules.sound.mfcc`; ``upstream`` also repeats the first rows where
            sound is missing, as published.
    """

    level: str = "int16"
    hop: str = "exact"

    def __call__(self, samples: np.ndarray, num_frames: int, fps: float) -> np.ndarray:
        """Describe samples under frames, float32 (4T, 13)."""
        pad = "wrap" if self.hop == "upstream" else "zeros"
        return mfcc(at_level(samples, self.level), num_frames, fps, hop=self.hop, pad=pad).astype(np.float32)


@dataclass(frozen=True)
class Augmentation:
    """What training does to a sample.

    Attributes:
        faces: Whether a track may be mirrored, cropped or turned.
        other_voice: Probability that sound of another clip is laid over the sound.
    """

    faces: bool = True
    other_voice: float = 0.5


class SpeakerClips(Dataset[list[dict[str, Any]]]):
    """Groups of spans; what is random about a sample is a function of ``(seed, epoch, index)`` alone.

    Args:
        sources: The clips; those that cannot be read keep their place and have no span.
        spans: What the rows of batches are.
        groups: Places of the spans of each sample.
        listening: How sound becomes coefficients.
        seed: Seed of the run.
        augmentation: What training does; None for evaluation.
    """

    def __init__(
        self,
        sources: Sequence[SpeakerSource | UnreadableSource],
        spans: Sequence[Span],
        groups: Sequence[Sequence[int]],
        listening: Listening,
        seed: int,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.sources, self.spans, self.groups = list(sources), list(spans), [list(group) for group in groups]
        self.listening, self.seed, self.augmentation = listening, seed, augmentation

    def __len__(self) -> int:
        """Number of samples of the loader."""
        return len(self.groups)

    @property
    def num_clips(self) -> int:
        """Number of rows; their ``index`` counts from 0."""
        return len(self.spans)

    @property
    def lengths(self) -> list[int]:
        """Frames of each span."""
        return [span.length for span in self.spans]

    def __getitem__(self, visit: CroppedVisit | Visit | int) -> list[dict[str, Any]]:
        """Make the rows of a sample.

        Args:
            visit: (epoch, index), or the index alone for epoch 0; with a third number so many frames of each span are
                used, at a place that is drawn.

        Raises:
            VideoReadError: When packed faces or sound are gone.

        Returns:
            The keys of a batch (see `collate_speakers`) for each row by itself.
        """
        epoch, index, *length = visit if isinstance(visit, tuple) else (0, visit)
        generator = seeded(self.seed, epoch, index)
        heard: dict[tuple[int, int, int], tuple[np.ndarray, np.ndarray]] = {}
        rows = []
        for place in self.groups[index]:
            span = self.spans[place]
            first, count = span.first, span.length
            if length and length[0] < count:
                count = length[0]
                first += draw(span.length - count + 1, generator)
            key = (span.source, first, count)
            if key not in heard:  # faces of a scene hear the same
                heard[key] = self.hear(*key, generator)
            audio, voice = heard[key]
            rows.append({**self.look(span, first, count, generator), "audio": audio, "voice": voice, "index": place})
        return rows

    def hear(self, place: int, first: int, length: int, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The sound under some frames of a source, float32 (4T, 13), and whether somebody is heard, int64 (T,)."""
        source, frames = self.sources[place], np.arange(first, first + length)
        samples, voice = source.hear(first, length), source.voices.voice_at(source.name, frames)
        if self.augmentation is not None and uniform(generator) < self.augmentation.other_voice:
            other = self.elsewhere(place, generator)
            if other is not None:
                theirs = self.sources[other.source]
                samples = mix(samples, theirs.hear(other.first, length), LOUDEST_DB * (2 * uniform(generator) - 1))
                also = other.first + (np.arange(length) * theirs.fps / source.fps).astype(np.int64)
                voice = joined(voice, theirs.voices.voice_at(theirs.name, also))
        return self.listening(samples, length, source.fps), voice.astype(np.int64)

    def elsewhere(self, place: int, generator: torch.Generator) -> Span | None:
        """A span of another source; None when there is none."""
        here = np.searchsorted(self._source_of, [place, place + 1])
        others = len(self.spans) - int(here[1] - here[0])
        if not others:
            return None
        drawn = draw(others, generator)
        return self.spans[drawn if drawn < here[0] else drawn + int(here[1] - here[0])]

    @cached_property
    def _source_of(self) -> np.ndarray:
        return np.array([span.source for span in self.spans])  # increasing

    def look(self, span: Span, first: int, length: int, generator: torch.Generator) -> dict[str, Any]:
        """The faces of a span, or of a part of it, and what is known of them."""
        source = self.sources[span.source]
        start, stop = span.start + np.searchsorted(source.tracks.frame[span.start : span.stop], [first, first + length])
        tracks = source.tracks.take(slice(start, stop))
        faces = np.array(open_packed(source.faces)[start:stop])
        if self.augmentation is not None and self.augmentation.faces:
            faces = augmented(faces, generator)
        at, frames = tracks.frame - first, np.arange(first, first + length)
        on = {"target": tracks.label, "annotated": tracks.annotated, "boxes": tracks.boxes, "width": tracks.width}
        clock = tracks.timestamp[0] - tracks.frame[0] / source.fps if len(tracks) else 0.0
        seconds = frames / source.fps + clock
        seconds[at] = tracks.timestamp
        row = {
            "faces": spread(faces, at, length),
            "valid": spread(np.ones(len(at), bool), at, length),
            **{key: spread(values, at, length, PADDING.get(key, 0)) for key, values in on.items()},
            **{"frames": frames, "seconds": seconds, "faces_in_frame": source.num_faces[first : first + length]},
        }
        return row | {
            **{"length": length, "scene": span.scene, "fps": source.fps},
            "frame_size": [int(source.tracks.frame_h[span.start]), int(source.tracks.frame_w[span.start])],
            **{"name": source.name, "entity": str(source.tracks.entity_id[span.start])},
        }


DTYPES = {
    "faces": torch.uint8,
    "audio": torch.float32,
    "target": torch.int64,
    "voice": torch.int64,
    "valid": torch.bool,
    "annotated": torch.bool,
    "frames": torch.int64,
    "seconds": torch.float64,
    "boxes": torch.float32,
    "width": torch.float32,
    "faces_in_frame": torch.int64,
}


def spread(values: np.ndarray, at: np.ndarray, length: int, filling: float = 0) -> np.ndarray:
    """Put values, (n, ...), at their places among ``length``, and a filling between."""
    if len(at) == length:
        return values
    found = np.full((length, *values.shape[1:]), filling, values.dtype)
    found[at] = values
    return found


def joined(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether somebody is heard in either of two sounds: 1 in one, 0 in both not, -1 otherwise."""
    silent = (one == 0) & (other == 0)
    return np.where((one == 1) | (other == 1), 1, np.where(silent, 0, UNKNOWN))


def collate_speakers(samples: Sequence[list[dict[str, Any]]]) -> dict[str, Any]:
    """Join the rows of several samples to a batch, which is filled up to its longest row.

    Returns:
        The batch of `datamodules.speakers.Speakers`.
    """
    rows = [row for sample in samples for row in sample]
    longest = max(row["length"] for row in rows)
    batch: dict[str, Any] = {}
    for key, dtype in DTYPES.items():
        filled = longest * (ROWS_PER_FRAME if key == "audio" else 1)
        shape = (len(rows), filled, *rows[0][key].shape[1:])
        batch[key] = torch.full(shape, PADDING.get(key, 0), dtype=dtype)
        for place, row in zip(batch[key], rows, strict=True):
            place[: len(row[key])] = torch.from_numpy(np.ascontiguousarray(row[key]))
    batch |= {key: torch.tensor([row[key] for row in rows], dtype=dtype) for key, dtype in NUMBERS.items()}
    batch |= {key: [row[key] for row in rows] for key in WORDS}
    places: dict[int, int] = {}
    batch["scene"] = torch.tensor([places.setdefault(row["scene"], len(places)) for row in rows])
    return batch
