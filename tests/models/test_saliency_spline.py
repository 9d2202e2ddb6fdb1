"""The zoom of maps is that of scipy, for all maps at once."""

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom as scipy_zoom

from models.saliency.spline import spline_matrix, zoom

SIZES = [
    ((8, 7, 7), (16, 224, 224)),
    ((4, 6, 8), (16, 48, 64)),
    ((1, 5, 2), (3, 7, 9)),
    ((3, 1, 4), (3, 6, 1)),
    ((9, 10, 5), (4, 7, 5)),
]


@pytest.mark.parametrize(("grid", "size"), SIZES)
def test_a_spline_is_scipys_for_all_maps_of_a_batch(grid: tuple[int, ...], size: tuple[int, ...]) -> None:
    maps = torch.randn(2, 3, *grid, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    factors = [wanted / cells for wanted, cells in zip(size, grid, strict=True)]
    expected = np.stack([scipy_zoom(each, factors) for each in maps.view(-1, *grid).numpy()])
    found = zoom(maps, size)
    assert found.shape == (2, 3, *size)
    assert np.abs(found.view(-1, *size).numpy() - expected).max() < 1e-12


def test_a_spline_goes_through_the_values_and_keeps_what_is_constant() -> None:
    matrix = spline_matrix(5, 9)
    assert torch.allclose(matrix[::2], torch.eye(5, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(matrix.sum(1), torch.ones(9, dtype=torch.float64), atol=1e-12)


def test_other_ways_to_zoom_are_torchs_without_aligned_corners() -> None:
    maps = torch.arange(4.0).view(1, 1, 1, 4)
    assert zoom(maps, (1, 1, 8), "nearest").flatten().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert zoom(maps, (1, 1, 8), "trilinear").flatten().tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]


def test_the_dtype_of_maps_is_kept_and_a_matrix_made_in_inference_mode_serves_gradients() -> None:
    with torch.inference_mode():
        assert zoom(torch.zeros(1, 2, 3, 6), (4, 5, 11)).dtype == torch.float32
    maps = torch.ones(1, 2, 3, 6, requires_grad=True)
    zoom(maps, (4, 5, 11)).sum().backward()
    assert maps.grad.sum() == pytest.approx(4 * 5 * 11, rel=1e-5)


@pytest.mark.parametrize(
    ("size", "mode", "said"), [((1, 2), "spline", r"size: .* \(1, 2\)"), ((1, 1, 1), "linear", "zoom: .* 'linear'")]
)
def test_what_cannot_be_is_refused(size: tuple[int, ...], mode: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        zoom(torch.zeros(1, 1, 1, 1), size, mode)
