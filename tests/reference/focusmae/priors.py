"""Region priors equal the corrected rule and, in upstream mode, the published code with its faults."""

import pytest
import torch

from models.region_prior import Regions, inflate_boxes, region_prior
from tests.reference.focusmae.numbers import array_files, documents, some


def cases() -> list[tuple[str, dict]]:
    """Every case with the boxes of a frame."""
    files = [content for _, content in documents() if isinstance(content, dict)]
    named = [
        item for content in files for group in content.values() if isinstance(group, dict) for item in group.items()
    ]
    return some([(n, c) for n, c in named if isinstance(c, dict) and "boxes_representative_frame" in c], "prior cases")


def expected(mode: str, name: str) -> torch.Tensor:
    return next(
        torch.from_numpy(arrays[f"{mode}_{name}"]).float() for _, arrays in array_files() if f"{mode}_{name}" in arrays
    )


def regions(case: dict) -> Regions:
    """The boxes in the first frame, and others in later frames, which must not matter."""
    boxes = torch.tensor(case["boxes_representative_frame"], dtype=torch.float32).reshape(-1, 4)
    later = torch.tensor([[0.0, 0.0, 5.0, 5.0]])
    frames = case["frames"]
    rows = max(len(boxes), 1)
    padded = torch.zeros(1, frames, rows, 4)
    padded[:, 0, : len(boxes)], padded[:, 1:, :1] = boxes, later
    count = torch.tensor([[len(boxes)] + [1] * (frames - 1)])
    return Regions(padded, torch.ones(1, frames, rows), count)


def test_geometric_priors_equal_the_corrected_rule() -> None:
    for name, case in cases():
        width, height = case["source_wh_for_geometric"]
        side = case["input_size"] // case["patch_size"]
        grid = (case["frames"] // case["tubelet_size"], side, side)
        prior = region_prior(
            regions(case), grid, (height, width), case["tubelet_size"], inflation=case["inflation_ratio"]
        ).view(1, *grid)
        assert torch.equal(prior, expected("geometric", name).expand_as(prior)), name
        assert prior[0, 0].sum() == case["geometric_roi_patches_per_slice"]


def test_upstream_priors_equal_the_published_code() -> None:
    for name, case in cases():
        side = case["input_size"] // case["patch_size"]
        grid = (case["frames"] // case["tubelet_size"], side, side)
        prior = region_prior(
            regions(case),
            grid,
            (case["input_size"], case["input_size"]),
            case["tubelet_size"],
            mode="upstream",
            inflation=case["inflation_ratio"],
        ).view(grid[0], -1)
        assert torch.equal(prior, expected("upstream", name)), name
        assert prior[0].sum() == case["upstream_roi_patches_per_slice"]


def test_boxes_are_inflated_as_published() -> None:
    lists = [content for _, content in documents() if isinstance(content, list)]
    entries = [entry for content in lists for entry in content if isinstance(entry, dict) and "inflated" in entry]
    for entry in some(entries, "inflated boxes"):
        inflated = inflate_boxes(torch.tensor(entry["box"], dtype=torch.float64), entry["ratio"])
        assert inflated.tolist() == pytest.approx(entry["inflated"], abs=1e-9, rel=0)
