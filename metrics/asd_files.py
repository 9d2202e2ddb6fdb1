"""Files of scored faces as the official evaluators of AVA-ActiveSpeaker and Ego4D read them."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from core.atomic import unlink, write_file
from metrics.ava_files import SHOWN, lines
from metrics.box_matching import Booleans, Floats, Integers
from metrics.face_scores import FaceScores, Track, speaking_ap
from metrics.speaker_detection import whole_pixels

SPEAKING = "SPEAKING_AUDIBLE"
LABELS = (SPEAKING, "NOT_SPEAKING", "SPEAKING_NOT_AUDIBLE")
COORDINATES = tuple(f"entity_box_{corner}" for corner in ("x1", "y1", "x2", "y2"))
HEADER = ("video_id", "frame_timestamp", *COORDINATES, "label", "entity_id", "score")
PER_SECOND = 1000  # times are compared as whole milliseconds
SAME_BOX = 1e-9  # of a side of the frame, as in the evaluator
DECIMALS = 6  # of coordinates in the official files


class FaceRows(NamedTuple):
    """Rows of a csv file of AVA-ActiveSpeaker.

    Attributes:
        key: Video, time in milliseconds and entity of each row.
        box: (N, 4) float64, in [0, 1] of the frame.
        speaks: (N,) bool; in a file of scores always true.
        score: (N,) float64; 0 in a file of annotations.
    """

    key: list[tuple[str, int, str]]
    box: Floats
    speaks: Booleans
    score: Floats


def write_ava(path: Path, faces: FaceScores, tracks: Mapping[int, Track], header: bool = False) -> None:
    """Write scores for the evaluator of AVA-ActiveSpeaker, without rounding them.

    Coordinates have six decimals, like those of the official files, with which the evaluator compares them.

    Args:
        path: The csv file; it is whole or not there.
        faces: What was measured.
        tracks: Video and entity of every sample.
        header: Begin with the names of the columns: the evaluator that TalkNet ships expects them, the official one
            does not.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")  # names may hold commas
    if header:
        table.writerow(HEADER)
    columns = (faces.sample, faces.seconds, faces.box, faces.score)
    for sample, seconds, box, score in zip(*(column.tolist() for column in columns), strict=True):
        video, entity = tracks[sample]
        corners = (f"{side:.{DECIMALS}f}" for side in box)
        table.writerow((video, round(seconds, 3), *corners, SPEAKING, entity, score))
    write_file(path, text.getvalue().encode())


def write_ego4d(folder: Path, faces: FaceScores, tracks: Mapping[int, Track], threshold: float = 0.0) -> None:
    """Write scores for the evaluation of EGO4D/audio-visual (``mAP_talknet/input/format_asd.py``).

    ``v.txt`` names the clips, ``val.txt`` their numbers in it, ``<number>.txt`` has the faces of a clip, each
    ``frame person x1 y1 x2 y2 score speaks``: whole pixels, a number for every track of the clip, and whether the score
    is above the threshold. That program prints scores with six decimals.

    Args:
        folder: Is made when it is missing; clips of an earlier evaluation that are not in this one are deleted.
        faces: What was measured.
        tracks: Clip and entity of every sample.
        threshold: Score above which a face is said to speak.
    """
    folder.mkdir(parents=True, exist_ok=True)
    measured = sorted({tracks[sample] for sample in set(faces.sample.tolist())})
    entities = {clip: [track for track in measured if track[0] == clip] for clip, _ in measured}
    clips, numbers = list(entities), {track: place for some in entities.values() for place, track in enumerate(some)}
    boxes = whole_pixels(faces.box, faces.size).astype(np.int64)
    rows: dict[str, list[tuple[int, int, str]]] = {clip: [] for clip in clips}
    columns = (faces.sample, faces.frame, boxes, faces.score)
    for sample, frame, box, score in zip(*(column.tolist() for column in columns), strict=True):
        number = numbers[tracks[sample]]
        cells = frame, number, *box, score, int(score > threshold)
        rows[tracks[sample][0]].append((frame, number, " ".join(map(str, cells))))
    for old in set(folder.glob("[0-9]*.txt")) - {folder / f"{number}.txt" for number in range(len(clips))}:
        unlink(old)
    for number, clip in enumerate(clips):
        write_lines(folder / f"{number}.txt", [line for *_, line in sorted(rows[clip])])
    write_lines(folder / "val.txt", [str(number) for number in range(len(clips))])
    write_lines(folder / "v.txt", clips)


def write_lines(path: Path, text: Sequence[str]) -> None:
    """Write lines; the file is whole or not there."""
    write_file(path, "".join(f"{line}\n" for line in text).encode())


def read_ava(path: Path, scored: bool) -> FaceRows:
    """Read annotations or scores, with a line of names or without; columns behind the official ones are passed over.

    Args:
        path: The csv file.
        scored: Whether it has scores.

    Raises:
        ValueError: When a line is something else, with its number, or a face is there twice.
    """
    columns = HEADER if scored else HEADER[:-1]
    widths = (len(columns), len(columns) + 2)  # TalkNet adds label_id and instance_id
    found = [row for row in lines(path, ",".join(columns), widths, lambda cells: face_of(cells, scored)) if row]
    keys = [key for key, *_ in found]
    twice = [key for key, times in Counter(keys).items() if times > 1]
    if twice:
        raise ValueError(f"{path}: {len(twice)} faces are there twice: {some_of(twice)}; expected every face once")
    box, speaks, score = (np.array([row[part] for row in found]) for part in (1, 2, 3))
    return FaceRows(keys, box.astype(float).reshape(-1, 4), speaks.astype(bool), score.astype(float))


def face_of(cells: Sequence[str], scored: bool) -> tuple[tuple[str, int, str], list[float], bool, float] | None:
    """Key, box, label and score of a line; None for the names of the columns."""
    if cells[0] == HEADER[0]:
        return None
    if cells[6] not in LABELS:
        raise ValueError(f"label: expected one of {', '.join(LABELS)}")
    key = cells[0], round(float(cells[1]) * PER_SECOND), cells[7]
    return key, [float(cell) for cell in cells[2:6]], cells[6] == SPEAKING, float(cells[8]) if scored else 0.0


def ap_of_files(truth: Path, scores: Path) -> float:
    """Measure a file of scores as `metrics.asd.SpeakerScores` measures ``ap``; rows are found by their keys.

    Args:
        truth: Annotations of AVA-ActiveSpeaker.
        scores: Scores of the same faces, in any order.

    Returns:
        In [0, 1]; NaN, with a warning, where nobody speaks.

    Raises:
        ValueError: When a file is no such file, a face is in one of them alone, or its boxes differ.
    """
    true, found = read_ava(truth, scored=False), read_ava(scores, scored=True)
    places = {key: place for place, key in enumerate(found.key)}
    true_keys, keys = set(true.key), set(places)
    for path, missing in ((scores, true_keys - keys), (truth, keys - true_keys)):
        if missing:
            problem = f"{len(missing)} faces of the other file are not in it: {some_of(missing)}"
            raise ValueError(f"{path}: {problem}; expected the same faces in both")
    order: Integers = np.array([places[key] for key in true.key], dtype=np.int64)
    apart = np.abs(found.box[order] - true.box).max(1, initial=0) > SAME_BOX
    if apart.any():
        place = int(apart.argmax())
        raise ValueError(
            f"{scores}: {spelled(true.key[place])}: expected the box {true.box[place].tolist()} of {truth}, found "
            f"{found.box[order][place].tolist()}"
        )
    return speaking_ap(torch.from_numpy(found.score[order]), torch.from_numpy(true.speaks))


def some_of(keys: Iterable[tuple[str, int, str]]) -> str:
    """The first of the keys of faces, in words."""
    return "; ".join(spelled(key) for key in sorted(keys)[:SHOWN])


def spelled(key: tuple[str, int, str]) -> str:
    """The key of a face in words."""
    return f"video {key[0]}, {key[1] / PER_SECOND:.10g} s, entity {key[2]}"
