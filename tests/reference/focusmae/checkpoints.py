"""Which tensors of the published checkpoints are used under which name."""

from pathlib import Path

import pytest
import torch

from models.pretrained import load_pretrained
from tests.module_with import module_with
from tests.reference.focusmae.numbers import documents, some


def mappings() -> list[dict]:
    """Every ``{wrapper, prefix, mapping}``: container, prefix and names before and after loading."""
    entries = [entry for _, content in documents() if isinstance(content, list) for entry in content]
    return some(
        [entry for entry in entries if isinstance(entry, dict) and {"wrapper", "mapping"} <= entry.keys()], "names"
    )


def shape(name: str) -> tuple[int, ...]:
    """A shape by name alone, so that file and model agree; only the number of dimensions has to be plausible."""
    if name.endswith("patch_embed.proj.weight"):
        return (4, 3, 2, 2, 2)
    return (5, 4) if name.endswith("weight") and "norm" not in name else (4,)


def test_names_are_mapped_used_and_left_out_as_published(tmp_path: Path):
    for number, entry in enumerate(mappings()):
        mapping = entry["mapping"]
        used = entry.get("used", list(mapping.values()))
        missing = entry.get("missing_in_checkpoint", [])
        values = {old: torch.full(shape(new), float(i + 1)) for i, (old, new) in enumerate(mapping.items())}
        path = tmp_path / f"{number}.pth"
        torch.save({entry["wrapper"]: values}, path)
        model = module_with({name: shape(name) for name in [*used, *missing]})
        report = load_pretrained(model, path)
        assert sorted(report.loaded) == sorted(used), entry
        assert sorted(report.dropped) == sorted(entry.get("unused", [])), entry
        assert sorted(report.fresh) == sorted(missing), entry
        state = model.state_dict()
        for old, new in mapping.items():
            if new in used:
                assert torch.equal(state[new], values[old]), (entry, new)


def test_a_used_tensor_that_is_missing_is_an_error(tmp_path: Path):
    for number, entry in enumerate(mappings()):
        mapping = entry["mapping"]
        used = entry.get("used", list(mapping.values()))
        model = module_with({name: shape(name) for name in [*used, *entry.get("missing_in_checkpoint", [])]})
        victim = next(old for old, new in mapping.items() if new in used and "blocks" in new)
        values = {old: torch.ones(shape(new)) for old, new in mapping.items() if old != victim}
        path = tmp_path / f"{number}.pth"
        torch.save({entry["wrapper"]: values}, path)
        with pytest.raises(ValueError, match=rf"missing +{mapping[victim]}"):
            load_pretrained(model, path)
        assert not any(parameter.any() for parameter in model.parameters())
