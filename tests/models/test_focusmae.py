"""FocusMAE: the sampler's draw follows its logits and the region prior in the direction asked for."""

from itertools import pairwise

import pytest
import torch

from models.focusmae import FocusMAE, roi_fractions
from models.reconstruction import reconstruction_loss, sampling_loss, token_errors
from models.region_prior import Regions

SMALL = {
    "num_frames": 4,
    "image_size": 32,
    "patch_size": 4,
    "dim": 16,
    "depth": 1,
    "num_heads": 2,
    "decoder_dim": 16,
    "decoder_depth": 1,
    "decoder_num_heads": 2,
    "sampler_num_heads": 2,
    "sampler_dropout": 0.0,
}
N, VISIBLE = 128, 25


def small(**options) -> FocusMAE:
    torch.manual_seed(0)
    return FocusMAE(**{**SMALL, **options})


def clips(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))


def noise(batch: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, N, generator=torch.Generator().manual_seed(seed))


def some_tokens(batch: int = 2) -> torch.Tensor:
    return (torch.arange(N) % 5 == 0).float().expand(batch, N)


def hidden(batch: int = 16, **options) -> torch.Tensor:
    return small(**options)(clips(batch), prior=some_tokens(batch), noise=noise(batch))["hidden"]


def test_always_the_same_number_of_tokens_is_visible() -> None:
    for prior in (some_tokens(), torch.ones(2, N), torch.zeros(2, N)):
        output = small()(clips(), prior=prior, noise=noise())
        assert (~output["hidden"]).sum(1).tolist() == [VISIBLE, VISIBLE]
        assert output["prediction"].shape == (2, N - VISIBLE, 2 * 4 * 4 * 3)
        assert torch.equal(output["hidden"].nonzero()[:, 1].view(2, -1), output["index"])


def test_without_bonus_the_prior_changes_nothing() -> None:
    model = small(delta=0.0)
    with_prior = model(clips(), prior=some_tokens(), noise=noise())
    without = model(clips(), prior=torch.zeros(2, N), noise=noise())
    assert torch.equal(with_prior["hidden"], without["hidden"])
    assert torch.equal(with_prior["log_probability"], without["log_probability"])


@pytest.mark.parametrize("focus", ["mask", "visible"])
def test_a_prior_that_is_one_everywhere_changes_nothing(focus: str) -> None:
    model = small(focus=focus, delta=4.0)
    ones, zeros = (model(clips(), prior=torch.full((2, N), value), noise=noise()) for value in (1.0, 0.0))
    assert torch.equal(ones["hidden"], zeros["hidden"])
    torch.testing.assert_close(ones["log_probability"], zeros["log_probability"])


@pytest.mark.parametrize(("focus", "more"), [("mask", "roi_masked_fraction"), ("visible", "roi_visible_fraction")])
def test_a_larger_bonus_never_moves_regions_the_other_way(focus: str, more: str) -> None:
    shares = [roi_fractions(hidden(focus=focus, delta=delta), some_tokens(16))[more] for delta in (0, 0.5, 1, 2, 4, 20)]
    assert all(a <= b for a, b in pairwise(shares))
    assert shares[0] + 0.1 < shares[3] < shares[-1]
    assert shares[-1] > 0.9


def test_the_default_hides_regions_more_than_the_rest() -> None:
    masked = hidden().float()
    assert masked[:, ::5].mean() > masked[:, 1::5].mean() + 0.05


def test_probabilities_are_normalised_and_hold_the_bonus() -> None:
    model = small(focus="visible", delta=3.0)
    prior = some_tokens()
    plain, biased = (
        model(clips(), prior=value, noise=noise())["log_probability"] for value in (torch.zeros(2, N), prior)
    )
    torch.testing.assert_close(biased.exp().sum(1), torch.ones(2))
    shift = biased - plain
    torch.testing.assert_close(shift[:, ::5] - shift[:, 1:2], torch.full((2, 26), 3.0))


def test_the_sampler_sees_positions_unless_told_not_to() -> None:
    for sampler_positions in (True, False):
        model = small(delta=0.0, sampler_positions=sampler_positions).eval()
        seen = model.encoder.embed(clips()) if sampler_positions else model.encoder.patch_embed(clips())
        expected = model.sampler_logits(seen).log_softmax(1)
        torch.testing.assert_close(model(clips(), noise=noise())["log_probability"], expected)


def test_samples_and_noise_decide_independently() -> None:
    masks = hidden()
    assert len(masks.unique(dim=0)) == len(masks)
    assert torch.equal(masks, hidden())
    one = small()(clips(16)[3:4], prior=some_tokens(1), noise=noise(16)[3:4])["hidden"]
    assert torch.equal(one, masks[3:4])


def test_regions_become_the_prior() -> None:
    box = torch.tensor([0.0, 0.0, 8.0, 32.0]).expand(2, 4, 1, 4)  # the two left columns of 4-pixel patches
    found = Regions(box, torch.full((2, 4, 1), 0.5), torch.ones(2, 4, dtype=torch.int64))
    prior = small(inflation=1.0)(clips(), regions=found)["prior"].view(2, 2, 8, 8)
    assert prior[..., :2].eq(1).all()
    assert prior[..., 2:].eq(0).all()
    assert small(soft_prior=True)(clips(), regions=found)["prior"].max() == 0.5


def test_clips_without_regions_fall_back_as_asked() -> None:
    assert small()(clips())["prior"].view(2, 2, 8, 8)[:, :, 2:6, 2:6].all()
    assert small(prior_fallback="none")(clips())["prior"].sum() == 0


def test_an_injected_mask_is_used_and_draws_nothing() -> None:
    model = small()
    mask = hidden(2, delta=0.0)
    before = torch.get_rng_state()
    output = model(clips(), encoder_mask=mask)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(output["hidden"], mask)


def losses(output: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    errors = token_errors(output["prediction"], torch.ones_like(output["prediction"]))
    sampling = sampling_loss(output["log_probability"], errors, output["index"], output["counted"])
    return reconstruction_loss(errors, output["counted"]), sampling


@pytest.mark.parametrize("options", [{}, {"sampler_positions": False}, {"positions": "learned"}], ids=str)
def test_every_parameter_receives_a_gradient(options: dict) -> None:
    model = small(**options).train()
    sum(losses(model(clips(), noise=noise()))).backward()
    # A bias on all logits cancels in the softmax: its gradient is zero up to rounding, yet present, as DDP needs.
    assert model.encoder.get_token_probs[1].bias.grad.abs() < 1e-6
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert set(without) <= {"encoder.get_token_probs.1.bias"}


def test_reconstruction_does_not_train_the_sampler_and_the_sampling_loss_not_the_decoder() -> None:
    model = small()
    reconstruction, sampling = losses(model(clips(), noise=noise()))
    sampler = list(model.encoder.get_token_probs.parameters())
    assert all(g is None for g in torch.autograd.grad(reconstruction, sampler, retain_graph=True, allow_unused=True))
    decoder = list(model.decoder.parameters())
    assert all(g is None for g in torch.autograd.grad(sampling, decoder, allow_unused=True))


def test_dropout_of_the_sampler_acts_in_training_only() -> None:
    model = small(sampler_dropout=0.5)
    draws = [model.train(mode)(clips(), noise=noise())["log_probability"] for mode in (True, True, False, False)]
    assert not torch.equal(draws[0], draws[1])
    assert torch.equal(draws[2], draws[3])


def test_a_model_compiles_as_one_graph() -> None:
    model = small()
    eager = model(clips(), noise=noise())
    model.compile(fullgraph=True, backend="eager")
    for key, value in model(clips(), noise=noise()).items():
        torch.testing.assert_close(value, eager[key])


def test_fractions_are_weighted_by_the_prior_and_pooled_over_the_batch() -> None:
    mask = torch.tensor([[True, True, False, False], [True, False, False, False]])
    prior = torch.tensor([[1.0, 0.0, 0.5, 0.0], [0.5, 0.0, 0.0, 0.0]])
    fractions = roi_fractions(mask, prior)
    assert fractions["roi_masked_fraction"].item() == pytest.approx(1.5 / 2)
    assert fractions["roi_visible_fraction"].item() == pytest.approx(0.5 / 2)


def test_without_any_region_the_fractions_are_those_of_all_tokens() -> None:
    mask = torch.tensor([[True, True, True, False]])
    assert roi_fractions(mask, torch.zeros(1, 4))["roi_masked_fraction"].item() == 0.75


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"focus": "both"}, "focus: expected 'mask' or 'visible'"),
        ({"delta": -1.0}, "delta: expected at least 0"),
        ({"prior": "learned"}, "prior: expected one of geometric, upstream"),
        ({"prior_fallback": "all"}, "fallback: expected one of centre, none"),
        ({"prior_frames": "all"}, "frames: expected one of first, tubelet"),
        ({"mask_ratio": 0.999}, "leaves 0 of 128 tokens visible"),
        ({"sampler_num_heads": 3}, "16 cannot be split into num_heads=3"),
    ],
    ids=str,
)
def test_impossible_settings_are_refused_when_the_model_is_built(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)


@pytest.mark.parametrize("name", ["diim", "mask", "decoder_mask", "decoder_mask_ratio"])
def test_an_argument_that_is_unknown_or_decided_by_the_model_is_refused_by_name(name: str) -> None:
    with pytest.raises(TypeError, match=f"'{name}'"):
        small(**{name: 1})
