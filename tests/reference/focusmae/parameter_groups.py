"""Layer-wise learning rates and weight decay of the published training scripts."""

import json

import pytest
import torch

from tasks.parameter_groups import POSITIONS_AND_TOKENS, layer_id, parameter_groups
from tests.conftest import fixtures_root
from tests.module_with import module_with


def group_lists() -> dict[str, dict]:
    """Every model with a list of ``{name, shape, lr_scale, weight_decay}``."""
    return {
        f"{path.name}:{key}": entry
        for path in sorted((fixtures_root() / "focusmae").glob("*.json"))
        if isinstance(content := json.loads(path.read_text()), dict)
        for key, entry in content.items()
        if isinstance(entry, dict) and "parameters" in entry and "lr_scale" in entry["parameters"][0]
    }


def test_groups_equal_the_published_ones():
    lists = group_lists()
    assert lists, f"no parameter groups in {fixtures_root() / 'focusmae'}"
    for source, entry in lists.items():
        parameters = entry["parameters"]
        assert set(entry.get("no_weight_decay_names", ())) <= POSITIONS_AND_TOKENS, source
        model = module_with({p["name"]: p["shape"] for p in parameters})
        scales = entry.get("values")  # of layers 0 .. L + 1, the last is 1
        groups = parameter_groups(model, layer_decay=scales[-2] if scales else None, full_names=True)
        assert len(groups) == entry.get("n_groups", 2), source
        decay = max(p["weight_decay"] for p in parameters)
        optimizer = torch.optim.AdamW(groups, weight_decay=decay)
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        found = {names[id(p)]: group for group in optimizer.param_groups for p in group["params"]}
        for p in parameters:
            group = found[p["name"]]
            assert group["weight_decay"] == p["weight_decay"], (source, p["name"])
            assert group.get("lr_scale", 1.0) == pytest.approx(p["lr_scale"], rel=1e-12), (source, p["name"])
            if p.get("layer_id") is not None:
                assert layer_id(p["name"], len(scales) - 2) == p["layer_id"], (source, p["name"])
