"""Random streams continue where they were cut."""

import logging
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from callbacks.random_state import RandomState, current_state, restore_state

CPU = torch.device("cpu")


def draw() -> list[float]:
    return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), torch.rand(1).item()]


def part(rank: int = 0, world_size: int = 1) -> tuple[SimpleNamespace, SimpleNamespace]:
    trainer = SimpleNamespace(global_rank=rank, world_size=world_size, is_global_zero=rank == 0, validating=False)
    return trainer, SimpleNamespace(device=CPU)


def test_every_generator_continues(tmp_path) -> None:
    draw()  # leaves a cached normal deviate in two of the generators
    state = current_state(CPU)
    expected = draw()
    draw()
    torch.save(state, tmp_path / "state.pt")
    restore_state(torch.load(tmp_path / "state.pt", weights_only=True), CPU)
    assert draw() == expected


def test_a_checkpoint_restores_when_fitting_starts() -> None:
    checkpoint = {}
    RandomState().on_save_checkpoint(*part(), checkpoint)
    expected = draw()
    callback = RandomState()
    callback.on_load_checkpoint(*part(), checkpoint)
    draw()
    callback.on_fit_start(*part())
    assert draw() == expected
    callback.on_fit_start(*part())  # only once
    assert draw() != expected


def test_ranks_draw_differently_and_the_first_as_it_would_alone() -> None:
    drawn = []
    for rank in range(3):
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(5)
        RandomState().on_fit_start(*part(rank, 3))
        drawn.append(draw())
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(5)
    assert drawn[0] == draw()
    assert all(len({values[index] for values in drawn}) == 3 for index in range(5))


def test_another_number_of_processes_is_said(caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = {}
    RandomState().on_save_checkpoint(*part(), checkpoint)
    callback = RandomState()
    callback.on_load_checkpoint(*part(0, 2), checkpoint)
    callback.on_fit_start(*part(0, 2))
    assert "1 processes, this run has 2" in caplog.text


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_generator_of_the_device_continues() -> None:
    device = torch.device("cuda", 0)
    state = current_state(device)
    expected = torch.rand(3, device=device)
    torch.rand(5, device=device)
    restore_state(state, device)
    assert torch.equal(torch.rand(3, device=device), expected)


def test_a_checkpoint_without_streams_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    callback = RandomState()
    callback.on_load_checkpoint(*part(), {})
    state = current_state(CPU)
    callback.on_fit_start(*part())
    after = draw()
    restore_state(state, CPU)
    assert after == draw()
    assert caplog.text == ""
