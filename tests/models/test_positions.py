"""Positional tables hold the sinusoids they promise and keep them through a change of grid."""

import math

import pytest
import torch

from models.positions import grid_table, interpolate_positions, plane_table, point_table, sinusoid_table


@pytest.mark.parametrize("dim", [8, 7])
def test_entries_follow_the_formula(dim: int) -> None:
    table = sinusoid_table(50, dim)
    assert table.shape == (1, 50, dim)
    assert table.dtype == torch.float32
    for position, channel in ((0, 0), (0, 1), (49, 0), (49, 3), (31, dim - 1)):
        angle = position / 10000 ** (2 * (channel // 2) / dim)
        expected = math.sin(angle) if channel % 2 == 0 else math.cos(angle)
        assert table[0, position, channel].item() == pytest.approx(expected, abs=1e-7)


def test_a_late_position_is_exact_to_single_precision() -> None:
    assert sinusoid_table(100_001, 2)[0, -1, 0].item() == pytest.approx(math.sin(100_000), abs=1e-7)


def test_the_same_grid_leaves_a_table_as_it_is() -> None:
    table = sinusoid_table(24, 6)
    assert torch.equal(interpolate_positions(table, (2, 3, 4), (2, 3, 4)), table)


def test_a_constant_table_stays_constant() -> None:
    table = torch.arange(5.0).expand(1, 24, 5)
    result = interpolate_positions(table, (2, 3, 4), (5, 6, 3))
    torch.testing.assert_close(result, torch.arange(5.0).expand(1, 90, 5), atol=1e-5, rtol=0)


def test_each_axis_is_resized_along_itself() -> None:
    time, row, column = torch.meshgrid(*(torch.arange(float(n)) for n in (2, 4, 6)), indexing="ij")
    ramps = torch.stack((time, row, column), -1).reshape(1, -1, 3)
    result = interpolate_positions(ramps, (2, 4, 6), (4, 8, 12)).view(4, 8, 12, 3)
    for axis in range(3):
        others = [a for a in range(3) if a != axis]
        assert result[..., axis].std(dim=others).max() < 1e-5  # nothing of one axis leaks into another
        assert (result[..., axis].mean(dim=others).diff() >= -1e-5).all()
    assert result[1:3, 0, 0, 0].tolist() == pytest.approx([0.25, 0.75])


def test_a_table_of_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="23 rows does not fit the grid"):
        interpolate_positions(torch.zeros(1, 23, 4), (2, 3, 4), (2, 6, 8))


def test_a_pretraining_grid_gives_places_codes_near_those_they_had() -> None:
    """The 1-D table made anew for a wider grid gives a place the code of another; interpolation does not."""
    source, target, dim = (2, 8, 8), (2, 16, 16), 64
    pretrained = sinusoid_table(128, dim).view(*source, dim)

    def similarity(table: torch.Tensor) -> float:
        shrunk = table.view(2, 8, 2, 8, 2, dim).mean((2, 4))
        return torch.cosine_similarity(shrunk.flatten(0, 2), pretrained.flatten(0, 2)).mean().item()

    assert similarity(grid_table(target, dim, source)) > 0.95
    assert similarity(grid_table(target, dim)) < 0.9
    assert torch.equal(grid_table(source, dim, source), sinusoid_table(128, dim))


def test_a_point_in_the_middle_of_a_cell_has_the_position_of_the_cell() -> None:
    cells, grid, dim = torch.tensor([[3, 5], [2, 2]]), (3, 5), 16
    table = plane_table(cells, grid, dim).unflatten(1, grid)
    places = [(0, 0, 0), (0, 2, 4), (1, 1, 0)]  # plane, row, column
    points = torch.tensor([[row + 0.5, column + 0.5] for _, row, column in places])
    found = point_table(points, torch.tensor([plane for plane, _, _ in places]), cells, dim)
    assert torch.allclose(found, torch.stack([table[place] for place in places]), atol=1e-6)
