"""Overlays, against the PNG files that the published script wrote."""

from torch import Tensor

from models.saliency.colours import published_focus, published_heat
from tests.reference.saliency.numbers import arrays

HEAT_LEVELS, ALPHA_LEVELS = 2, 1


def levels_apart(found: Tensor, expected: Tensor) -> int:
    assert found.shape == expected.shape
    return int((found.int() - expected.int()).abs().max())


def test_overlays_are_the_published_pictures() -> None:
    for given in arrays("frame_numbers", "frames_bgr", "heat_overlay_bgr", "focus_bgra"):
        frames = given["frames_bgr"].flip(-1)
        numbers, size = given["frame_numbers"], tuple(frames.shape[1:3])
        full = [each["tube"] for each in arrays("tube", "zoom_factor")]
        suited = [tube[numbers] for tube in full if tube.shape[1:] == size and len(tube) > numbers.max()]
        assert suited, f"no tube of frames {size}"
        for tube in suited:
            assert levels_apart(published_heat(frames, tube).flip(-1), given["heat_overlay_bgr"]) <= HEAT_LEVELS
            focus = published_focus(frames, tube)
            assert levels_apart(focus[..., :3].flip(-1), given["focus_bgra"][..., :3]) == 0
            assert levels_apart(focus[..., 3], given["focus_bgra"][..., 3]) <= ALPHA_LEVELS
