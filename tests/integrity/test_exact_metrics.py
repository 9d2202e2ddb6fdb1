"""An evaluation visits every clip exactly once on 1, 2 and 3 ranks, and finds the same number."""

import json
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.integrity.broken import write_videos
from tests.integrity.evaluations import EPOCHS, RUNS
from tests.toy_project import run_python

VIDEOS = 7  # neither two ranks nor three can share them evenly
CLIPS = 2 * VIDEOS


def name(run: tuple[str, int, int]) -> str:
    return "_".join(map(str, run))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int, int], list[dict]]:
    """What each rank wrote down, by mode, number of ranks and batch size."""
    folder = tmp_path_factory.mktemp("evaluations")
    for surplus in sorted(write_videos(folder / "videos").iterdir())[VIDEOS:]:
        surplus.unlink()
    done = run_python(REPOSITORY, "-m", "tests.integrity.evaluations", str(folder / "videos"), str(folder))
    assert done.returncode == 0, done.stderr
    return {run: [found(folder / name(run), rank) for rank in range(run[1])] for run in RUNS}


def found(folder: Path, rank: int) -> dict:
    return json.loads((folder / f"rank{rank}.json").read_text())


@pytest.mark.parametrize("run", RUNS, ids=name)
def test_every_clip_is_visited_exactly_once(run: tuple[str, int, int], runs: dict) -> None:
    ranks = runs[run]
    assert {len(rank["visits"]) for rank in ranks} == {EPOCHS if run[0] == "fit" else 1}
    for shares in zip(*(rank["visits"] for rank in ranks), strict=True):
        assert sorted(index for share in shares for index in share) == list(range(CLIPS))
        assert all(shares)


@pytest.mark.parametrize("run", [run for run in RUNS if run[0] != "predict"], ids=name)
def test_all_ranks_find_the_same_bits(run: tuple[str, int, int], runs: dict) -> None:
    assert all(rank["metrics"] == runs[run][0]["metrics"] for rank in runs[run])


def metrics(runs: dict, *run: object) -> dict[str, float]:
    """Metrics of a run by name without stage."""
    [metrics] = runs[run][0]["metrics"]
    return {name.partition("/")[2]: float.fromhex(value) for name, value in metrics.items()}


@pytest.mark.parametrize("ranks", [2, 3])
def test_batches_of_one_video_give_the_same_bits_on_any_number_of_ranks(ranks: int, runs: dict) -> None:
    """Then the network computes every clip in the same way, and the metric is the same function of what it computed."""
    expected = metrics(runs, "validate", 1, 1)
    assert set(expected) == {"loss", "loss_zeros", "roi_visible_fraction", "roi_masked_fraction"}
    assert metrics(runs, "validate", ranks, 1) == expected


@pytest.mark.parametrize("run", [run for run in RUNS if run[0] in ("validate", "test")], ids=name)
def test_other_batches_change_no_more_than_the_rounding_of_the_network(run: tuple[str, int, int], runs: dict) -> None:
    """Sums of products in float32 are added in another order in a batch of another size."""
    assert metrics(runs, *run) == pytest.approx(metrics(runs, "validate", 1, 1), rel=1e-6)
