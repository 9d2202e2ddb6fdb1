"""Joins the faces of consecutive frames to tracks."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from datamodules.faces.overlap import overlaps


@dataclass
class FaceTrack:
    """One face in the frames in which it was found.

    Attributes:
        number: Counted from 1 in the order in which tracks begin.
        frames: Frame numbers, increasing; those in which the face was missed are not there.
        boxes: A box xyxy for each of them.
    """

    number: int
    frames: list[int] = field(default_factory=list)
    boxes: list[NDArray[np.floating]] = field(default_factory=list)


class FaceTracker:
    """Follows faces by the overlap of their boxes from frame to frame.

    In each frame the track and the box that overlap most are joined first. A track ends when its face is missed for
    too long, or when the scene is cut.

    Args:
        min_overlap: Intersection over union with the last box of the track that a box has at least.
        max_missed: Consecutive frames in which the face may be missed.
        min_frames: Frames in which a face was found; tracks with fewer are left out.
    """

    def __init__(self, min_overlap: float = 0.5, max_missed: int = 10, min_frames: int = 10) -> None:
        self.min_overlap, self.max_missed, self.min_frames = min_overlap, max_missed, min_frames
        self._running: list[FaceTrack] = []
        self._ended: list[FaceTrack] = []
        self._begun = 0

    def follow(self, frame: int, boxes: NDArray[np.floating], cut: bool = False) -> None:
        """Take the boxes of the next frame.

        Args:
            frame: Its number, larger than the last one.
            boxes: (n, 4) or more columns, xyxy.
            cut: Whether a scene begins with it.
        """
        self._end(lambda track: cut or frame - track.frames[-1] > self.max_missed + 1)
        free = set(range(len(boxes)))
        if self._running and free:
            last = np.stack([track.boxes[-1] for track in self._running])
            shared = overlaps(last, boxes)
            waiting = set(range(len(self._running)))
            for place in np.argsort(-shared, axis=None, kind="stable").tolist():
                track, box = divmod(place, len(boxes))
                if shared[track, box] < self.min_overlap:
                    break
                if track in waiting and box in free:
                    waiting.remove(track)
                    free.remove(box)
                    self._add(self._running[track], frame, boxes[box])
        for box in sorted(free):
            self._begun += 1
            self._running.append(FaceTrack(self._begun))
            self._add(self._running[-1], frame, boxes[box])

    def tracks(self) -> list[FaceTrack]:
        """End all tracks; return those that are long enough in the order of their beginning, numbered anew from 1."""
        self._end(lambda track: True)
        kept = sorted(self._ended, key=lambda track: track.number)
        return [FaceTrack(number, track.frames, track.boxes) for number, track in enumerate(kept, start=1)]

    def _add(self, track: FaceTrack, frame: int, box: NDArray[np.floating]) -> None:
        track.frames.append(frame)
        track.boxes.append(box[:4])

    def _end(self, is_over: Callable[[FaceTrack], bool]) -> None:
        over = [track for track in self._running if is_over(track)]
        self._running = [track for track in self._running if not is_over(track)]
        self._ended += [track for track in over if len(track.frames) >= self.min_frames]
