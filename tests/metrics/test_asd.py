"""Who speaks: numbers are those of plain loops over faces, ties are one step, and faces are known by their keys."""

import logging
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from metrics.asd import FACES, SpeakerScores, number_of
from metrics.exact import EvaluationError
from metrics.ranking import interpolated_average_precision
from metrics.speaker_detection import speaker_map, whole_pixels
from tests.tasks.speaker_batches import batch_of, rows_of

LENGTHS = [13, 7, 0, 9, 21, 4]


def tracks(ties: bool = False) -> tuple[dict, Tensor]:
    """Face tracks and scores that know something of their labels."""
    batch = batch_of(LENGTHS)
    noise = torch.rand(batch["target"].shape, generator=torch.Generator().manual_seed(1)).double()
    score = batch["target"].clamp(min=0) * 0.7 + noise * 2 - 1.4
    return batch, (score * 3).round() if ties else score


def evaluated(batch: dict, score: Tensor, **streams: Tensor) -> tuple[SpeakerScores, dict[str, float]]:
    metric = SpeakerScores()
    metric.expect(len(batch["index"]))
    metric.update(batch, score, **streams)
    return metric, {name: value.item() for name, value in metric.compute().items()}


def ap_by_loops(scores: list[float], labels: list[bool], positives: int) -> float:
    """All points of the curve after each score, precision made monotonous from the right."""
    points = [(0.0, 0.0)]
    for level in sorted(set(scores), reverse=True):
        said = [label for score, label in zip(scores, labels, strict=True) if score >= level]
        points.append((sum(said) / positives, sum(said) / len(said)))
    area = 0.0
    for place in range(1, len(points)):
        area += (points[place][0] - points[place - 1][0]) * max(precision for _, precision in points[place:])
    return area


def measured(batch: dict, *keys: str) -> list[list]:
    """Columns of the faces that count."""
    faces = batch["annotated"] & (batch["target"] >= 0)
    return [batch[key][faces].tolist() for key in keys]


# Numbers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", [False, True])
def test_the_ap_is_that_of_annotated_faces_whose_target_is_known(ties: bool) -> None:
    batch, score = tracks(ties)
    labels, scores = measured(batch | {"score": score}, "target", "score")
    _, found = evaluated(batch, score)
    assert found["ap"] == pytest.approx(ap_by_loops(scores, [label == 1 for label in labels], sum(labels)), abs=1e-12)
    assert 0 < found["ap"] < 1
    other = score.where(batch["annotated"] & (batch["target"] >= 0), 99.0)
    assert evaluated(batch, other)[1] == found


def test_tied_faces_have_the_least_ap_of_any_order() -> None:
    labels = torch.tensor([1, 0, 1, 0, 1])
    tied = interpolated_average_precision(torch.tensor([1.0, 0.5, 0.5, 0.5, 0.0]), labels)
    worst = interpolated_average_precision(-torch.arange(5.0), torch.tensor([1, 0, 0, 1, 1]))
    best = interpolated_average_precision(-torch.arange(5.0), torch.tensor([1, 1, 0, 0, 1]))
    assert tied == worst < best


def test_accuracy_is_the_share_on_the_right_side_of_the_threshold() -> None:
    batch, score = tracks()
    labels, scores = measured(batch | {"score": score}, "target", "score")
    for threshold in (0.0, 0.4):
        metric = SpeakerScores(threshold)
        metric.expect(len(LENGTHS))
        metric.update(batch, score)
        right = [(value > threshold) == (label == 1) for value, label in zip(scores, labels, strict=True)]
        assert metric.compute()["accuracy"] == pytest.approx(sum(right) / len(right))


@pytest.mark.parametrize(
    ("name", "key", "chosen"),
    [
        ("ap_1_face", "faces_in_frame", lambda faces: faces == 1),
        ("ap_3_faces", "faces_in_frame", lambda faces: faces == 3),
        ("ap_more_faces", "faces_in_frame", lambda faces: faces > 3),
        ("ap_small", "width", lambda width: width < 64),
        ("ap_medium", "width", lambda width: 64 <= width < 128),
        ("ap_large", "width", lambda width: width >= 128),
    ],
)
def test_parts_are_measured_by_themselves(name: str, key: str, chosen: object) -> None:
    batch, score = tracks()
    batch["faces_in_frame"] = batch["faces_in_frame"] * 2 - 1  # 1, 3 or 5
    batch["width"][:, :6] = torch.tensor([64.0, 128, 127.9, 63.9, 128, 64])
    labels, scores, values = measured(batch | {"score": score}, "target", "score", key)
    part = [(s, label == 1) for s, label, value in zip(scores, labels, values, strict=True) if chosen(value)]
    scores, labels = map(list, zip(*part, strict=True))
    _, found = evaluated(batch, score)
    assert found[name] == pytest.approx(ap_by_loops(scores, labels, sum(labels)), abs=1e-12)
    assert "ap_2_faces" not in found and set(FACES) == {"1_face", "2_faces", "3_faces", "more_faces"}


def test_streams_have_their_own_ap_where_there_are_such() -> None:
    batch, score = tracks()
    _, found = evaluated(batch, score, video=score * 2, audio=-score)
    assert found["ap_video"] == found["ap"] > found["ap_audio"]
    assert not {"ap_audio", "ap_video"} & evaluated(batch, score)[1].keys()


def test_the_curve_and_the_faces_are_kept_for_pictures_and_files() -> None:
    batch, score = tracks()
    metric, found = evaluated(batch, score)
    recall, precision = metric.curve
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    assert (np.diff(recall, prepend=0) * highest).sum() == pytest.approx(found["ap"]) and recall[-1] == 1
    counts = (batch["annotated"] & (batch["target"] >= 0)).sum(1)
    assert np.bincount(metric.faces.sample, minlength=len(LENGTHS)).tolist() == counts.tolist()
    [frames] = measured(batch, "frames")
    assert metric.faces.frame.tolist() == frames and metric.faces.size[0].tolist() == [480, 640]


# Keys -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", [False, True])
def test_no_order_of_rows_and_no_batches_change_a_bit(ties: bool) -> None:
    batch, score = tracks(ties)
    _, expected = evaluated(batch, score)
    for order in ([5, 4, 3, 2, 1, 0], [2, 0, 4, 1, 5, 3]):
        metric = SpeakerScores()
        metric.expect(len(LENGTHS))
        for part in torch.tensor(order).split(4):
            metric.update(rows_of(batch, part), score[part])
        assert {name: value.item() for name, value in metric.compute().items()} == expected


def test_a_face_that_comes_twice_is_refused_though_it_is_in_another_sample() -> None:
    batch, score = tracks()
    batch["name"], batch["entity"] = ["clip"] * 6, ["0", "0", "1", "2", "3", "4"]
    with pytest.raises(ValueError, match=r"faces of the same video, entity and frame, the first in frame \d+ of"):
        evaluated(batch, score)
    batch["frames"][1] += 100  # the next segment of the same track
    evaluated(batch, score)


def test_frames_of_different_videos_are_not_one_frame() -> None:
    batch, score = tracks()
    batch["boxes"][:] = torch.tensor([0.1, 0.1, 0.5, 0.5])
    apart, together = dict(batch, name=list("abcdef")), dict(batch, name=["clip"] * 6)
    found = [evaluated(each, score)[1] for each in (apart, together)]
    assert found[0]["map50"] == found[0]["ap"] == found[1]["ap"] > found[1]["map50"]


def test_names_have_numbers_that_float64_holds() -> None:
    numbers = [number_of(f"video {place}") for place in range(1000)]
    assert len(set(numbers)) == 1000 and all(int(float(number)) == number for number in numbers)


def test_a_row_that_was_left_out_is_named() -> None:
    batch, score = tracks()
    metric = SpeakerScores()
    metric.expect(len(LENGTHS))
    some = torch.tensor([0, 1, 2, 4, 5])
    metric.update(rows_of(batch, some), score[some])
    with pytest.raises(EvaluationError, match="1 of 6 samples were not evaluated: 3;"):
        metric.compute()


# What has no number ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [0, -1])
def test_without_a_face_that_speaks_there_is_a_warning_and_no_number(
    target: int, caplog: pytest.LogCaptureFixture
) -> None:
    batch, score = tracks()
    batch["target"] = torch.full_like(batch["target"], target)
    with caplog.at_level(logging.WARNING):
        _, found = evaluated(batch, score)
    assert math.isnan(found["ap"]) and math.isnan(found["map50"]) and set(found) == {"ap", "map50", "accuracy"}
    assert "and so the AP is not a number" in caplog.text and math.isnan(found["accuracy"]) == (target == -1)


def test_scores_that_are_no_numbers_are_refused() -> None:
    batch, score = tracks()
    score[batch["annotated"] & (batch["target"] >= 0)] = math.nan
    with pytest.raises(ValueError, match="expected a number as score and 0 or 1 as label, found score nan in sample 0"):
        evaluated(batch, score)


# Detection ------------------------------------------------------------------------------------------------------------


def detection_by_loops(truth: list, detections: list) -> float:
    """Cartucho's protocol with whole pixels; rows are (frame, box) and (frame, box, score)."""
    used, hits = set(), []
    for frame, box, score in sorted(detections, key=lambda row: -row[2]):
        best, place = 0.0, None
        for number, (other_frame, other) in enumerate(truth):
            width = min(box[2], other[2]) - max(box[0], other[0]) + 1
            height = min(box[3], other[3]) - max(box[1], other[1]) + 1
            if frame == other_frame and width > 0 and height > 0:
                sizes = [(each[2] - each[0] + 1) * (each[3] - each[1] + 1) for each in (box, other)]
                overlap = width * height / (sum(sizes) - width * height)
                if overlap > best:
                    best, place = overlap, number
        hits.append((score, best >= 0.5 and place not in used))
        used |= {place} if best >= 0.5 else set()
    scores, right = map(list, zip(*hits, strict=True))
    return ap_by_loops(scores, right, len(truth))


@pytest.mark.parametrize("seed", range(4))
def test_the_detection_map_is_that_of_a_loop_over_detections(seed: int) -> None:
    random = np.random.default_rng(seed)
    corner = random.integers(0, 60, (80, 2))
    box = np.concatenate([corner, corner + random.integers(0, 60, (80, 2))], 1).astype(float)
    frame, true = random.integers(0, 12, 80), random.random(80) < 0.4
    shifted = box + random.integers(-6, 7, (80, 1))
    score = random.random(80).round(2 if seed % 2 else 6)
    truth = list(zip(frame[true].tolist(), box[true].tolist(), strict=True))
    detections = list(zip(frame.tolist(), shifted.tolist(), score.tolist(), strict=True))
    found = speaker_map(frame[true], box[true], frame, shifted, score)
    assert found == pytest.approx(detection_by_loops(truth, detections), abs=1e-12) and 0 < found < 1
    order = random.permutation(80)
    assert speaker_map(frame[true], box[true], frame[order], shifted[order], score[order]) == found


def test_the_last_pixel_of_a_box_belongs_to_it() -> None:
    true, frame = np.array([[0.0, 0, 9, 9]]), np.array([3])
    half = np.array([[0.0, 0, 4, 9]])  # 5 of 10 columns, with the last one
    assert speaker_map(frame, true, frame, half, np.array([1.0])) == 1
    assert speaker_map(frame, true, frame, half - [0, 0, 0.01, 0], np.array([1.0])) == 0
    point = np.array([[4.0, 4, 4, 4]])
    assert speaker_map(frame, point, frame, point, np.array([1.0])) == 1


def test_boxes_that_were_whole_pixels_are_so_again() -> None:
    pixels = np.array([[3.0, 7, 1919, 1079], [101, 33, 202, 66]])
    shares = (pixels / np.array([1920, 1080, 1920, 1080])).astype(np.float32).astype(np.float64)
    size = np.array([[1080.0, 1920]] * 2)
    assert np.array_equal(whole_pixels(shares, size), pixels)
    assert np.array_equal(whole_pixels(shares + 0.6 / 1920, size)[:, ::2], pixels[:, ::2])


@pytest.mark.parametrize(
    ("box", "score", "message"),
    [
        ([5.0, 0, 4, 9], 1.0, r"detections: expected x1 <= x2 and y1 <= y2, found \[5\.0, 0\.0, 4\.0, 9\.0\]"),
        ([0.0, 0, 4, 9], math.nan, "expected scores that are numbers, found 1 that are not"),
    ],
)
def test_detections_that_cannot_be_measured_are_refused(box: list, score: float, message: str) -> None:
    frame = np.array([0])
    with pytest.raises(ValueError, match=message):
        speaker_map(frame, np.array([[0.0, 0, 9, 9]]), frame, np.array([box]), np.array([score]))
