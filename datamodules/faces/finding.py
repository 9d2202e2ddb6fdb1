"""Finds the face tracks of a whole video, which is decoded once and in order."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from datamodules.faces.cache import CHUNK_BYTES
from datamodules.faces.cuts import CutDetector
from datamodules.faces.detector import FaceDetector
from datamodules.faces.tracking import FaceTracker
from datamodules.reading import VideoFacts, open_video

FINDING_VERSION = 1  # to be raised when the same video and settings give other tracks
REPORT_EVERY_S = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FaceFinding:
    """How the face tracks of a video are found.

    Attributes:
        detector: Finds the faces of a frame.
        min_overlap: See `datamodules.faces.tracking.FaceTracker`.
        max_missed: Likewise.
        min_frames: Likewise.
        cut_threshold: See `datamodules.faces.cuts.CutDetector`.
    """

    detector: FaceDetector
    min_overlap: float = 0.5
    max_missed: int = 10
    min_frames: int = 10
    cut_threshold: float = 0.5

    def recipe(self) -> dict[str, Any]:
        """Everything that decides what is found, as plain values."""
        names = ("min_overlap", "max_missed", "min_frames", "cut_threshold")
        chosen = {name: getattr(self, name) for name in names}
        return {"version": FINDING_VERSION, **chosen, **self.detector.recipe()}

    def tracker(self) -> FaceTracker:
        """What follows the faces of one video."""
        return FaceTracker(self.min_overlap, self.max_missed, self.min_frames)

    def find(self, facts: VideoFacts, backend: str) -> Iterator[None]:
        """Find the tracks of a video; a generator that yields while it goes on, and returns them.

        Args:
            facts: The video.
            backend: How it is read.

        Raises:
            VideoReadError: When it cannot be read.
        """
        tracker, cuts = self.tracker(), CutDetector(self.cut_threshold)
        chunk, said = max(1, CHUNK_BYTES // (facts.height * facts.width * 3)), perf_counter()
        with open_video(facts, backend) as reader:
            for start in range(0, facts.frame_count, chunk):
                frames = reader.read(range(start, min(start + chunk, facts.frame_count)))
                faces = zip(self.detector.detect(frames), cuts.begins(frames), strict=True)
                for place, (boxes, cut) in enumerate(faces, start):
                    tracker.follow(place, boxes, bool(cut))
                if perf_counter() - said >= REPORT_EVERY_S:
                    said = perf_counter()
                    log.info("%s: faces looked for in %d of %d frames", facts.path.name, place + 1, facts.frame_count)
                yield
        return tracker.tracks()
