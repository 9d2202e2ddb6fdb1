"""Colours of maps: tables that rise in brightness, frames that show through."""

import pytest
import torch

from models.saliency.colours import LEVELS, blend, colour, colour_table, jet, published_focus, published_heat


@pytest.mark.parametrize("table", ["viridis", "magma"])
def test_uniform_tables_rise_in_brightness_in_even_steps(table: str) -> None:
    linear = (colour_table(table) / 255).double()
    linear = torch.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    luminance = linear @ torch.tensor([0.2126, 0.7152, 0.0722], dtype=torch.float64)
    dark = luminance <= 0.008856  # CIE 1976
    lightness = torch.where(dark, 903.3 * luminance, 116 * luminance ** (1 / 3) - 16)
    steps = lightness[::16].diff()
    assert len(linear) == LEVELS and (steps > 0).all()
    assert steps.max() < 1.5 * steps.median() and steps.median() < 2 * steps.min()


def test_jet_is_dark_blue_green_and_dark_red() -> None:
    found = jet(torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]))
    assert found.tolist() == [[0, 0, 0.5], [0, 0.5, 1], [0.5, 1, 0.5], [1, 0.5, 0], [0.5, 0, 0]]


def test_a_map_takes_its_share_of_the_frame_from_the_threshold_on() -> None:
    frames, maps = torch.full((1, 1, 3, 3), 100, dtype=torch.uint8), torch.tensor([[[0.0, 0.5, 1.0]]])
    colours = colour(maps, "magma").float()
    found = blend(frames, maps, 0.25, "magma", threshold=0.4)
    assert found[0, 0, 0].tolist() == [100, 100, 100]
    expected = (0.25 * colours[0, 0, 1:] + 75).round()
    assert torch.equal(found[0, 0, 1:].float(), expected)
    assert found.dtype == torch.uint8


def test_published_pictures_are_halves_and_alphas_of_each_frame() -> None:
    frames = torch.full((2, 1, 2, 3), 101, dtype=torch.uint8)
    maps = torch.tensor([[[0.0, 0.5]], [[0.25, 0.25]]])
    assert published_heat(frames, maps)[0, 0, 0].tolist() == [50, 50, 50 + 64]
    assert published_focus(frames, maps)[..., 3].tolist() == [[[20, 255]], [[20, 20]]]


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(ValueError, match="viridis, magma, coolwarm, jet, found 'rainbow'"):
        colour(torch.zeros(2), "rainbow")
