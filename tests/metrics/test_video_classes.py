"""Numbers of classified videos equal their definitions, whatever the clips, the batches and the order."""

import math

import pytest
import torch
from torch import Tensor

from metrics.exact import EvaluationError
from metrics.ranking import roc_auc
from metrics.video_classes import VideoClasses

# Two classes, by video: the class, and the probability of class 1 of each clip.
VIDEOS = {
    0: (0, [0.1, 0.2, 0.6, 0.1]),  # one clip errs
    1: (0, [0.2, 0.3]),
    2: (1, [0.9, 0.4, 0.8, 0.3]),
    3: (1, [0.4, 0.3, 0.1, 0.1]),  # never found, below both negative ones
    4: (1, [0.7]),
}


def clips() -> tuple[Tensor, Tensor, Tensor]:
    """Video, probabilities and label of every clip."""
    rows = [(video, [1 - each, each], label) for video, (label, all_of_it) in VIDEOS.items() for each in all_of_it]
    video, probability, label = zip(*rows, strict=True)
    return torch.tensor(video), torch.tensor(probability), torch.tensor(label)


def measured(batches: list[list[int]] | None = None, **options: object) -> dict[str, float]:
    video, probability, label = clips()
    metric = VideoClasses(**options)
    metric.expect(len(video))
    for batch in batches or [list(range(len(video)))]:
        index = torch.tensor(batch)
        metric.update(index, video[index], probability[index], label[index])
    return {name: float(value) for name, value in metric.compute().items()}


@pytest.mark.parametrize(
    ("options", "called"),
    [
        ({}, [0, 0, 1, 0, 1]),
        ({"rule": "any"}, [1, 0, 1, 0, 1]),
        ({"rule": "fraction", "fraction": 0.1}, [1, 0, 1, 0, 1]),
        ({"rule": "fraction", "fraction": 0.25}, [0, 0, 1, 0, 1]),  # more than a quarter, not a quarter
        ({"rule": "fraction", "fraction": 0.5}, [0, 0, 0, 0, 1]),
    ],
)
def test_a_video_is_called_positive_as_the_rule_says(options: dict, called: list[int]) -> None:
    found, labels = measured(**options), [label for label, _ in VIDEOS.values()]
    sensitivity = sum(called[2:]) / 3
    specificity = 1 - sum(called[:2]) / 2
    assert found["acc"] == sum(one == other for one, other in zip(called, labels, strict=True)) / 5
    assert found["sensitivity"] == pytest.approx(sensitivity, abs=1e-12)
    assert found["specificity"] == pytest.approx(specificity, abs=1e-12)
    assert found["balanced_acc"] == pytest.approx((sensitivity + specificity) / 2, abs=1e-12)
    means = torch.tensor([math.fsum(all_of_it) / len(all_of_it) for _, all_of_it in VIDEOS.values()])
    assert found["auc"] == roc_auc(means, torch.tensor(labels)) == 4 / 6


def test_a_share_is_what_is_written_and_not_its_nearest_binary_number() -> None:
    metric = VideoClasses(rule="fraction", fraction=0.57)  # 57 of 100 are not more; 0.57 * 100 < 57 in binary
    metric.expect(200)
    positive = torch.cat([torch.arange(100) < 57, torch.arange(100) < 58]).double()
    video = torch.arange(200) // 100
    metric.update(torch.arange(200), video, torch.stack([1 - positive, positive], 1), video)
    assert metric.compute()["acc"] == 1


def test_the_positive_class_may_be_the_first_one() -> None:
    found, swapped = measured(), measured(positive=0)
    assert (swapped["sensitivity"], swapped["specificity"]) == (found["specificity"], found["sensitivity"])
    assert swapped["auc"] == found["auc"]


def test_batches_and_order_change_no_bit() -> None:
    order = torch.randperm(15, generator=torch.Generator().manual_seed(0)).tolist()
    for batches in ([order], [order[:4], order[4:5], order[5:]], [[each] for each in order[::-1]]):
        assert measured(batches) == measured()


def test_more_classes_have_areas_against_the_others_and_the_best_five() -> None:
    torch.manual_seed(0)
    label, probability = torch.arange(40) % 7, torch.randn(40, 7, dtype=torch.float64).softmax(1)
    metric = VideoClasses(7)
    metric.expect(40)
    metric.update(torch.arange(40), torch.arange(40), probability, label)
    found = {name: float(value) for name, value in metric.compute().items()}
    assert found.keys() == {"acc", "acc_top5", "balanced_acc", "auc"}
    assert found["acc"] == (probability.argmax(1) == label).double().mean()
    rank = (probability > probability[torch.arange(40), label].unsqueeze(1)).sum(1)
    assert found["acc_top5"] == pytest.approx(float((rank < 5).double().mean()), abs=1e-12)
    recalls = [(probability.argmax(1) == label)[label == each].double().mean() for each in range(7)]
    assert found["balanced_acc"] == pytest.approx(float(torch.stack(recalls).mean()), abs=1e-12)
    areas = [roc_auc(probability[:, each], (label == each).long()) for each in range(7)]
    assert found["auc"] == pytest.approx(sum(areas) / 7, abs=1e-12)


def test_numbers_that_do_not_exist_are_left_out() -> None:
    metric = VideoClasses()
    metric.expect(2)
    metric.update(torch.arange(2), torch.arange(2), torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([0, 0]))
    found = {name: float(value) for name, value in metric.compute().items()}
    assert found == {"acc": 0.5, "balanced_acc": 0.5, "specificity": 0.5}


def test_an_evaluation_without_a_clip_is_refused() -> None:
    with pytest.raises(EvaluationError, match="1 of 15 samples were not evaluated: 14"):
        measured([list(range(14))])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": torch.tensor([0, 1])}, "clips of a video differ in their class"),
        ({"label": torch.tensor([2, 2])}, "expected classes from 0 to 1, found 2"),
        ({"probability": torch.full((2, 2), torch.nan)}, "found a value that is not finite"),
    ],
)
def test_what_cannot_be_is_refused(change: dict, message: str) -> None:
    right = {"video": torch.zeros(2), "probability": torch.full((2, 2), 0.5), "label": torch.zeros(2)}
    metric = VideoClasses()
    metric.expect(2)
    metric.update(torch.arange(2), **right | change)
    with pytest.raises(ValueError, match=message):
        metric.compute()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 1}, "num_classes: expected at least 2, found 1"),
        ({"rule": "most"}, "video_rule: expected one of mean_prob, any, fraction, found 'most'"),
        ({"rule": "any", "num_classes": 3}, "decides between two classes, found num_classes=3"),
        ({"rule": "fraction", "fraction": 1.0}, r"rule_fraction: expected a share in \[0, 1\), found 1.0"),
        ({"positive": 2}, "positive: expected 0 or 1, found 2"),
    ],
)
def test_a_wrong_argument_is_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VideoClasses(**options)
