"""Speed of a training, on a clock that the test moves."""

from types import SimpleNamespace

import pytest
import torch

from callbacks import throughput
from callbacks.throughput import Throughput, count_clips

MODULE = SimpleNamespace(device=torch.device("cpu"))
BATCH = {"name": ["a", "b", "c"], "video": torch.zeros(3, 1)}


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Rows:
    """A logger that keeps what it is given."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, values: dict[str, float], step: int) -> None:
        self.rows.append((step, values))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(throughput, "perf_counter", clock)
    return clock


def trainer(every: int, world_size: int = 1) -> SimpleNamespace:
    rows = Rows()
    return SimpleNamespace(
        log_every_n_steps=every,
        world_size=world_size,
        loggers=[rows],
        callback_metrics={},
        global_step=0,
        precision="32-true",
        rows=rows.rows,
    )


def train(callback: Throughput, run: SimpleNamespace, clock: Clock, batches: int, wait_s: float, busy_s: float) -> None:
    for index in range(batches):
        clock.now += wait_s
        callback.on_train_batch_start(run, MODULE, BATCH, index)
        clock.now += busy_s
        run.global_step += 1
        callback.on_train_batch_end(run, MODULE, None, BATCH, index)


def test_clips_of_all_processes_per_second_and_the_share_of_waiting(clock: Clock) -> None:
    callback, run = Throughput(), trainer(every=4, world_size=2)
    callback.on_train_start(run, MODULE)
    callback.on_train_epoch_start(run, MODULE)
    train(callback, run, clock, batches=4, wait_s=0.5, busy_s=1.5)
    [(step, values)] = run.rows
    assert step == 3
    assert values["perf/clips_per_s"] == pytest.approx(2 * 12 / 8)
    assert values["data/wait_share"] == pytest.approx(0.25)
    assert "perf/mfu" not in values
    assert run.callback_metrics["perf/clips_per_s"] == pytest.approx(3.0)


def test_a_window_ends_with_the_epoch_and_the_next_starts_empty(clock: Clock) -> None:
    callback, run = Throughput(), trainer(every=3)
    callback.on_train_start(run, MODULE)
    for _ in range(2):
        callback.on_train_epoch_start(run, MODULE)
        train(callback, run, clock, batches=4, wait_s=0, busy_s=1)
        callback.on_train_epoch_end(run, MODULE)
        clock.now += 50  # saving a checkpoint
    assert [step for step, _ in run.rows] == [2, 3, 6, 7]
    assert [values["perf/clips_per_s"] for _, values in run.rows] == pytest.approx([3.0] * 4)
    assert all(values["data/wait_share"] == 0 for _, values in run.rows)


def test_evaluation_is_no_waiting(clock: Clock) -> None:
    callback, run = Throughput(), trainer(every=4)
    callback.on_train_start(run, MODULE)
    callback.on_train_epoch_start(run, MODULE)
    train(callback, run, clock, batches=2, wait_s=1, busy_s=1)
    callback.on_validation_start(run, MODULE)
    clock.now += 1000
    train(callback, run, clock, batches=2, wait_s=1, busy_s=1)
    [(_, values)] = run.rows
    assert values["perf/clips_per_s"] == pytest.approx(12 / 7)  # the wait after the evaluation is not known
    assert values["data/wait_share"] == pytest.approx(3 / 7)


def test_utilisation_counts_three_forward_passes_of_one_device(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(throughput, "get_available_flops", lambda device, dtype: asked.append(dtype) or 1e4)
    callback, run = Throughput(forward_flops=100.0), trainer(every=2, world_size=8)
    run.precision = "bf16-mixed"
    callback.on_train_start(run, MODULE)
    callback.on_train_epoch_start(run, MODULE)
    train(callback, run, clock, batches=2, wait_s=0, busy_s=2)
    assert run.rows[0][1]["perf/mfu"] == pytest.approx(3 * 100 * 1.5 / 1e4)
    assert asked == [torch.bfloat16]


def test_a_device_of_unknown_peak_has_no_utilisation(clock: Clock) -> None:
    callback, run = Throughput(forward_flops=100.0), trainer(every=1)
    callback.on_train_start(run, MODULE)
    callback.on_train_epoch_start(run, MODULE)
    train(callback, run, clock, batches=1, wait_s=0, busy_s=1)
    assert "perf/mfu" not in run.rows[0][1]


@pytest.mark.parametrize(
    ("batch", "count"),
    [
        (BATCH, 3),
        ({"label": torch.zeros(5), "video": torch.zeros(2, 4)}, 2),
        ([torch.zeros(4, 2), torch.zeros(9)], 4),
        ({"a": {"b": [torch.zeros(6)]}}, 6),
        ({"a": torch.tensor(1.0)}, 0),
        ({"name": ["a"]}, 0),
    ],
)
def test_clips_are_counted_by_video_or_the_first_tensor(batch: object, count: int) -> None:
    assert count_clips(batch) == count
