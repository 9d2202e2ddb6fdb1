"""Films of videos with a box around every face, in the colour of how much it speaks."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Annotated

import numpy as np
from lightning import Trainer
from numpy.typing import NDArray

from callbacks.speaker_pictures import Face, draw_speakers
from callbacks.speaker_tracks import SpeakerTrack, SpeakerWriter
from callbacks.video_file import write_mp4
from core.atomic import replace_file

REPORT_EVERY_S = 30.0

log = logging.getLogger(__name__)


class SpeakerFilm(SpeakerWriter):
    """Draw ``<folder>/<video>.mp4`` for every video that is predicted on (`SpeakerWriter`), with its own sound.

    A face that speaks has a thick box. Its score is the mean over the frames around, for the eye alone.

    Works with datamodules that can show their videos again: ``shown(video)`` yields number, time in seconds and pixels,
    uint8 (H, W, 3), of each frame, ``heard(video)`` is the file with its sound, or None. With others nothing is drawn.

    Args:
        folder: Where the films go; shared by all processes, of which the first one draws.
        threshold: Score from which a face speaks.
        contrast: Distance from the threshold at which the colour is that of a face that surely speaks, or is silent.
        smoothing: Frames over which scores are averaged, the frame itself in the middle; odd.
        max_height: Films that would be higher, in pixels, are made smaller; None for never.

    Raises:
        ValueError: When an option is out of its range, or ``predict_step`` returns something else.
    """

    def __init__(
        self,
        folder: str,
        threshold: float = 0.0,
        contrast: Annotated[float, "contrast > 0"] = 2.0,
        smoothing: Annotated[int, "smoothing >= 1 and smoothing % 2 == 1"] = 5,
        max_height: Annotated[int | None, "max_height >= 2"] = 720,
    ) -> None:
        super().__init__(folder)
        if not contrast > 0:
            raise ValueError(f"callbacks.speaker_film.contrast: expected a positive number, found {contrast}")
        if smoothing < 1 or smoothing % 2 == 0:
            raise ValueError(f"callbacks.speaker_film.smoothing: expected an odd number of frames, found {smoothing}")
        if max_height is not None and max_height < 2:
            raise ValueError(f"callbacks.speaker_film.max_height: expected at least 2 pixels, found {max_height}")
        self.threshold, self.contrast, self.smoothing, self.max_height = threshold, contrast, smoothing, max_height

    def write(self, trainer: Trainer, videos: Mapping[str, list[SpeakerTrack]]) -> None:
        data = trainer.datamodule
        if not hasattr(data, "shown"):
            log.info("no films: %s does not show its videos again", type(data).__name__)
            return
        sources = data.feature_sources()
        for video, tracks in videos.items():
            path = self.folder / f"{video}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            frames = reported(self._drawn(data.shown(video), tracks), video, sources[video]["frames"])
            replace_file(path, partial(write_mp4, frames=frames, fps=sources[video]["fps"], sound=data.heard(video)))
            log.info("film: %s", path)

    def _drawn(
        self, frames: Iterator[tuple[int, float, NDArray[np.uint8]]], tracks: Sequence[SpeakerTrack]
    ) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        shown = [smoothed(track.scores, self.smoothing) - self.threshold for track in tracks]
        for number, seconds, pixels in frames:
            faces = []
            for track, scores in zip(tracks, shown, strict=True):
                place = int(np.searchsorted(track.frames, number))
                if place < len(track.frames) and track.frames[place] == number:
                    faces.append(Face(track.entity, track.boxes[place], float(scores[place])))
            yield seconds, draw_speakers(pixels, faces, self.contrast, self.max_height)


def smoothed(scores: NDArray[np.floating], length: int) -> NDArray[np.floating]:
    """Average over ``length`` values, the value itself in the middle; over those that are there at the ends."""
    window, half = np.ones(length), length // 2
    sums, counts = (np.convolve(values, window)[half : half + len(scores)] for values in (scores, np.ones(len(scores))))
    return sums / counts


def reported(frames: Iterator, video: str, total: int) -> Iterator:
    """Say now and then how far a film is."""
    said = perf_counter()
    for number, frame in enumerate(frames, start=1):
        if perf_counter() - said > REPORT_EVERY_S:
            said = perf_counter()
            log.info("film of %s: %d of %d frames", video, number, total)
        yield frame
