"""Learning rates of every step of the published training code."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.schedules import warmup_cosine_values, warmup_steps_decay_values
from tests.conftest import fixtures_root

STEPS, COSINE = "step", "cosine"


def schedules() -> list[tuple[Path, dict, list[float]]]:
    """Every pair of ``config`` and ``lr``, wherever it is in a file."""
    found = [
        (path, entry["config"], entry["lr"])
        for path in sorted((fixtures_root() / "fbil").glob("*.json"))
        for entry in entries(json.loads(path.read_text()))
    ]
    assert found, f"no schedules in {fixtures_root() / 'fbil'}"
    return found


def entries(content: object) -> Iterator[dict]:
    if isinstance(content, dict) and {"config", "lr"} <= content.keys():
        yield content
    elif isinstance(content, (dict, list)):
        for part in content.values() if isinstance(content, dict) else content:
            yield from entries(part)


def table(config: dict) -> list[float]:
    length = {"total_steps": config["n_epochs"] * config["epoch_steps"], "steps_per_epoch": config["epoch_steps"]}
    peak, start = config["warmup_lr"], config["base_lr"]
    [factor] = set(config.get("lr_mults", [1.0]))
    milestones = config.get("milestone_epochs", [])
    values = warmup_steps_decay_values(
        peak, **length, warmup_epochs=config["warmup_epochs"], start=start, milestones=milestones, factor=factor
    )
    if config["type"] == STEPS:
        return values
    # the same warm-up, which reaches the peak where the cosine begins
    warmup = round(config["warmup_epochs"] * config["epoch_steps"])
    fall = length | {"total_steps": length["total_steps"] - warmup}
    return values[:warmup] + warmup_cosine_values(peak, config["min_lr"], **fall)


def test_learning_rates_equal_the_published_ones() -> None:
    for path, config, published in schedules():
        assert config["type"] in (STEPS, COSINE), path.name
        assert table(config) == pytest.approx(published, abs=1e-12), (path.name, config)
