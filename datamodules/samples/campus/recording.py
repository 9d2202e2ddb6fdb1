"""Which videos a sample has, and how one of them is filmed, annotated and written in ShanghaiTech's layout."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datamodules.samples import making
from datamodules.samples.campus.detector import Detector
from datamodules.samples.campus.film import FPS, Shot, film
from datamodules.samples.campus.places import PLACES
from datamodules.samples.campus.story import TURNS
from datamodules.samples.encoding import Frame, through_codec, write_jpeg, write_json, write_video

VERSION = 2  # of the pictures; raise it when the generator draws something else
FOLDERS = ("training/videos", "testing/frames", "testing/test_frame_mask", "testing/anomaly_boxes", "regions")


@dataclass(frozen=True)
class Video:
    """A video of the sample.

    Args:
        name: ``<scene>_<number>``, as in the official data: three digits for normal videos, four for anomalous ones.
        scene: Number of the place, from 0.
        num_frames: Length.
        kind: Kind of its anomaly, None for a normal video of the training split.
    """

    name: str
    scene: int
    num_frames: int
    kind: str | None


@dataclass(frozen=True)
class Settings(making.Settings):
    """What a sample is made from.

    Args:
        seed: Seed.
        num_training: Normal videos.
        num_testing: Videos with anomalies.
        seconds: Length of the videos.
        size: Height and width in pixels.
        version: Version of the generator.
    """

    seed: int
    num_training: int
    num_testing: int
    seconds: float
    size: tuple[int, int]
    version: int = VERSION

    def videos(self) -> list[Video]:
        """All videos, spread evenly over the places, the normal ones first."""
        length = round(self.seconds * FPS)
        normal = [divmod(index, len(PLACES)) for index in range(self.num_training)]
        anomalous = [divmod(index, len(PLACES)) for index in range(self.num_testing)]
        return [
            *(Video(f"{scene + 1:02d}_{turn + 1:03d}", scene, length, None) for turn, scene in normal),
            # as long as the normal ones, lest the length tell them apart; the kinds take turns within a place
            *(
                Video(f"{scene + 1:02d}_{turn + 1:04d}", scene, length, TURNS[(scene + turn) % len(TURNS)])
                for turn, scene in anomalous
            ),
        ]


def record(folder: Path, video: Video, settings: Settings) -> None:
    """Film ``video`` and write its frames and annotations below ``folder``, whose `FOLDERS` exist."""
    shots = film(
        video.name,
        num_frames=video.num_frames,
        scene=video.scene,
        size=settings.size,
        seed=settings.seed,
        kind=video.kind,
    )
    detector = Detector(settings.size, np.random.default_rng([settings.seed, 3, *video.name.encode()]))
    reports: list[dict] = []
    boxes: list[list[list[int]]] = []

    def annotated() -> Iterator[Frame]:
        for number, shot in enumerate(shots):
            reports.append(detector.report(f"{number:03d}.jpg", shot.sightings))
            boxes.append(anomaly_boxes(shot))
            yield shot.image

    if video.kind is None:
        write_video(folder / "training" / "videos" / f"{video.name}.avi", annotated(), FPS)
    else:
        # The official test frames were taken from video files too. Without the detour through the codec, training and
        # test pictures would differ in their noise, and a detector could tell them apart by that alone.
        _write_test_video(folder / "testing", video, through_codec(annotated(), FPS), boxes)
    write_json(folder / "regions" / f"res_frcnn_{video.name}.json", {"results": reports})


def anomaly_boxes(shot: Shot) -> list[list[int]]:
    """Boxes x1, y1, x2, y2 of what is anomalous in a frame, in pixels, x2 and y2 exclusive."""
    return [list(sighting.box) for sighting in shot.sightings if sighting.kind is not None]


def _write_test_video(folder: Path, video: Video, frames: Iterator[Frame], boxes: list[list[list[int]]]) -> None:
    (folder / "frames" / video.name).mkdir()
    for number, frame in enumerate(frames):
        write_jpeg(folder / "frames" / video.name / f"{number:03d}.jpg", frame)
    mask = np.array([len(found) > 0 for found in boxes], np.uint8)
    np.save(folder / "test_frame_mask" / f"{video.name}.npy", mask)
    found = {f"{number:03d}": found for number, found in enumerate(boxes) if found}
    annotation = {"video": video.name, "kind": video.kind, "frames": found}
    write_json(folder / "anomaly_boxes" / f"{video.name}.json", annotation)
