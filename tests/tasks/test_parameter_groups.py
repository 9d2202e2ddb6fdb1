"""Weight decay and learning-rate scale of every parameter."""

import pytest
import torch
from torch import nn

from tasks.parameter_groups import layer_id, parameter_groups, scale_learning_rates


class Encoder(nn.Module):
    """The names and dimensions that the rules look at."""

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.patch_embed = nn.Linear(3, 4)
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, 4))
        self.pos_embed_probs = nn.Parameter(torch.zeros(1, 5, 4))
        self.blocks = nn.ModuleList(Block() for _ in range(depth))
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 2)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(4)
        self.scale = nn.Parameter(torch.ones(2, 1, 1))
        self.gamma_1 = nn.Parameter(torch.ones(4))
        self.fc = nn.Linear(4, 4)


class Pretraining(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Encoder(depth=3)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, 4))


def settings(model: nn.Module, **options) -> dict[str, dict]:
    """Options of the group that each parameter is in."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: {key: value for key, value in group.items() if key not in ("params", "name")}
        for group in parameter_groups(model, **options)
        for parameter in group["params"]
    }


def test_norms_biases_scales_positions_and_tokens_do_not_decay():
    found = settings(Pretraining())
    kept = {name for name, options in found.items() if options == {}}
    assert kept == {
        f"{side}.{name}"
        for side, depth in (("encoder", 2), ("decoder", 3))
        for name in [
            "patch_embed.weight",
            "pos_embed_probs",
            "head.weight",
            *(f"blocks.{i}.fc.weight" for i in range(depth)),
        ]
    }
    assert all(options == {"weight_decay": 0.0} for name, options in found.items() if name not in kept)


def test_published_rule_decays_prefixed_positions():
    found = settings(Pretraining(), full_names=True)
    assert found["encoder.pos_embed"] == {}
    assert found["mask_token"] == {"weight_decay": 0.0}
    assert settings(Encoder(), full_names=True)["pos_embed"] == {"weight_decay": 0.0}


def test_every_trainable_parameter_is_in_exactly_one_group():
    model = Pretraining()
    model.encoder.patch_embed.requires_grad_(False)
    for options in ({}, {"layer_decay": 0.75}):
        grouped = [id(p) for group in parameter_groups(model, **options) for p in group["params"]]
        assert sorted(grouped) == sorted(id(p) for p in model.parameters() if p.requires_grad)


def test_names_of_groups_are_unique_so_that_their_rates_can_be_logged():
    names = [group["name"] for group in parameter_groups(Encoder(), layer_decay=0.5)]
    assert len(set(names)) == len(names)


def test_learning_rate_falls_towards_the_input():
    found = {name: options["lr_scale"] for name, options in settings(Encoder(), layer_decay=0.5).items()}
    assert found["patch_embed.weight"] == found["pos_embed"] == 0.125
    assert found["blocks.0.fc.weight"] == 0.25
    assert found["blocks.1.gamma_1"] == 0.5
    assert found["norm.weight"] == found["head.bias"] == 1.0


def test_blocks_of_a_decoder_neither_count_nor_are_slowed_down():
    found = {name: options["lr_scale"] for name, options in settings(Pretraining(), layer_decay=0.5).items()}
    assert found["encoder.patch_embed.weight"] == 0.125
    assert found["decoder.blocks.0.fc.weight"] == 1.0
    assert layer_id("encoder.get_token_probs.0.norm1.weight", depth=2) == 3


@pytest.mark.parametrize("layer_decay", [0, -0.5, 1.5])
def test_layer_decay_outside_its_range_is_refused(layer_decay: float):
    with pytest.raises(ValueError, match=r"expected a number in \(0, 1\]"):
        parameter_groups(Encoder(), layer_decay=layer_decay)


def test_layer_decay_needs_blocks():
    with pytest.raises(ValueError, match=r"Linear has no parameters named blocks"):
        parameter_groups(nn.Linear(2, 2), layer_decay=0.75)


def test_rates_are_scaled_once_however_often_it_is_asked():
    optimizer = torch.optim.AdamW(parameter_groups(Encoder(), layer_decay=0.5), lr=1e-3, weight_decay=0.05)
    for _ in range(2):
        scale_learning_rates(optimizer)
        assert [group["lr"] for group in optimizer.param_groups] == [
            1e-3 * group["lr_scale"] for group in optimizer.param_groups
        ]
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.05}


def test_rates_without_layer_decay_are_left_alone():
    optimizer = torch.optim.AdamW(parameter_groups(Encoder()), lr=1e-3)
    scale_learning_rates(optimizer)
    assert {group["lr"] for group in optimizer.param_groups} == {1e-3}
