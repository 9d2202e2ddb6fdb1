"""How well it is told who speaks: every number of active speaker detection by its own name."""

import math
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metrics.asd_files import write_ava, write_ego4d
from metrics.exact import ExactMetric
from metrics.face_scores import FaceScores, Track, speaking_ap
from metrics.ranking import interpolated_average_precision, precision_per_score
from metrics.speaker_detection import speaker_map, whole_pixels

FACES = {"1_face": (1, 1), "2_faces": (2, 2), "3_faces": (3, 3), "more_faces": (4, math.inf)}  # in the frame, from, to
WIDTHS = {"small": (-math.inf, 64), "medium": (64, 128), "large": (128, math.inf)}  # in pixels, from and below
STREAMS = ("audio", "video")
KEYS = {  # of a batch, by the columns that they fill
    **{"frame": "frames", "seconds": "seconds", "box": "boxes", "width": "width"},
    **{"faces": "faces_in_frame", "label": "target"},
}
NAME_BYTES = 6  # of the number that stands for a name: a whole number that float64 holds
EVALUATOR = (
    "ap: AVA-ActiveSpeaker AP of all annotated faces (Ego4D: mAP on annotated faces, map_gt); map50: Ego4D detection "
    "mAP at an overlap of 0.5 with annotated boxes as detections; faces of equal score are one step of a curve"
)


class SpeakerScores(ExactMetric):
    """Active speaker detection over all annotated faces of a split, exact over all processes.

    ======================================  ============================================================================
    ``ap``                                  AP of AVA-ActiveSpeaker (Roth et al., 2020), all frames of all videos in one
                                            list; papers call it mAP, and on Ego4D's annotated faces map_gt
    ``map50``                               detection mAP of the Ego4D benchmark (`metrics.speaker_detection`), with the
                                            annotated boxes as detections
    ``accuracy``                            share of the faces whose score is on the right side of the threshold
    ``ap_1_face``, ``ap_2_faces``, ...      ``ap`` of the faces in frames with so many annotated ones
    ``ap_small``, ``..medium``, ``..large``  ``ap`` of the faces below 64 pixels wide, below 128, and wider
    ``ap_audio``, ``ap_video``              ``ap`` by the heads of one stream
    ======================================  ============================================================================

    A sample is a row of a batch of face tracks (docs/design.md). What is measured are its frames with an annotated box
    and a known target. They are known by video, entity and frame, and counted once: a face that comes twice is refused.

    ``ap`` and ``map50`` are NaN, with a warning, where nobody speaks; other numbers that do not exist are left out.

    Args:
        threshold: Score above which a face is said to speak.

    Attributes:
        evaluator: What was measured, in a line to stand next to the numbers.
        faces: After ``compute``, what was measured; None before.
        curve: After ``compute``, recall and precision (K,) at each of the K scores that occur, the highest first.
    """

    def __init__(self, threshold: float = 0.0) -> None:
        one = dict.fromkeys(("video", "entity", "frame", "seconds", "width", "faces", "label", "score"), 1)
        super().__init__(**one, box=4, size=2, **{f"{stream}_score": 1 for stream in STREAMS})
        self.threshold, self.evaluator = threshold, EVALUATOR
        self.faces: FaceScores | None = None
        self.curve: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    def update(self, batch: Mapping[str, Any], score: Tensor, **streams: Tensor) -> None:
        """Add the rows of a batch.

        Args:
            batch: Face tracks, B rows of T frames (docs/design.md).
            score: (B, T), higher is more likely to speak.
            streams: By ``audio`` and ``video`` the scores (B, T) of the heads of one stream, where there are such.
        """
        measured = batch["annotated"] & (batch["target"] >= 0)
        counts = measured.sum(1)
        names = {key: torch.tensor([number_of(name) for name in batch[key]]) for key in ("name", "entity")}
        of_rows = {"video": names["name"], "entity": names["entity"], "size": batch["frame_size"]}
        of_frames = {
            **{name: batch[key] for name, key in KEYS.items()},
            **{f"{stream}_score": streams.get(stream, torch.full_like(score, math.nan)) for stream in STREAMS},
            "score": score,
        }
        counts_here = {name: counts.to(each.device) for name, each in of_rows.items()}
        columns = {name: each.repeat_interleave(counts_here[name], 0) for name, each in of_rows.items()}
        columns |= {name: each[measured.to(each.device)] for name, each in of_frames.items()}
        self.record(batch["index"], counts.to(batch["index"].device), **columns)

    def compute(self) -> dict[str, Tensor]:
        """Every number that exists, scalar float64 by name.

        Raises:
            EvaluationError: When not every sample was visited exactly once.
            ValueError: When a face was there twice, a label is neither 0 nor 1, or a score is not a number.
        """
        sample, columns = self.collect()
        self._require_faces(sample, columns)
        label, score = columns["label"], columns["score"]
        where = (columns[name].numpy() for name in ("seconds", "box", "size"))
        self.faces = FaceScores(
            sample.numpy(), columns["frame"].long().numpy(), *where, label.numpy() == 1, score.numpy()
        )
        self.curve = precision_recall(score, label)
        values = {
            "ap": speaking_ap(score, label),
            "map50": map50(columns["video"], self.faces),
            "accuracy": int(((score > self.threshold) == (label == 1)).sum()) / len(label) if len(label) else math.nan,
        }
        parts = {name: between(columns["faces"], first, last + 1) for name, (first, last) in FACES.items()}
        parts |= {name: between(columns["width"], *bounds) for name, bounds in WIDTHS.items()}
        parts = {f"ap_{name}": (score[part], label[part]) for name, part in parts.items()}
        for stream in STREAMS:
            by_stream = columns[f"{stream}_score"]
            parts[f"ap_{stream}"] = (by_stream, label if by_stream.isfinite().all() else label[:0])
        values |= {name: interpolated_average_precision(*part) for name, part in parts.items() if part[1].any()}
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}

    def write_ava(self, path: Path, tracks: Mapping[int, Track], header: bool = False) -> None:
        """Write the scores that were measured, see `metrics.asd_files.write_ava`."""
        write_ava(path, self.faces, tracks, header)

    def write_ego4d(self, folder: Path, tracks: Mapping[int, Track]) -> None:
        """Write the scores that were measured, see `metrics.asd_files.write_ego4d`."""
        write_ego4d(folder, self.faces, tracks, self.threshold)

    def _require_faces(self, sample: Tensor, columns: dict[str, Tensor]) -> None:
        label, score = columns["label"], columns["score"]
        for name, wrong in {"score": score.isnan(), "label": (label != 0) & (label != 1)}.items():
            if wrong.any():
                found = f"{columns[name][wrong][0].item():g} in sample {sample[wrong][0]}"
                raise ValueError(f"SpeakerScores: expected a number as score and 0 or 1 as label, found {name} {found}")
        keys = torch.stack([columns[name] for name in ("video", "entity", "frame")], 1)
        _, place, times = keys.unique(dim=0, return_inverse=True, return_counts=True)
        twice = times[place] > 1
        if twice.any():
            where = f"frame {int(columns['frame'][twice][0])} of sample {sample[twice][0]}"
            raise ValueError(
                f"SpeakerScores: {int(twice.sum())} faces of the same video, entity and frame, the first in {where}; "
                "every face is measured once"
            )


def number_of(name: str) -> int:
    """A whole number for a name: that of no other one, unless by a chance of 1 in 10^14 per pair of them."""
    return int.from_bytes(blake2b(name.encode(), digest_size=NAME_BYTES).digest(), "big")


def between(values: Tensor, first: float, end: float) -> Tensor:
    """Which values are ``first`` or above and below ``end``."""
    return (values >= first) & (values < end)


def map50(video: Tensor, faces: FaceScores) -> float:
    """Detection mAP of faces, of which each is in the video that ``video`` (N,) numbers."""
    frames = torch.stack([video, torch.from_numpy(faces.frame).double()], 1)
    frame = frames.unique(dim=0, return_inverse=True)[1].numpy()
    box = whole_pixels(faces.box, faces.size)
    return speaker_map(frame[faces.label], box[faces.label], frame, box, faces.score)


def precision_recall(scores: Tensor, labels: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recall and precision at each of the K scores that occur, the highest first; recall is 0 where nobody speaks."""
    positives, precision = precision_per_score(scores, labels)
    return (positives.cumsum(0) / positives.sum().clamp(min=1)).double().numpy(), precision.numpy()
