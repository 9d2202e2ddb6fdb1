"""What a face tracker would make of a clip: boxes that tremble, gaps, tracks that end and begin anew."""

from dataclasses import dataclass, field

import numpy as np

from datamodules.samples.talking.film import Sighting

VISIBLE = 0.6  # share of a face that must be seen
SHORTEST = 8  # frames of a track
LOSS_EVERY = 120  # frames between two losses of a face
SHORT, LONG = (2, 9), (12, 41)  # frames of a loss; the track goes on behind a short one
LASTING = 0.3  # share of long losses
EMPTY = 0.25  # share of tracks with boxes without area
TREMBLE = 0.008  # of boxes, in their own size


@dataclass
class Track:
    """Boxes x, y, width, height in pixels by frame; frames of its gaps that were never looked at."""

    boxes: dict[int, tuple[float, float, float, float]] = field(default_factory=dict)
    unmapped: list[int] = field(default_factory=list)


def follow(face: list[Sighting], rng: np.random.Generator) -> list[Track]:
    """Tracks of one face.

    Args:
        face: It in every frame of the clip.
        rng: Draws what goes wrong.
    """
    tracks: list[Track] = []
    seen = np.array([sighting.visible >= VISIBLE for sighting in face])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], seen, [False]]).astype(int))).tolist()
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if end - begin >= SHORTEST:
            tracks += _follow_run(face, begin, end, rng)
    for track in tracks:
        if rng.random() < EMPTY:
            _spoil(track, rng)
    return tracks


def _follow_run(face: list[Sighting], begin: int, end: int, rng: np.random.Generator) -> list[Track]:
    """Tracks of a face that stays in view from frame ``begin`` to before ``end``."""
    current = Track()
    tracks, frame = [current], begin
    shift = np.zeros(4)
    loss = begin + rng.exponential(LOSS_EVERY)
    while frame < end:
        if frame >= loss and len(current.boxes) >= SHORTEST:
            lasting = rng.random() < LASTING
            missing = int(rng.integers(*(LONG if lasting else SHORT)))
            loss = frame + missing + rng.exponential(LOSS_EVERY)
            if end - frame - missing < SHORTEST:
                break
            if lasting:
                current = Track()
                tracks.append(current)
            else:
                current.unmapped += list(range(frame, frame + missing, 2))
            frame += missing
        shift = 0.7 * shift + TREMBLE * rng.standard_normal(4)
        x, y, width, height = face[frame].box
        current.boxes[frame] = (
            x + shift[0] * width,
            y + shift[1] * height,
            width * (1 + shift[2]),
            height * (1 + shift[3]),
        )
        frame += 1
    return tracks


def _spoil(track: Track, rng: np.random.Generator) -> None:
    """Leave some of the last boxes without area."""
    for frame in sorted(track.boxes)[-int(rng.integers(1, 3)) :]:
        x, y, width, height = track.boxes[frame]
        track.boxes[frame] = (x, y, 0.0, height) if rng.random() < 0.5 else (x, y, width, -1.0)
