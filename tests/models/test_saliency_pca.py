"""Features in colour, and signed maps around the middle of a table."""

import pytest
import torch

from models.saliency.colours import LEVELS, balanced, colour, colour_table
from models.saliency.pca import feature_colours


def tokens(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 20, 8, generator=torch.Generator().manual_seed(0))


def test_tokens_on_a_line_differ_in_the_first_colour_alone() -> None:
    line = torch.linspace(-1, 1, 9)[None, :, None] * torch.tensor([0.0, -3.0, 1.0, 0.5])
    [found] = feature_colours(line + 7)
    assert (found[:, 1:] == 0.5).all()
    assert (found[:, 0].diff() < 0).all() and found[4, 0] == pytest.approx(0.5)  # the largest weight is positive


def test_equal_tokens_have_no_colour_and_few_channels_few_colours() -> None:
    assert (feature_colours(torch.full((1, 6, 4), 3.3)) == 0.5).all()
    found = feature_colours(tokens()[..., :2])
    assert found.shape == (2, 20, 3) and (found[..., 2] == 0.5).all() and found[..., :2].std() > 0.1


def test_colours_of_a_clip_depend_neither_on_the_batch_nor_on_turns_of_the_features() -> None:
    together = feature_colours(tokens())
    assert torch.allclose(feature_colours(tokens()[1:]), together[1:], atol=1e-6)
    turn, _ = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1)))
    turned = feature_colours(tokens() @ turn)
    either = torch.minimum((turned - together).abs(), (1 - turned - together).abs()).amax((0, 1))
    assert either.max() < 1e-4  # but for the sign
    assert together.min() >= 0 and together.max() <= 1


def test_components_have_equal_spread() -> None:
    spread = tokens(1) * torch.tensor([100.0, 10.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.1])
    assert feature_colours(spread).std(1).squeeze() == pytest.approx([0.25] * 3, rel=0.15)


def test_nothing_is_grey_and_equal_evidence_for_and_against_equally_far_from_it() -> None:
    maps = torch.tensor([[[[-2.0, 0.0, 1.0]]], [[[0.0, 0.0, 0.0]]]])
    assert balanced(maps).flatten(1).tolist() == [[0, 0.5, 0.75], [0.5, 0.5, 0.5]]
    blue, grey, red = colour(balanced(torch.tensor([[-1.0, 0.0, 1.0]])), "coolwarm")[0].tolist()
    assert blue == [59, 76, 192] and red == [180, 4, 38] and max(grey) - min(grey) <= 2
    table = colour_table("coolwarm").double()
    brightness = table @ torch.tensor([0.2126, 0.7152, 0.0722], dtype=torch.float64)
    middle = LEVELS // 2
    assert (brightness[:middle].diff() > -1).all() and (brightness[middle:].diff() < 1).all()
