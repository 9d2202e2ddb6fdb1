"""Attention followed back: the formulas of the papers, for all blocks; fused attention everywhere else."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.saliency import evidence_of
from models.saliency.attention import attention_of, gradient_rollout, legrad, rollout
from models.vit import VisionTransformer
from tests.models.saliency_networks import POOLED, Pooled

SIZES = {"num_frames": 4, "image_size": 16, "patch_size": 8, "dim": 24, "depth": 3, "num_heads": 3}


def make_model(**options: object) -> VisionTransformer:
    torch.manual_seed(0)
    model = VisionTransformer(**SIZES | {"num_classes": 4, "head_init_scale": 50.0} | options).eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape)
    return model


def clips() -> Tensor:
    return torch.randn(2, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))


def matrices() -> tuple[list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    attention = [torch.randn(2, 3, 5, 5, generator=generator).softmax(-1) for _ in range(4)]
    return attention, [torch.randn(2, 3, 5, 5, generator=generator) for _ in range(4)]


@pytest.mark.parametrize("summary", ["mean", "first"])
def test_rollout_is_the_product_of_the_blocks_half_of_each_the_skip_connection(summary: str) -> None:
    attention, _ = matrices()
    whole = torch.eye(5)
    for weights in attention:
        whole = (0.5 * weights.mean(1) + 0.5 * torch.eye(5)) @ whole
    expected = whole.mean(1) if summary == "mean" else whole[:, 0]
    assert torch.allclose(rollout([each.mean(1) for each in attention], summary), expected, atol=1e-6)


@pytest.mark.parametrize("summary", ["mean", "first"])
def test_gradient_rollout_adds_what_raises_the_score_to_the_identity(summary: str) -> None:
    attention, slopes = matrices()
    whole = torch.eye(5).expand(2, 5, 5)
    for weights, slope in zip(attention, slopes, strict=True):
        whole = whole + (weights * slope).clamp(min=0).mean(1) @ whole
    whole = whole - torch.eye(5)
    expected = whole.mean(1) if summary == "mean" else whole[:, 0]
    assert torch.allclose(gradient_rollout(attention, slopes, summary), expected, rtol=1e-4)


def test_legrad_is_the_mean_of_what_would_raise_the_score() -> None:
    _, slopes = matrices()
    expected = torch.stack(slopes).clamp(min=0).mean((0, 2, 3))
    assert torch.allclose(legrad(slopes), expected, atol=1e-6)


@pytest.mark.parametrize("cosine", [False, True])
def test_a_model_says_the_same_while_its_attention_is_seen(cosine: bool) -> None:
    model, video = make_model(cosine_attention=cosine), clips()
    with torch.no_grad():
        expected = model(video)
        with attention_of(model, model.saliency_spec().attention) as attention:
            found = model(video)
    assert torch.allclose(found, expected, atol=1e-5)
    assert [tuple(each.shape) for each in attention] == [(2, 3, 8, 8)] * 3
    assert torch.allclose(attention[1].sum(-1), torch.ones(2, 3, 8))


def test_matrices_exist_only_while_something_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    model, video = make_model(), clips()
    evidence_of(model, video, 1, "legrad")
    calls, fused = [], F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *a, **k: calls.append(1) or fused(*a, **k))
    softmaxes, plain = [], Tensor.softmax
    monkeypatch.setattr(Tensor, "softmax", lambda *a, **k: softmaxes.append(1) or plain(*a, **k))
    model(video)
    assert (len(calls), len(softmaxes)) == (3, 0)
    evidence_of(model, video, 1, "legrad")
    assert len(softmaxes) == 3  # or this test could not fail


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("method", ["rollout", "gradient_rollout", "legrad"])
def test_a_clip_has_the_same_map_in_any_batch_and_with_recomputed_activations(method: str, recompute: bool) -> None:
    video, expected = clips(), evidence_of(make_model(), clips(), 2, method).maps["tokens"]
    model = make_model(activation_checkpointing=recompute)
    assert expected.shape == (2, 2, 2, 2)
    for i in range(2):
        found = evidence_of(model, video[i : i + 1], 2, method).maps["tokens"][0]
        assert torch.allclose(found, expected[i], rtol=1e-3, atol=1e-6)


def test_what_follows_a_class_depends_on_it_and_rollout_does_not() -> None:
    model, video = make_model(), clips()
    for method, differs in (("rollout", False), ("gradient_rollout", True), ("legrad", True)):
        one, other = (evidence_of(model, video, target, method).maps["tokens"] for target in (0, 1))
        assert torch.equal(one, other) != differs


def test_gradients_of_attention_are_those_of_the_score_by_its_matrix() -> None:
    model, video = make_model(depth=1), clips()
    found = evidence_of(model, video, 2, "legrad").maps["tokens"].flatten(1)
    block, tokens = model.blocks[0], model.embed(video).detach()
    q, k, v = (
        each.unflatten(-1, (3, 8)).transpose(1, 2)
        for each in F.linear(
            block.norm1(tokens),
            block.attn.qkv.weight,
            torch.cat([block.attn.q_bias, torch.zeros(24), block.attn.v_bias]),
        ).chunk(3, -1)
    )
    weights = (q @ k.mT / 8**0.5).softmax(-1).detach().requires_grad_()
    after = tokens + block.attn.proj((weights @ v).transpose(1, 2).flatten(2))
    after = after + block.mlp(block.norm2(after))
    model.head(model.fc_norm(after.mean(1)))[:, 2].sum().backward()
    assert torch.allclose(found, weights.grad.clamp(min=0).mean((1, 2)), rtol=1e-3, atol=1e-7)


def test_a_model_without_attention_is_told_what_there_is_instead() -> None:
    with pytest.raises(ValueError, match=r"'rollout' needs attention .* known of Pooled; choose one of grad_cam"):
        evidence_of(Pooled(), torch.randn(1, 3, 2, 4, 4), 0, "rollout", spec=POOLED)
