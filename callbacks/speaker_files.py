"""Who speaks when: the scores of the faces of every video, for programs and for people."""

import csv
import io
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from lightning import LightningModule, Trainer

from callbacks.speaker_tracks import SpeakerTrack, SpeakerWriter
from core.atomic import unlink, write_file

INDEX = "speakers.json"
AUDIBLE = "SPEAKING_AUDIBLE"  # in every row of predictions of AVA-ActiveSpeaker
SECONDS = 6  # decimals of times and boxes in JSON; scores are written as they are

log = logging.getLogger(__name__)


class SpeakerFiles(SpeakerWriter):
    """Write the scores of every video that is predicted on (`SpeakerWriter`), unrounded and not smoothed.

    ``<folder>/<video>.csv`` has a row for each box as in predictions for AVA-ActiveSpeaker, without a header: video,
    time in seconds, sides of the box in [0, 1], SPEAKING_AUDIBLE, face, score. ``<folder>/<video>.json`` has the same
    by face: frames, seconds, boxes, scores, and the segments in which it speaks. ``<folder>/<video>.rttm``, on demand,
    has the segments alone. ``<folder>/speakers.json`` comes last: all videos, the threshold and the checkpoint; where
    it is missing, a prediction was interrupted.

    Args:
        folder: Where the files go; shared by all processes.
        threshold: Score from which a face speaks: 0 for the margin of the two classes.
        pause_s: Pauses up to this length in seconds end no segment.
        rttm: Write segments as RTTM as well.

    Raises:
        ValueError: When ``predict_step`` returns something else.
    """

    def __init__(
        self,
        folder: str,
        threshold: float = 0.0,
        pause_s: Annotated[float, "pause_s >= 0"] = 0.2,
        rttm: bool = False,
    ) -> None:
        super().__init__(folder)
        if pause_s < 0:
            raise ValueError(f"callbacks.speaker_files.pause_s: expected at least 0 seconds, found {pause_s}")
        self.threshold, self.pause_s, self.rttm = threshold, pause_s, rttm

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "predict" and trainer.is_global_zero:
            unlink(self.folder / INDEX)

    def write(self, trainer: Trainer, videos: Mapping[str, list[SpeakerTrack]]) -> None:
        summary = {}
        for video, tracks in videos.items():
            self._put(f"{video}.csv", ava_rows(video, tracks))
            described = [self._described(track) for track in tracks]
            head = {"video": video, "threshold": self.threshold, "pause_s": self.pause_s}
            lines = ",\n".join(json.dumps(track) for track in described)
            self._put(f"{video}.json", f'{json.dumps(head)[:-1]}, "tracks": [\n{lines}\n]}}\n')
            if self.rttm:
                self._put(f"{video}.rttm", rttm_lines(video, described))
            spoken = sum(end - begin for track in described for begin, end in track["speaking"])
            summary[video] = {"faces": len(tracks), "speaking_s": round(spoken, SECONDS)}
        path = None if trainer.ckpt_path is None else str(trainer.ckpt_path)
        index = {"checkpoint": path, "threshold": self.threshold, "pause_s": self.pause_s, "videos": summary}
        self._put(INDEX, f"{json.dumps(index, indent=1)}\n")
        faces = sum(video["faces"] for video in summary.values())
        log.info("scores of %d faces in %d videos: %s", faces, len(videos), self.folder)

    def _described(self, track: SpeakerTrack) -> dict[str, Any]:
        return {
            "entity": track.entity,
            "speaking": speaking_segments(track, self.threshold, self.pause_s),
            "frames": track.frames.tolist(),
            "seconds": track.seconds.round(SECONDS).tolist(),
            "boxes": track.boxes.astype(np.float64).round(SECONDS).tolist(),
            "scores": list(map(shortest, track.scores)),
        }

    def _put(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, text.encode())


def ava_rows(video: str, tracks: Sequence[SpeakerTrack]) -> str:
    """Predictions in the form of AVA-ActiveSpeaker, by time, then by face."""
    rows = [
        [video, round(second, 3), *(f"{side:.6f}" for side in box), AUDIBLE, track.entity, shortest(score)]
        for track in tracks
        for second, box, score in zip(track.seconds.tolist(), track.boxes, track.scores, strict=True)
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted(rows, key=lambda row: row[1]))
    return text.getvalue()


def shortest(number: np.floating) -> float:
    """The number with the fewest digits that is this one in its own precision."""
    return float(str(number))


def speaking_segments(track: SpeakerTrack, threshold: float, pause_s: float) -> list[list[float]]:
    """When a face speaks.

    Args:
        track: Of one frame at least.
        threshold: Score from which it does.
        pause_s: A pause up to this length ends no segment; a face that is gone says nothing known, as in a pause.

    Returns:
        Begin and end of each segment in seconds; a frame lasts until the next one would come.
    """
    frame_s = 1 / track.fps
    segments: list[list[float]] = []
    for second in track.seconds[track.scores >= threshold].tolist():
        if segments and second - segments[-1][1] <= max(pause_s, frame_s / 2):
            segments[-1][1] = second + frame_s
        else:
            segments.append([second, second + frame_s])
    return [[round(side, SECONDS) for side in segment] for segment in segments]


def rttm_lines(video: str, tracks: Sequence[Mapping[str, Any]]) -> str:
    """Segments as Rich Transcription Time Marked, whose fields blanks separate."""
    segments = [(begin, end, track["entity"]) for track in tracks for begin, end in track["speaking"]]
    file = "_".join(Path(video).as_posix().split())
    return "".join(
        f"SPEAKER {file} 1 {begin:.3f} {end - begin:.3f} <NA> <NA> {'_'.join(entity.split())} <NA> <NA>\n"
        for begin, end, entity in sorted(segments)
    )
