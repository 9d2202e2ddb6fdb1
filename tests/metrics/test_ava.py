"""Frame mAP equals what the protocol says box by box; the metric equals it over key frames, its groups and its file."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from metrics.ava import FrameMAP
from metrics.ava_files import KeyFrames, average_precisions_of_files, read_boxes
from metrics.ava_order import BoxRows, official_order
from metrics.ava_precision import CAPS, average_precisions, key, mean, summary
from metrics.exact import EvaluationError
from tests.metrics import frame_map_by_loops as loops

IDS = [3, 1, 7, 20]
CLASSES = [(3, "walk", "pose"), (1, "bend/bow (at the waist)", "pose"), (7, "read", "object"), (20, "talk", "person")]


def drawn(seed: int, levels: int, frames: int = 12, rows: int = 420) -> tuple[list[loops.Row], list[loops.Row]]:
    """True and detected rows with near, equal and degenerate boxes, foreign classes, crowded and empty frames."""
    random = np.random.default_rng(seed)
    truth, detections = [], []
    for _ in range(rows // 4):
        corner, side = random.integers(0, 5, 2) / 10, random.integers(1, 5, 2) / 10
        box = (*corner.tolist(), *(corner + side).tolist())
        truth.append(
            (int(random.integers(frames - 1)), int(random.choice([*IDS[:3], 50])), box, float(random.integers(3)))
        )
    for _ in range(rows):
        frame, label, box, _ = truth[random.integers(len(truth))]
        moved = np.array(box) + random.integers(-1, 2, 4) / 20 * random.integers(0, 2)
        frame = frames - 1 if random.random() < 0.05 else 0 if random.random() < 0.2 else frame
        label = int(random.choice([*IDS, 50])) if random.random() < 0.3 else label
        detections.append((frame, label, tuple(moved.tolist()), int(random.integers(1, levels + 1)) / levels))
    return truth, detections


def rows_of(rows: list[loops.Row]) -> BoxRows:
    frame, label, box, score = zip(*rows, strict=True)
    return BoxRows(np.array(frame), np.array(label), np.array(box, dtype=float), np.array(score, dtype=float))


@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("levels", [1, 4, 50, 10**6])
@pytest.mark.parametrize("seed", range(5))
def test_precisions_equal_those_counted_box_by_box_with_and_without_ties(cap: str, levels: int, seed: int) -> None:
    truth, detections = drawn(seed, levels)
    expected = loops.average_precisions(truth, detections, IDS, CAPS[cap] or 0)
    found = average_precisions(rows_of(truth), rows_of(detections), IDS, cap)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert math.isnan(found[3]) and 0 < mean(found) < 1


def test_the_cap_of_a_frame_makes_a_difference_and_so_do_ties() -> None:
    truth, detections = drawn(0, 4)
    values = [average_precisions(rows_of(truth), rows_of(detections), IDS, cap) for cap in CAPS]
    assert mean(values[0]) != mean(values[1])
    assert mean(average_precisions(rows_of(truth), rows_of(detections[::-1]), IDS, "none")) != mean(values[1])


@pytest.mark.parametrize("seed", range(5))
def test_rows_at_the_cap_are_kept_as_the_heap_keeps_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = [(0, int(label), BOX, int(random.integers(1, 3)) / 2) for label in random.permutation(80)]  # no class twice
    kept = [(label, score) for score, label, _ in loops.listed(rows, set(range(80)), 50)[0]]
    found = rows_of(rows).take(official_order(rows_of(rows), 50))
    assert list(zip(found.label.tolist(), found.score.tolist(), strict=True)) == kept


BOX, APART = (0.25, 0.25, 0.5, 0.75), (0.375, 0.25, 0.625, 0.75)
HALF = (0.25, 0.25, 0.5, 0.5)  # overlaps BOX by a half
BESIDE = (0.28125, 0.25, 0.53125, 0.75)  # overlaps both by more than a half, BOX more


ONCE = {
    "an overlap of exactly a half is enough": ([(0, 3, HALF, 0.5)], 0.5),
    "a second detection of a box is wrong": ([(0, 3, BOX, 0.9), (0, 3, BOX, 0.8), (0, 3, APART, 0.7)], 5 / 6),
    "there is no second choice": ([(0, 3, BOX, 0.9), (0, 3, BESIDE, 0.8)], 0.5),
    "no detection is no precision": ([], 0.0),
    "a box without an area does not count": ([(0, 3, (0.75, 0.25, 0.25, 0.5), 0.9), (0, 3, BOX, 0.1)], 0.5),
    "a detection in a frame without a true box is wrong": ([(5, 3, BOX, 0.9), (0, 3, BOX, 0.1)], 0.25),
    "rows of other classes do not count": ([(0, 99, BOX, 0.9), (0, 3, BOX, 0.1)], 0.5),
}


@pytest.mark.parametrize(("detections", "expected"), ONCE.values(), ids=ONCE)
def test_a_true_box_is_found_once(detections: list, expected: float) -> None:
    truth = [(0, 3, BOX, 0), (0, 3, APART, 0)]
    rows = rows_of([*detections, (0, 99, BOX, 1)])
    assert average_precisions(rows_of(truth), rows, [3]).tolist() == [pytest.approx(expected, abs=1e-15)]


@pytest.mark.parametrize(
    ("truth", "detection", "message"),
    [
        (
            (0, 3, (0.5, 0.1, 0.3, 0.5), 0),
            (0, 3, BOX, 0.5),
            r"true boxes: expected x1 <= x2 .* found \[0.5, .* frame 0",
        ),
        ((0, 3, BOX, 0), (4, 3, BOX, math.nan), "detections: expected finite .* score nan in frame 4, class 3"),
        ((0, 3, BOX, 0), (4, 3, (0, 0, math.inf, 1), 0.5), r"detections: expected finite .* found box \[0.0, 0.0, inf"),
    ],
)
def test_numbers_that_cannot_be_compared_are_refused(truth: tuple, detection: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        average_precisions(rows_of([truth]), rows_of([detection]), [3])


def test_means_are_over_classes_with_true_boxes_and_named_after_groups() -> None:
    values = np.array([0.5, math.nan, 0.75, math.nan])
    assert summary(values, CLASSES) == {
        "map": 0.625,
        "map_pose": 0.5,
        "map_object": 0.75,
        "ap_walk": 0.5,
        "ap_read": 0.75,
    }
    assert key("bend/bow (at the waist)") == "bend_bow_at_the_waist"


def key_frames(count: int = 9, ties: bool = False) -> list[tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]]:
    """Detections and truth of key frames, some without the ones, some without the others."""
    generator = torch.Generator().manual_seed(0)
    frames = []
    for number in range(count):
        detected, true = number % 4 * 2, number % 3
        corner = torch.rand(8, 2, generator=generator, dtype=torch.float64) * 0.5
        boxes = torch.cat([corner, corner + 0.1 + 0.4 * torch.rand(8, 2, generator=generator)], 1)
        scores = torch.rand(detected, len(CLASSES), generator=generator)
        scores = (scores * 3).round() / 3 if ties else scores
        targets = (torch.rand(true, len(CLASSES), generator=generator) < 0.4).float()
        targets[:, 3] = 0
        near = boxes[:detected] + (torch.rand(detected, 4, generator=generator) - 0.5) * 0.05
        frames.append(((near, scores), (boxes[:true], targets)))
    return frames


def evaluated(frames: list, order: list[int], size: int, **options: object) -> tuple[FrameMAP, dict[str, Tensor]]:
    metric = FrameMAP(CLASSES, **options)
    metric.expect(len(frames))
    for start in range(0, len(order), size):
        some = order[start : start + size]
        metric.update(torch.tensor(some), [frames[each][0] for each in some], [frames[each][1] for each in some])
    return metric, metric.compute()


def as_rows(frames: list, part: int) -> list[loops.Row]:
    return [
        (number, label, tuple(box), value if part == 0 else float(person))
        for number, frame in enumerate(frames)
        for person, (box, values) in enumerate(zip(*(each.tolist() for each in frame[part]), strict=True))
        for (label, _, _), value in zip(CLASSES, values, strict=True)
        if part == 0 or value
    ]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("cap", CAPS)
def test_the_metric_of_key_frames_equals_the_protocol_in_any_batches_and_order(cap: str, ties: bool) -> None:
    frames = key_frames(30, ties)
    expected = loops.average_precisions(as_rows(frames, 1), as_rows(frames, 0), IDS, CAPS[cap] or 0)
    values = []
    for order, size in ((list(range(30)), 4), (list(range(30))[::-1], 1), ([*range(0, 30, 2), *range(1, 30, 2)], 30)):
        metric, found = evaluated(frames, order, size, cap=cap)
        np.testing.assert_allclose(metric.precisions, expected, rtol=0, atol=1e-12)
        assert found["map"].item() == mean(metric.precisions) and "ap_talk" not in found
        assert list(found) == ["map", "map_pose", "map_object", "ap_walk", "ap_bend_bow_at_the_waist", "ap_read"]
        values.append(found)
    assert values[0] == values[1] == values[2]


@pytest.mark.parametrize("ties", [False, True])
def test_the_file_of_results_gives_the_same_numbers(ties: bool, tmp_path: Path) -> None:
    frames = key_frames(30, ties)
    metric, _ = evaluated(frames, list(range(30)), 5)
    seconds = {number: (f"video_{number // 10}", 902 + number % 10) for number in range(30)}
    metric.write_results(tmp_path / "detections.csv", seconds)
    truth = [(*seconds[frame], *box, label, person) for frame, label, box, person in as_rows(frames, 1)]
    (tmp_path / "truth.csv").write_text("".join(f"{','.join(map(str, row))}\n" for row in truth))
    found = average_precisions_of_files(tmp_path / "truth.csv", tmp_path / "detections.csv", IDS)
    assert np.array_equal(found, metric.precisions, equal_nan=True)
    assert len(read_boxes(tmp_path / "detections.csv", KeyFrames())) == sum(len(f[0][0]) for f in frames) * len(IDS)


def test_true_boxes_are_counted_by_class() -> None:
    frames = key_frames(30)
    metric, _ = evaluated(frames, list(range(30)), 5)
    assert metric.true_boxes.tolist() == sum(frame[1][1].sum(0) for frame in frames).tolist()
    assert metric.evaluator == "frame mAP@0.5 of 4 classes, the best 50 rows of a key frame (cap=official)"


def test_boxes_with_one_label_of_a_group_are_counted_by_what_is_found_on_them() -> None:
    truth = torch.tensor([BOX, APART, (0.4, 0.8, 0.5, 0.9), BOX])
    targets = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]]).float()
    detected = torch.tensor([APART, BOX, (0.24, 0.25, 0.5, 0.75)])
    scores = torch.tensor([[0.9, 0.2, 1, 1], [0.6, 0.5, 1, 1], [0.1, 0.2, 1, 1]])
    elsewhere = ((torch.tensor([BOX]), torch.tensor([[0.0, 1, 0, 0]])), (torch.zeros(0, 4), torch.zeros(0, 4)))
    metric, _ = evaluated([((detected, scores), (truth, targets)), elsewhere], [0, 1], 2)
    names, counts = metric.confusion("pose")
    assert names == ["walk", "bend/bow (at the waist)"]
    assert counts.tolist() == [[1, 0, 0], [1, 0, 1]]
    assert metric.confusion("object") == (["read"], pytest.approx(np.array([[1, 0]])))
    assert metric.confusion("weather")[1].shape == (0, 1)


def test_boxes_find_the_true_box_closest_to_them() -> None:
    metric = FrameMAP(CLASSES)
    assert metric.match(torch.tensor([APART, HALF, (0.0, 0, 1, 1)]), torch.tensor([BOX, APART])) == [1, 0, -1]
    assert metric.match(torch.tensor([BOX]), torch.zeros(0, 4)) == [-1]
    assert metric.match(torch.zeros(0, 4), torch.tensor([BOX])) == []


def test_an_evaluation_without_any_box_has_no_numbers() -> None:
    nothing = ((torch.zeros(0, 4), torch.zeros(0, 4)), (torch.zeros(0, 4), torch.zeros(0, 4)))
    metric, found = evaluated([nothing, nothing], [0, 1], 1)
    assert found == {} and np.isnan(metric.precisions).all()


def test_a_single_class_is_enough() -> None:
    metric = FrameMAP([(1, "wave", "")])
    metric.expect(1)
    metric.update(
        torch.tensor([0]), [(torch.tensor([BOX]), torch.ones(1, 1))], [(torch.tensor([BOX]), torch.ones(1, 1))]
    )
    assert metric.compute() == {"map": torch.tensor(1.0).double(), "ap_wave": torch.tensor(1.0).double()}


def test_a_key_frame_that_was_left_out_is_named() -> None:
    with pytest.raises(EvaluationError, match="1 of 9 samples were not evaluated: 4;"):
        evaluated(key_frames(), [0, 1, 2, 3, 5, 6, 7, 8], 2)


def test_labels_that_are_neither_true_nor_false_are_refused() -> None:
    frames = key_frames()
    frames[2][1][1][:] = 0.5
    with pytest.raises(ValueError, match=r"expected true labels of 0 or 1, found \[0.5, .* in sample 2"):
        evaluated(frames, list(range(9)), 3)


@pytest.mark.parametrize(
    ("classes", "options", "message"),
    [
        ([], {}, "found no class"),
        ([(1, "a", ""), (1, "b", "")], {}, "ids of their own, found 1 twice"),
        ([(1, "stand up", ""), (2, "stand/up", "")], {}, "found ap_stand_up twice"),
        (CLASSES, {"cap": "50"}, "cap: expected one of official, none, found '50'"),
    ],
)
def test_classes_that_cannot_be_told_apart_are_refused(classes: list, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FrameMAP(classes, **options)
