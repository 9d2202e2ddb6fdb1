"""LR-ASD: sizes of the published network, its gates, and its dropout."""

import pytest
import torch

from models.lr_asd import LRASD, Gate, SequentialBlock


def test_the_published_size_is_the_default() -> None:
    model = LRASD()
    assert sum(parameter.numel() for parameter in model.parameters()) == 837_156  # 0.84 M in the paper
    assert model.dropout.p == 0.5


def test_a_block_goes_from_large_to_small_kernels_within_frames_and_then_over_time() -> None:
    block = SequentialBlock(1, 4, 3, stride=2).eval()
    kernels = [layer.conv.kernel_size for layer in (*block.within, *block.over_time)]
    assert kernels == [(1, 5, 5), (1, 3, 3), (5, 1, 1), (3, 1, 1)]
    assert block(torch.randn(2, 1, 7, 32, 32)).shape == (2, 4, 7, 16, 16)


def test_a_gate_lets_through_as_much_as_both_streams_say() -> None:
    gate, one, other = Gate(6).eval(), torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    joined = torch.cat((one, other), -1)
    share = gate(one, other, None) / joined
    assert ((share > 0) & (share < 1)).all()
    torch.nn.init.zeros_(gate.project.weight)
    torch.testing.assert_close(gate(one, other, None), joined / 2)


def test_chance_is_in_training_alone() -> None:
    torch.manual_seed(0)
    faces, audio = torch.randint(0, 256, (1, 6, 32, 32)), torch.randn(1, 24, 13)
    model = LRASD((4, 6, 8), face_size=32)
    assert not torch.equal(model(faces, audio)["logits"], model(faces, audio)["logits"])
    model.eval()
    assert torch.equal(model(faces, audio)["logits"], model(faces, audio)["logits"])
    with pytest.raises(ValueError, match=r"dropout: expected a probability in \[0, 1\), found 1"):
        LRASD(dropout=1)
