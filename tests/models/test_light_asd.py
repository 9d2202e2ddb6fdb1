"""Light-ASD: sizes of the published network, and the temperature of its loss."""

import pytest
import torch
import torch.nn.functional as F

from models.asd_losses import track_losses
from models.light_asd import LightASD, ParallelBlock
from models.light_losses import at_temperature, temperature_at


def test_the_published_size_is_the_default() -> None:
    model = LightASD()
    counted = sum(parameter.numel() for parameter in model.parameters())
    assert counted == 1_021_636  # 1.02 M in the paper
    assert model.dim == 128 and model.face_size == 112


def test_a_block_adds_what_both_kernels_find() -> None:
    torch.manual_seed(0)
    block, x = ParallelBlock(2, 4, 2).eval(), torch.randn(1, 2, 13, 8)
    small, large = (block.over_time[place](block.within[place](x)) for place in range(2))
    assert [layer.conv.kernel_size for layer in (*block.within, *block.over_time)] == [(3, 1), (5, 1), (1, 3), (1, 5)]
    torch.testing.assert_close(block(x), block.mix(small + large))


def test_a_block_on_faces_keeps_time_and_halves_space() -> None:
    block = ParallelBlock(1, 4, 3, stride=2).eval()
    assert block(torch.randn(2, 1, 7, 32, 32)).shape == (2, 4, 7, 16, 16)


def test_the_temperature_falls_with_the_epoch_as_published() -> None:
    assert temperature_at(0) == pytest.approx(1.3) and temperature_at(29) == pytest.approx(0.72)
    assert temperature_at(10, first=1, decrease=0) == 1
    with pytest.raises(ValueError, match=r"expected a temperature above 0, found -0\.02 in epoch 66"):
        temperature_at(66)


def test_the_loss_at_a_temperature_is_the_published_binary_cross_entropy() -> None:
    torch.manual_seed(0)
    output = {"logits": torch.randn(2, 5, 2), "video_logits": torch.randn(2, 5, 2), "fused": torch.randn(2, 5, 3)}
    target = torch.randint(0, 2, (2, 5))
    losses, weights = track_losses(at_temperature(output, 1.3), target, audio_weight=0, video_weight=0.5)
    joint, video = (
        F.binary_cross_entropy((output[name] / 1.3).softmax(-1)[..., 1], target.float())
        for name in ("logits", "video_logits")
    )
    torch.testing.assert_close(losses.sum() / weights.sum(), joint + 0.5 * video)
    assert at_temperature(output, 2)["fused"] is output["fused"]
