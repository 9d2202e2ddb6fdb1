"""Gradients of pixels: complete where they should be, the same in any batch, from baselines that are named."""

import pytest
import torch

from models.saliency import evidence_of
from models.saliency.baselines import baseline_of
from models.saliency.gradients import integrated_gradients, smooth_grad
from tests.models.saliency_networks import POOLED, Pooled, Squared, clips

METHODS = ("gradient", "gradient_x_input", "smooth_grad", "integrated_gradients")


def test_integrated_gradients_of_a_square_are_known_and_complete() -> None:
    video = clips()
    evidence = evidence_of(Squared(), video, 0, "integrated_gradients", steps=2)
    assert torch.allclose(evidence.maps["clip"], video[:, 0].square(), atol=1e-5)
    assert evidence.completeness_error().max() < 1e-5
    assert evidence.constant.tolist() == [0, 0, 0]


@pytest.mark.parametrize("baseline", ["mean", "black", "blurred", "first_frame"])
def test_integrated_gradients_start_from_what_the_model_says_of_the_baseline(baseline: str) -> None:
    model, video = Pooled(), clips(2, (4, 16, 16))
    options = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.2, 0.2)}
    evidence = evidence_of(model, video, 1, "integrated_gradients", baseline=baseline, steps=64, **options)
    empty = baseline_of(video, baseline, **options)
    assert torch.allclose(evidence.constant, model.eval()(empty)[:, 1], atol=1e-6)
    assert evidence.completeness_error().max() < 1e-3


def test_baselines_are_what_they_are_called() -> None:
    video = clips(2, (4, 32, 48))
    black = baseline_of(video, "black", mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    assert torch.allclose(black[:, :, 0, 0, 0], torch.full((2, 3), -2.0))
    assert (baseline_of(video, "mean") == 0).all()
    assert torch.equal(baseline_of(video, "first_frame")[:, :, 3], video[:, :, 0])
    blurred = baseline_of(video, "blurred")
    assert blurred.std((-2, -1)).max() < 0.3 * video.std((-2, -1)).min()
    assert torch.allclose(baseline_of(torch.ones(1, 3, 2, 9, 5), "blurred"), torch.ones(1, 3, 2, 9, 5))
    with pytest.raises(ValueError, match="needs mean and std"):
        baseline_of(video, "black")
    with pytest.raises(ValueError, match="found 'white'"):
        baseline_of(video, "white")


@pytest.mark.parametrize("method", METHODS)
def test_a_clip_has_the_same_map_in_any_batch(method: str) -> None:
    model, video = Pooled(), clips()
    whole = evidence_of(model, video, [0, 1, 2], method).maps["clip"]
    for i in range(3):
        alone = evidence_of(model, video[i : i + 1], i, method).maps["clip"]
        assert torch.allclose(alone[0], whole[i], rtol=1e-3, atol=1e-5)


def test_gradient_and_its_product_with_the_clip_are_those_of_autograd() -> None:
    model, video = Pooled().eval(), clips().requires_grad_()
    [slope] = torch.autograd.grad(model(video)[:, 1].sum(), [video])
    cells = video[0, 0].numel()
    found = {name: evidence_of(model, video.detach(), 1, name).maps["clip"] / cells for name in METHODS[:2]}
    assert torch.allclose(found["gradient"], slope.abs().sum(1), atol=1e-6)
    assert torch.allclose(found["gradient_x_input"], (slope * video).sum(1), atol=1e-6)


def test_smooth_grad_is_the_gradient_where_there_is_no_noise_and_repeats_with_its_seed() -> None:
    model, video = Pooled(), clips()
    plain = evidence_of(model, video, 1, "gradient").maps["clip"]
    assert torch.allclose(evidence_of(model, video, 1, "smooth_grad", noise=0.0).maps["clip"], plain, atol=1e-6)
    drawn = [evidence_of(model, video, 1, "smooth_grad", seed=seed).maps["clip"] for seed in (3, 3, 4)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.allclose(drawn[0], drawn[2], rtol=1e-3)


def test_the_predicted_class_stays_the_same_while_clips_are_changed() -> None:
    model, video = Pooled(), clips()
    classes = model.eval()(video).argmax(1).tolist()
    for method in METHODS:
        found, expected = (evidence_of(model, video, target, method) for target in ("predicted", classes))
        assert torch.equal(found.maps["clip"], expected.maps["clip"])


def test_options_of_other_methods_and_empty_sums_are_refused() -> None:
    with pytest.raises(ValueError, match="'smooth_grad' takes samples, noise, seed, found steps"):
        evidence_of(Pooled(), clips(), 1, "smooth_grad", steps=3)
    with pytest.raises(ValueError, match="'tube' takes no options, found steps"):
        evidence_of(Pooled(), clips(), 1, "tube", spec=POOLED, steps=3)
    video = clips()
    with pytest.raises(ValueError, match=r"samples: .* found 0"):
        smooth_grad(lambda each: each.sum((1, 2, 3, 4)), video, samples=0)
    with pytest.raises(ValueError, match=r"steps: .* found 0"):
        integrated_gradients(lambda each: each.sum((1, 2, 3, 4)), video, video, steps=0)
