"""Every sample counts exactly once: the same bits on any number of processes, in any batches and any order."""

import json
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import nn

from metrics.exact import EvaluationError, ExactMetric, exact_sum
from tests.conftest import REPOSITORY
from tests.metrics.ranks import (
    ACTION_NUMBERS,
    BATCH_SIZES,
    FRAME_NUMBERS,
    MEANS,
    SEEDS,
    SPEAKER_NUMBERS,
    WORLD_SIZES,
    Ranking,
    boxes,
    numbers,
)
from tests.toy_project import run_python


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, str]]]:
    """What each process found in each case, by number of processes."""
    folder = tmp_path_factory.mktemp("ranks")
    done = run_python(REPOSITORY, "-m", "tests.metrics.ranks", str(folder), OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    return {
        size: [json.loads((folder / f"{size}_{rank}.json").read_text()) for rank in range(size)] for size in WORLD_SIZES
    }


def test_all_processes_find_the_same(found: dict) -> None:
    assert all(rank == ranks[0] for ranks in found.values() for rank in ranks)


@pytest.mark.parametrize("name", [*MEANS, "ranking", *FRAME_NUMBERS, *ACTION_NUMBERS, *SPEAKER_NUMBERS])
def test_a_metric_has_the_same_bits_on_any_number_of_processes_in_any_batches_and_order(name: str, found: dict) -> None:
    shapes = [f"{name} in batches of {size}, order {seed}" for size in BATCH_SIZES for seed in SEEDS]
    values = {float.fromhex(ranks[0][shape]) for ranks in found.values() for shape in shapes}
    assert len(values) == 1 and 0 < abs(values.pop()) < 1e12


@pytest.mark.parametrize("name", MEANS)
def test_a_mean_is_the_rounded_quotient_of_exact_sums(name: str, found: dict) -> None:
    values, weights = (each.flatten().tolist() for each in numbers(torch.arange(MEANS[name])))
    total = sum(Fraction(value) * Fraction(weight) for value, weight in zip(values, weights, strict=True))
    expected = float(total / sum(map(Fraction, weights)))
    assert float.fromhex(found[3][0][f"{name} in batches of 1, order 0"]) == pytest.approx(expected, rel=1e-12, abs=0)


def test_a_sampler_that_fills_up_is_refused_and_ours_counts_seven_of_seven(found: dict) -> None:
    for size, ranks in found.items():
        assert float.fromhex(ranks[0]["our sampler"]) == float.fromhex(found[1][0]["our sampler"])
        if size > 1:
            filled = {2: "8 visits of 7 samples, twice or more: 0;", 3: "9 visits of 7 samples, twice or more: 0, 1;"}
            assert filled[size] in ranks[0]["torch's sampler"]


@pytest.mark.parametrize("size", WORLD_SIZES)
def test_every_process_refuses_a_missing_and_a_foreign_sample(size: int, found: dict) -> None:
    for rank in found[size]:
        assert "1 of 7 samples were not evaluated: 4;" in rank["one is missing"]
        assert "6 samples were expected, 0 to 5, found also: 6;" in rank["one too many"]


def test_a_part_is_one_for_all_processes_when_it_is_for_one(found: dict) -> None:
    values = {rank[case] for ranks in found.values() for rank in ranks for case in found[1][0] if "part" in case}
    assert len(values) == 1 and float.fromhex(values.pop())


def ranking(*batches: list[int], expected: int | None) -> Ranking:
    metric = Ranking()
    metric.expect(expected)
    for index in batches:
        metric.update(torch.tensor(index), *boxes(torch.tensor(index)))
    return metric


def test_samples_without_rows_count_as_visited() -> None:
    assert ranking([0], [4, 1, 3, 2], expected=5).compute() == ranking([1, 2, 3], expected=None).compute()
    with pytest.raises(EvaluationError, match="Ranking: 1 of 5 samples were not evaluated: 4;"):
        ranking([0, 1, 2, 3], expected=5).compute()


def test_rows_stay_with_their_sample_and_in_their_order() -> None:
    class Kept(ExactMetric):
        def update(self, *arguments: object, **columns: object) -> None:
            self.record(*arguments, **columns)

        def compute(self) -> torch.Tensor:
            self.kept = self.collect()
            return torch.zeros(())

    metric = Kept(score=1, box=2)
    metric.expect(4)
    box = torch.arange(10).view(5, 2)
    metric.update(torch.tensor([3, 1]), torch.tensor([2, 3]), score=torch.tensor([7, 5, 9, 8, 6]), box=box)
    metric.update(torch.tensor([2, 0]), torch.tensor([0, 1]), score=torch.tensor([[1]]), box=torch.tensor([[-1, -2]]))
    metric.compute()
    assert metric.kept.sample.tolist() == [0, 1, 1, 1, 3, 3]
    assert metric.kept.columns["score"].tolist() == [1, 9, 8, 6, 7, 5]
    assert metric.kept.columns["box"].tolist() == [[-1, -2], [4, 5], [6, 7], [8, 9], [0, 1], [2, 3]]


def test_a_sample_that_was_visited_twice_is_refused_also_in_a_part_and_with_equal_rows() -> None:
    for expected in (2, None):
        with pytest.raises(EvaluationError, match="3 visits of 2 samples, twice or more: 1; an evaluation visits"):
            ranking([0, 1], [1], expected=expected).compute()


def test_a_message_names_some_of_many_samples() -> None:
    with pytest.raises(EvaluationError, match=r"95 of 100 .* evaluated: 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 \.\.\.;"):
        ranking(list(range(5)), expected=100).compute()


def test_a_metric_that_was_not_told_what_to_expect_says_how() -> None:
    metric = Ranking()
    metric.update(torch.arange(3), *boxes(torch.arange(3)))
    with pytest.raises(EvaluationError, match=r"call expect\(number of samples\)"):
        metric.compute()


def test_a_new_evaluation_forgets_the_rows_of_an_interrupted_one() -> None:
    metric = ranking([0, 1], expected=4)
    metric.expect(3)
    metric.update(torch.arange(3), *boxes(torch.arange(3)))
    assert metric.compute() == ranking([2, 1, 0], expected=3).compute()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"score": torch.zeros(2)}, r"expected the columns \['score', 'label'\], found \['score'\]"),
        ({"score": torch.zeros(3), "label": torch.zeros(2, 2)}, r"score: expected shape \(2, 1\), found \(3,\)"),
        ({"score": torch.zeros(2), "label": torch.zeros(4)}, r"label: expected shape \(2, 2\), found \(4,\)"),
        ({"counts": torch.ones(3), "score": torch.zeros(3), "label": torch.zeros(3, 2)}, "of 2 samples, found 3"),
    ],
)
def test_rows_that_do_not_fit_are_named(columns: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ranking().record(torch.arange(2), **columns)


@pytest.mark.parametrize("convert", [nn.Module.half, nn.Module.bfloat16, lambda module: module.to(torch.bfloat16)])
def test_rows_and_samples_stay_exact_in_a_model_of_half_precision(convert: Callable) -> None:
    metric = convert(nn.ModuleDict({"ranking": ranking(list(range(1000)), expected=2000)}))["ranking"]
    metric.update(torch.arange(1000, 2000), *boxes(torch.arange(1000, 2000)))
    assert {state.dtype for state in metric.rows} == {torch.float64}
    assert metric.compute().item() == ranking(list(range(2000)), expected=2000).compute().item()


def test_on_a_device_without_float64_the_state_is_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = ranking([0, 1], expected=4)
    monkeypatch.setattr(metric, "_device", torch.device("mps"))  # as after moving the model there
    metric.update(torch.arange(2, 4), *boxes(torch.arange(2, 4)))
    assert metric.device == torch.device("cpu")
    assert metric.compute() == ranking([0, 1, 2, 3], expected=4).compute()


def test_a_checkpoint_holds_nothing_of_a_metric() -> None:
    assert ranking([0, 1], expected=2).state_dict() == {}


def test_a_sum_does_not_lose_what_is_small_and_keeps_what_is_not_finite() -> None:
    assert exact_sum(torch.tensor([1e16, 1.0, -1e16, 1.0], dtype=torch.float64)) == 2.0
    infinite = torch.tensor([1.0, torch.inf], dtype=torch.float64)
    assert exact_sum(infinite) == torch.inf
    assert exact_sum(torch.cat([infinite, -infinite])) != exact_sum(torch.cat([infinite, -infinite]))
