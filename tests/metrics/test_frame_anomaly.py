"""Numbers of frame-level anomaly detection equal their definitions by counting, over the frames that they name."""

from itertools import chain, product

import pytest
import torch
from torch import Tensor

from metrics.exact import EvaluationError
from metrics.frame_anomaly import FrameAnomaly
from metrics.ranking import average_precision, pr_auc_trapezoid, roc_auc


def drawn(seed: int, length: int = 60, levels: int = 8) -> tuple[Tensor, Tensor]:
    """Scores with ties, and labels of both kinds."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (length,), generator=generator)
    labels[:2] = torch.tensor([0, 1])
    return (torch.randint(0, levels, (length,), generator=generator) / levels + labels * 0.1).double(), labels


def points(scores: list[float], labels: list[int]) -> list[tuple[int, int]]:
    """True and false positives at each threshold, the highest first, by counting."""
    thresholds = sorted(set(scores), reverse=True)
    above = [[label for score, label in zip(scores, labels, strict=True) if score >= each] for each in thresholds]
    return [(sum(called), len(called) - sum(called)) for called in above]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("levels", [1, 3, 1000])
def test_areas_equal_their_definitions(seed: int, levels: int) -> None:
    scores, labels = drawn(seed, levels=levels)
    positives, negatives = scores[labels == 1].tolist(), scores[labels == 0].tolist()
    pairs = [(high > low) + (high == low) / 2 for high, low in product(positives, negatives)]
    assert roc_auc(scores, labels) == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)
    curve = points(scores.tolist(), labels.tolist())
    steps = list(zip([(0, 0), *curve], curve, strict=False))
    precision = {point: point[0] / sum(point) if any(point) else 1.0 for point in [(0, 0), *curve]}
    average = sum((new[0] - old[0]) * precision[new] for old, new in steps) / len(positives)
    trapezoid = sum((new[0] - old[0]) * (precision[new] + precision[old]) / 2 for old, new in steps) / len(positives)
    assert average_precision(scores, labels) == pytest.approx(average, abs=1e-12)
    assert pr_auc_trapezoid(scores, labels) == pytest.approx(trapezoid, abs=1e-12)


def test_areas_at_the_ends_and_in_the_middle_are_exact() -> None:
    labels = torch.tensor([0, 0, 1, 1, 0])
    assert roc_auc(labels.double(), labels) == average_precision(labels.double(), labels) == 1.0
    assert roc_auc(-labels.double(), labels) == 0.0
    constant = torch.full((5,), 0.1, dtype=torch.float64)
    assert roc_auc(constant, labels) == 0.5
    assert average_precision(constant, labels) == 0.4


@pytest.mark.parametrize("area", [roc_auc, average_precision, pr_auc_trapezoid])
def test_areas_depend_on_the_order_of_scores_alone(area) -> None:
    scores, labels = drawn(3)
    order = torch.randperm(len(scores), generator=torch.Generator().manual_seed(1))
    assert area(scores[order], labels[order]) == area(scores, labels) == area(scores.exp() * 7, labels)


def test_areas_are_exact_for_as_many_frames_as_a_data_set_has() -> None:
    scores = torch.arange(400_000, dtype=torch.float64)
    labels = scores % 2  # each positive is above all negatives but those behind it
    pairs = 200_000**2
    assert roc_auc(scores, labels) == (pairs + 200_000) / (2 * pairs)


# By sample: scene, scores, labels. Sample 1 has no anomaly, 3 only anomalous frames, 4 no frames.
VIDEOS = {
    0: (1, [0.1, 0.7, 0.6, 0.2], [0, 0, 1, 1]),
    1: (1, [0.5, 0.3, 0.8], [0, 0, 0]),
    2: (12, [0.9, 0.4, 0.45], [1, 0, 1]),
    3: (-1, [0.2, 0.95], [1, 1]),
    4: (3, [], []),
}


def metric_of(*batches: list[int], expected: int | None = len(VIDEOS)) -> FrameAnomaly:
    metric = FrameAnomaly()
    metric.expect(expected)
    for batch in batches:
        scenes, scores, labels = zip(*(VIDEOS[index] for index in batch), strict=True)
        counts = torch.tensor([len(each) for each in scores])
        flat = [torch.tensor([*chain(*each)], dtype=torch.float64) for each in (scores, labels)]
        metric.update(torch.tensor(batch), counts, *flat, torch.tensor(scenes))
    return metric


def values(metric: FrameAnomaly) -> dict[str, float]:
    return {name: value.item() for name, value in metric.compute().items()}


def concatenated(*samples: int) -> tuple[Tensor, Tensor]:
    scores, labels = ([*chain(*(VIDEOS[index][part] for index in samples))] for part in (1, 2))
    return torch.tensor(scores, dtype=torch.float64), torch.tensor(labels)


def test_every_number_is_over_the_frames_that_its_name_says() -> None:
    found = values(metric_of([0, 1, 2, 3, 4]))
    expected = {
        "auc": roc_auc(*concatenated(0, 1, 2, 3)),
        "ap": average_precision(*concatenated(0, 1, 2, 3)),
        "pr_auc_trapezoid": pr_auc_trapezoid(*concatenated(0, 1, 2, 3)),
        "auc_macro": (roc_auc(*concatenated(0)) + roc_auc(*concatenated(2))) / 2,
        "ap_macro": (average_precision(*concatenated(0)) + average_precision(*concatenated(2))) / 2,
        "auc_anomalous": roc_auc(*concatenated(0, 2, 3)),
        "ap_anomalous": average_precision(*concatenated(0, 2, 3)),
        "auc_scene_01": roc_auc(*concatenated(0, 1)),
        "auc_scene_12": roc_auc(*concatenated(2)),
        "false_alarm": 3 / 6,  # 0.7, 0.5 and 0.8 of the normal frames
        "false_alarm_normal": 2 / 3,
        "false_alarm_anomalous": 1 / 3,
        "auc_video": 2 / 3,  # 0.7, 0.9 and 0.95 against 0.8
        "ap_video": (1 / 1 + 2 / 2 + 3 / 4) / 3,
    }
    assert found == pytest.approx(expected, abs=1e-15)
    assert len({round(value, 9) for value in expected.values()}) > len(expected) - 4  # or it would prove nothing


def test_the_order_of_videos_and_batches_changes_no_bit() -> None:
    expected = values(metric_of([0, 1, 2, 3, 4]))
    assert values(metric_of([4], [3, 0], [2], [1])) == values(metric_of([2, 1, 4, 3, 0])) == expected


@pytest.mark.parametrize(
    ("samples", "names"),
    [
        ([1], {"false_alarm", "false_alarm_normal"}),
        ([3], set()),
        ([4], set()),
        ([1, 3], {"auc", "ap", "pr_auc_trapezoid", "auc_video", "ap_video", "false_alarm", "false_alarm_normal"}),
    ],
)
def test_a_number_that_does_not_exist_is_left_out(samples: list[int], names: set[str]) -> None:
    assert values(metric_of(samples, expected=None)).keys() == names


def test_videos_of_an_unknown_scene_have_no_number_of_their_own() -> None:
    metric = FrameAnomaly()
    metric.expect(2)
    both = torch.tensor([0, 1, 0, 1])
    metric.update(torch.tensor([0, 1]), torch.tensor([2, 2]), both.double(), both, torch.tensor([-1, 7]))
    assert [name for name in metric.compute() if "scene" in name] == ["auc_scene_07"]


def test_curves_hold_the_frames_of_each_video_in_their_order() -> None:
    metric = metric_of([3, 1], [4, 0, 2])
    metric.compute()
    assert list(metric.curves) == [0, 1, 2, 3]
    for index, (scores, labels) in metric.curves.items():
        assert scores.tolist() == VIDEOS[index][1] and labels.tolist() == VIDEOS[index][2]


def test_scores_and_labels_that_are_none_are_named_with_their_sample() -> None:
    for place, value, message in ((1, float("nan"), "score nan"), (2, -1, "label -1"), (2, 0.5, "label 0.5")):
        metric = metric_of([0, 1, 3, 4])
        parts = [[0.5, 0.5], [0, 1]]
        parts[place - 1][1] = value
        metric.update(torch.tensor([2]), torch.tensor([2]), *map(torch.tensor, parts), torch.tensor([1]))
        with pytest.raises(ValueError, match=f"found {message} in sample 2"):
            metric.compute()


def test_a_missing_video_is_refused() -> None:
    with pytest.raises(EvaluationError, match="FrameAnomaly: 1 of 5 samples were not evaluated: 2;"):
        metric_of([0, 1, 3, 4]).compute()
