"""Learning-rate tables of the published training scripts."""

import json
from pathlib import Path

import pytest

from core.schedules import warmup_cosine_values
from tests.conftest import fixtures_root


def schedules() -> list[tuple[Path, dict]]:
    """Every entry ``{args, values}`` of every list of schedules."""
    found = []
    for path in sorted((fixtures_root() / "focusmae").glob("*.json")):
        content = json.loads(path.read_text())
        if isinstance(content, list):
            found += [
                (path, entry) for entry in content if isinstance(entry, dict) and {"args", "values"} <= entry.keys()
            ]
    return [(path, entry) for path, entry in found if "niter_per_ep" in entry["args"]]


def table(args: dict) -> list[float]:
    return warmup_cosine_values(
        args["base_value"],
        args["final_value"],
        args["epochs"] * args["niter_per_ep"],
        steps_per_epoch=args["niter_per_ep"],
        warmup_epochs=args.get("warmup_epochs", 0),
        warmup_steps=args.get("warmup_steps", 0),
        start=args.get("start_warmup_value", 0.0),
    )


def test_tables_equal_the_published_ones():
    entries = [(path, entry) for path, entry in schedules() if entry["values"] is not None]
    assert entries, f"no schedules in {fixtures_root() / 'focusmae'}"
    for path, entry in entries:
        assert table(entry["args"]) == pytest.approx(entry["values"], rel=1e-9, abs=1e-12), (path.name, entry["args"])


def test_settings_that_fail_upstream_are_refused():
    assert schedules(), f"no schedules in {fixtures_root() / 'focusmae'}"
    for path, entry in schedules():
        if entry["values"] is None:
            with pytest.raises(ValueError, match="warm"):
                pytest.fail(f"{path.name}: {entry['args']} gave {table(entry['args'])}")
