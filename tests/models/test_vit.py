"""The video transformer: pooling, positions, heads, state dict, gradients."""

import pytest
import torch

from models.positions import sinusoid_table
from models.vit import VisionTransformer

SMALL = {"num_frames": 4, "image_size": (16, 24), "patch_size": 8, "dim": 24, "depth": 2, "num_heads": 2}
N = 2 * 2 * 3


def small(seed: int = 0, **options) -> VisionTransformer:
    torch.manual_seed(seed)
    return VisionTransformer(**{**SMALL, **options}).eval()


def clips() -> torch.Tensor:
    return torch.randn(2, 3, 4, 16, 24, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_pooling_reduces_the_tokens_it_says() -> None:
    models = {pooling: small(pooling=pooling) for pooling in ("mean", "first", "none")}
    tokens = {pooling: model.forward_tokens(clips()) for pooling, model in models.items()}
    mean = models["mean"]
    torch.testing.assert_close(mean(clips()), mean.fc_norm(tokens["mean"].mean(1)))
    torch.testing.assert_close(models["first"](clips()), tokens["first"][:, 0])
    torch.testing.assert_close(models["none"](clips()), tokens["none"])
    assert tokens["none"].shape == (2, N, 24)
    torch.testing.assert_close(models["first"].norm(tokens["mean"]), tokens["first"])


@torch.no_grad()
def test_change_is_measured_between_successive_tubelets() -> None:
    model = small(pooling="mean_change")
    first, last = model.forward_tokens(clips()).unflatten(1, (2, N // 2)).unbind(1)
    step = (last - first).abs()
    mean = torch.cat([first, last], 1).mean(1)
    torch.testing.assert_close(model(clips()), torch.cat([mean, step.mean(1), step.amax(1)], -1))
    assert model.num_features == 3 * 24


def test_a_model_without_classes_returns_its_features() -> None:
    model = small(num_classes=0)
    assert torch.equal(model(clips()), model.forward_features(clips()))
    assert small(num_classes=5)(clips()).shape == (2, 5)


def test_the_head_starts_small() -> None:
    assert small(num_classes=5, head_init_scale=0.001).head.weight.abs().max() < 1e-3
    assert small(num_classes=5, head_init_scale=1.0).head.weight.abs().max() > 1e-3


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pooling": "first", "layer_scale_init": 0.1},
        {"pooling": "mean_change"},
        {"positions": "learned", "cosine_attention": True},
        {"qkv_bias": False, "tubelet_size": 1},
        {"mlp_ratio": 48 / 11, "activation_checkpointing": True, "dropout": 0.1},
    ],
    ids=str,
)
def test_every_parameter_receives_a_gradient(options: dict) -> None:
    model = small(num_classes=3, **options).train()
    model(clips()).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_sinusoids_are_no_part_of_the_state_dict_and_learned_positions_are() -> None:
    assert "pos_embed" not in small().state_dict()
    assert small(positions="learned").state_dict()["pos_embed"].shape == (1, N, 24)


def test_tokens_keep_their_positions_when_only_some_are_embedded() -> None:
    model = small()
    index = torch.tensor([[7, 2], [0, 11]])
    expected = torch.stack([row[i] for row, i in zip(model.embed(clips()), index, strict=True)])
    torch.testing.assert_close(model.embed(clips(), index), expected)


def test_the_order_of_visible_tokens_does_not_matter_to_the_encoder() -> None:
    model = small(pooling="none")
    index = torch.tensor([[7, 2, 5], [0, 11, 3]])
    torch.testing.assert_close(
        model.forward_tokens(clips(), index).flip(1), model.forward_tokens(clips(), index.flip(1)), atol=1e-5, rtol=1e-5
    )


def test_positions_of_a_pretraining_grid_are_interpolated_and_otherwise_made_anew() -> None:
    assert torch.equal(small().pos_embed, sinusoid_table(N, 24))
    assert torch.equal(small(pretraining_grid=(2, 2, 3)).pos_embed, sinusoid_table(N, 24))
    assert small(pretraining_grid=[8, 14, 14]).pos_embed.shape == (1, N, 24)
    assert not torch.allclose(small(pretraining_grid=(8, 14, 14)).pos_embed, small().pos_embed, atol=0.1)


def test_a_model_on_the_meta_device_knows_its_shapes() -> None:
    with torch.device("meta"):
        model = VisionTransformer(**SMALL, num_classes=3, pretraining_grid=(8, 14, 14))
        assert model(torch.empty(2, 3, 4, 16, 24)).shape == (2, 3)


def test_a_model_compiles_as_one_graph() -> None:
    model = small(num_classes=3)
    eager = model(clips())
    model.compile(fullgraph=True, backend="eager")
    torch.testing.assert_close(model(clips()), eager)


def test_half_precision_weights_give_half_precision_features() -> None:
    assert small().bfloat16()(clips()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "max"}, "pooling: expected"),
        ({"positions": "rotary"}, "positions: expected"),
        ({"pooling": "none", "num_classes": 3}, "needs pooled features"),
        ({"patch_size": 7}, "multiple of tubelet_size and patch_size"),
        ({"num_heads": 7}, "cannot be split"),
    ],
    ids=str,
)
def test_impossible_settings_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)
