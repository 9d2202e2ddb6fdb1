"""Running-cell masks equal those of VideoMAE V2; tube masks hide as many tokens; sampling includes tokens as often."""

import numpy as np
import pytest
import torch

from models.masking import running_cell_mask, sample_visible, tube_mask
from tests.reference.focusmae.numbers import array_files, documents, some

BATCH = 16


def entries(key: str) -> list[tuple[str, dict]]:
    """Every named entry of a JSON object that has ``key``."""
    files = [content for _, content in documents() if isinstance(content, dict)]
    named = [(name, entry) for content in files for name, entry in content.items() if isinstance(entry, dict)]
    return some([(name, entry) for name, entry in named if key in entry], f"entries with {key}")


def stored(name: str) -> np.ndarray:
    """The array that belongs to an entry."""
    found = [array for _, arrays in array_files() for key, array in arrays.items() if key.startswith(name)]
    assert len(found) == 1, f"{len(found)} arrays for {name}"
    return found[0]


def phases() -> torch.Tensor:
    """Noise that gives each of the four phases, in order."""
    return (torch.arange(4) + 0.5) / 4


def test_running_cell_masks_equal_the_published_ones_for_every_phase() -> None:
    for name, entry in entries("masked_per_map"):
        masks = running_cell_mask(phases(), tuple(entry["window_size"]), entry["mask_ratio"])
        assert torch.equal(masks, torch.from_numpy(stored(name)).flatten(1).bool()), name
        assert masks.sum(1).tolist() == [entry["masked_per_map"]] * 4
        assert (~masks).sum(1).tolist() == [entry["kept_per_map"]] * 4


def test_grids_for_which_upstream_makes_masks_of_the_wrong_size_are_refused() -> None:
    for _, entry in entries("returned_shape"):
        with pytest.raises(ValueError, match="even size"):
            running_cell_mask(phases(), tuple(entry["window_size"]), 0.5)


def test_tube_masks_hide_the_published_number_of_places_in_every_slice() -> None:
    for name, entry in entries("masked_per_frame"):
        slices, rows, columns = entry["window_size"]
        noise = torch.rand(BATCH, rows * columns, generator=torch.Generator().manual_seed(0))
        masks = tube_mask(noise, (slices, rows, columns), entry["mask_ratio"])
        for drawn in (masks.unflatten(1, (slices, -1)), torch.from_numpy(stored(name)).bool()):
            assert (drawn == drawn[:, :1]).all(), name
            assert (drawn.sum(-1) == entry["masked_per_frame"]).all()
            assert ((~drawn).sum(-1) == entry["visible_per_frame"]).all()
            assert (drawn.sum((1, 2)) == entry["masked_total"]).all()
            assert ((~drawn).sum((1, 2)) == entry["visible_total"]).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_tokens_in_regions_become_visible_as_often_as_published(sign: int) -> None:
    files = [content for _, content in documents() if isinstance(content, dict)]
    cases = [c for content in files for value in content.values() if isinstance(value, dict) for c in value.values()]
    for case in some([c for c in cases if isinstance(c, dict) and "mean_visible_fraction_roi" in c], "statistics"):
        prior = (torch.arange(case["tokens"]) < case["roi_tokens"]).float()
        noise = torch.rand(case["draws"], case["tokens"], generator=torch.Generator().manual_seed(0))
        logits = (sign * case["delta"] * prior).expand_as(noise)
        visible = sample_visible(logits, noise, case["visible"])
        per_token = torch.bincount(visible.flatten(), minlength=case["tokens"]) / case["draws"]
        in_regions, elsewhere = per_token[: case["roi_tokens"]].mean(), per_token[case["roi_tokens"] :].mean()
        if sign > 0:
            assert in_regions.item() == pytest.approx(case["mean_visible_fraction_roi"], abs=case["tolerance"])
            assert elsewhere.item() == pytest.approx(case["mean_visible_fraction_background"], abs=case["tolerance"])
        elif case["delta"] > 0:  # the paper's reading: what was favoured is now hidden
            assert in_regions < elsewhere
