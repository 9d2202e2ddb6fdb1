"""Masked autoencoders: what is hidden stays hidden, what is decoded is what the masks say."""

import pytest
import torch

from models.masked_autoencoder import MaskedAutoencoder
from models.masking import running_cell_mask, tube_mask
from models.reconstruction import token_errors

SMALL = {
    "num_frames": 4,
    "image_size": (16, 32),
    "patch_size": 4,
    "dim": 24,
    "depth": 2,
    "num_heads": 2,
    "decoder_dim": 16,
    "decoder_depth": 2,
    "decoder_num_heads": 2,
    "mask_ratio": 0.75,
}
GRID, N = (2, 4, 8), 64


def small(**options) -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MaskedAutoencoder(**{**SMALL, **options})


def clips() -> torch.Tensor:
    return torch.randn(2, 3, 4, 16, 32, generator=torch.Generator().manual_seed(0))


def noise(model: MaskedAutoencoder, seed: int = 0) -> torch.Tensor:
    return torch.rand(2, model.noise_size, generator=torch.Generator().manual_seed(seed))


def test_without_a_decoder_mask_exactly_the_hidden_tokens_are_decoded() -> None:
    model = small()
    output = model(clips(), noise=noise(model))
    assert output["prediction"].shape == (2, 48, 2 * 4 * 4 * 3)
    assert output["hidden"].shape == (2, N)
    assert torch.equal(output["hidden"].nonzero()[:, 1].view(2, 48), output["index"])
    assert output["counted"].all()


def test_with_a_decoder_mask_the_decoded_tokens_hidden_from_the_encoder_count() -> None:
    model = small(decoder_mask="running_cell")
    u = noise(model)
    output = model(clips(), noise=u)
    not_decoded = running_cell_mask(u[:, -1], GRID, 0.5)
    assert torch.equal(output["index"], (~not_decoded).nonzero()[:, 1].view(2, 32))
    assert torch.equal(output["hidden"], tube_mask(u[:, :-1], GRID, 0.75))
    assert torch.equal(output["counted"], output["hidden"].gather(1, output["index"]))
    assert output["counted"].any()
    assert not output["counted"].all()


def test_decoding_the_hidden_tokens_by_a_decoder_mask_is_videomae() -> None:
    model = small()
    plain = model(clips(), noise=noise(model))
    injected = model(clips(), encoder_mask=plain["hidden"], decoder_mask=~plain["hidden"])
    for key, value in plain.items():
        assert torch.equal(value, injected[key]), key


@pytest.mark.parametrize("options", [{"mask": "tube"}, {"mask": "random"}, {"decoder_mask": "running_cell"}], ids=str)
def test_predictions_do_not_depend_on_hidden_pixels(options: dict) -> None:
    model = small(**options).eval()
    u = noise(model)
    hidden = model(clips(), noise=u)["hidden"].view(2, 1, *GRID)
    hidden = hidden.repeat_interleave(2, 2).repeat_interleave(4, 3).repeat_interleave(4, 4)
    changed = torch.where(hidden, torch.full_like(clips(), 9.0), clips())
    assert torch.equal(model(changed, noise=u)["prediction"], model(clips(), noise=u)["prediction"])
    changed = torch.where(hidden, clips(), torch.full_like(clips(), 9.0))
    assert not torch.allclose(model(changed, noise=u)["prediction"], model(clips(), noise=u)["prediction"])


def test_masks_come_from_the_noise_given_and_differ_without() -> None:
    model = small()
    first, second = (model(clips(), noise=noise(model, seed))["hidden"] for seed in (0, 1))
    assert torch.equal(first, model(clips(), noise=noise(model, 0))["hidden"])
    assert not torch.equal(first, second)
    assert not torch.equal(model(clips())["hidden"], model(clips())["hidden"])


def test_injected_masks_draw_nothing() -> None:
    model = small(decoder_mask="running_cell").eval()
    masks = model(clips(), noise=noise(model))["hidden"]
    before = torch.get_rng_state()
    model(clips(), encoder_mask=masks, decoder_mask=~masks)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("mask", "size"), [("tube", 32), ("random", N)])
def test_noise_size_is_what_the_masks_take(mask: str, size: int) -> None:
    assert small(mask=mask).noise_size == size
    assert small(mask=mask, decoder_mask="running_cell").noise_size == size + 1
    with pytest.raises(ValueError, match=rf"noise: expected shape \(2, {size}\), found \(2, 5\)"):
        small(mask=mask)(clips(), noise=torch.rand(2, 5))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"decoder_mask": "running_cell", "layer_scale_init": 0.1},
        {"positions": "learned", "cosine_attention": True, "mask": "random"},
        {"qkv_bias": False, "activation_checkpointing": True},
    ],
    ids=str,
)
def test_every_parameter_receives_a_gradient(options: dict) -> None:
    model = small(**options).train()
    output = model(clips(), noise=noise(model))
    token_errors(output["prediction"], torch.ones_like(output["prediction"])).mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_linear_layers_start_from_xavier_and_the_mask_token_small() -> None:
    model = small()
    weight = model.encoder.blocks[0].mlp.fc1.weight
    bound = (6 / sum(weight.shape)) ** 0.5
    assert 0.95 * bound < weight.abs().max() <= bound
    assert 0 < model.mask_token.std() < 0.05


@pytest.mark.parametrize("options", [{}, {"decoder_mask": "running_cell", "mask": "random"}], ids=str)
def test_a_model_compiles_as_one_graph(options: dict) -> None:
    model = small(**options)
    u = noise(model)
    eager = model(clips(), noise=u)
    model.compile(fullgraph=True, backend="eager")
    for key, value in model(clips(), noise=u).items():
        torch.testing.assert_close(value, eager[key])


def test_a_model_works_under_autocast() -> None:
    model = small(decoder_mask="running_cell")
    u = noise(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = model(clips(), noise=u)["prediction"]
    assert torch.cosine_similarity(prediction.float(), model(clips(), noise=u)["prediction"], dim=-1).mean() > 0.99


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": "cube"}, "mask: expected 'tube' or 'random'"),
        ({"decoder_mask": "random"}, "decoder_mask: expected 'running_cell' or None"),
        ({"mask_ratio": 1.0}, "hides 32 of the 32 places"),
        ({"mask": "random", "mask_ratio": 0.0}, "leaves 64 of 64 tokens visible"),
        ({"decoder_mask": "running_cell", "decoder_mask_ratio": 0.2}, "hides 0 of the 4 places"),
        ({"decoder_mask": "running_cell", "image_size": 20}, "even size only, not 5x5"),
        ({"image_size": 18}, "multiple of tubelet_size and patch_size"),
    ],
    ids=str,
)
def test_impossible_settings_are_refused_when_the_model_is_built(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_unequal_masks_are_refused() -> None:
    model = small()
    hidden = model(clips(), noise=noise(model))["hidden"]
    hidden[0, hidden[0].nonzero()[0]] = False
    with pytest.raises(ValueError, match="encoder_mask: every sample"):
        model(clips(), encoder_mask=hidden)
