"""Transformer blocks compute the formulas of their papers."""

import pytest
import torch
import torch.nn.functional as F

from models.transformer import Attention, Block, BlockStack, FeedForward, attend

DIM, HEADS = 24, 3


def tokens(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 5, DIM, generator=torch.Generator().manual_seed(1))


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.5, generator=generator)
    return module.eval()


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("qkv_bias", [False, True])
def test_attention_equals_the_plain_formula(cosine: bool, qkv_bias: bool) -> None:
    attention = randomised(Attention(DIM, HEADS, qkv_bias=qkv_bias, cosine=cosine))
    x = tokens()
    zero = torch.zeros(DIM)
    q_bias, v_bias = (attention.q_bias, attention.v_bias) if qkv_bias else (zero, zero)
    weight_q, weight_k, weight_v = attention.qkv.weight.split(DIM)
    q, k, v = x @ weight_q.T + q_bias, x @ weight_k.T, x @ weight_v.T + v_bias
    width, mixed = DIM // HEADS, []
    for head in range(HEADS):
        channels = slice(head * width, (head + 1) * width)
        q_h, k_h, v_h = q[..., channels], k[..., channels], v[..., channels]
        if cosine:
            q_h, k_h = q_h / q_h.norm(dim=-1, keepdim=True), k_h / k_h.norm(dim=-1, keepdim=True)
            logits = q_h @ k_h.mT * attention.scale[head, 0, 0].exp().clamp(max=100)
        else:
            logits = q_h @ k_h.mT / width**0.5
        mixed.append(logits.softmax(-1) @ v_h)
    torch.testing.assert_close(attention(x), attention.proj(torch.cat(mixed, -1)), atol=1e-5, rtol=1e-5)


def queries_keys_values() -> torch.Tensor:
    """Three of (2 clips, 3 heads, 7 tokens, 8 channels), bfloat16, with logits of about 6."""
    return torch.randn(3, 2, 3, 7, 8, generator=torch.Generator().manual_seed(0)).mul(2.5).bfloat16()


@pytest.mark.parametrize("scale", [None, 1.0])
def test_attention_in_bfloat16_without_gradients_differs_from_the_exact_one_by_rounding(scale: float | None) -> None:
    q, k, v = queries_keys_values()
    exact = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), scale=scale)
    with torch.no_grad():
        found = attend(q, k, v, scale=scale)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=float(2**-5 * v.abs().max()))
    assert (found - exact).norm() < 2**-5 * exact.norm()


@pytest.mark.parametrize("logit", [-4096.0, -88.0, 0.0, 88.0, 4096.0])
def test_attention_in_bfloat16_survives_logits_whose_powers_do_not(logit: float) -> None:
    """All keys are equal, so that the answer is the mean of the values, whatever the logits are."""
    q, k, v = torch.zeros(1, 2, 9, 8), torch.zeros(1, 2, 9, 8), queries_keys_values()[2, :1, :2]
    v = v.repeat(1, 1, 2, 1)[:, :, :9]
    q[0, 1, 4:, 3], k[..., 3] = logit, 1.0
    with torch.no_grad():
        found = attend(q.bfloat16(), k.bfloat16(), v, scale=1.0)
        q[0, 1, 7] = torch.nan
        spoilt = attend(q.bfloat16(), k.bfloat16(), v, scale=1.0)
    expected = v.float().mean(2, keepdim=True).expand(v.shape)
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=float(2**-6 * v.abs().max()))
    assert spoilt[0, 1, 7].isnan().all() and spoilt.isnan().sum() == v.shape[-1]


def test_attention_in_bfloat16_has_gradients_where_they_are_wanted() -> None:
    q, k, v = queries_keys_values().requires_grad_()
    attend(q, k, v).sum().backward()


def test_only_attention_in_bfloat16_without_gradients_and_dropout_is_not_torchs_own() -> None:
    q, k, v = queries_keys_values()
    own = F.scaled_dot_product_attention(q, k, v)
    assert torch.equal(attend(q, k, v), own)
    with torch.no_grad():
        assert not torch.equal(attend(q, k, v), own)  # or this test could not fail
        wide = [part.float() for part in (q, k, v)]
        assert torch.equal(attend(*wide), F.scaled_dot_product_attention(*wide))
        torch.manual_seed(0)
        dropped = attend(q, k, v, dropout=0.5)
        torch.manual_seed(0)
        assert torch.equal(dropped, F.scaled_dot_product_attention(q, k, v, dropout_p=0.5))


def test_the_temperature_of_cosine_attention_is_limited_to_a_hundred() -> None:
    attention = randomised(Attention(DIM, HEADS, cosine=True))
    with torch.no_grad():
        attention.scale.fill_(5.0)
        limited = attention(tokens())
        attention.scale.fill_(50.0)
        assert torch.equal(attention(tokens()), limited)
        attention.scale.fill_(4.0)
        assert not torch.allclose(attention(tokens()), limited)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="24 cannot be split into num_heads=5"):
        Attention(DIM, 5)


def test_the_feed_forward_layer_uses_the_exact_gelu() -> None:
    layer = randomised(FeedForward(DIM, 2 * DIM))
    hidden = layer.fc1(tokens())
    exact = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    torch.testing.assert_close(layer(tokens()), layer.fc2(exact), atol=1e-5, rtol=1e-5)


def test_a_block_adds_scaled_branches_to_its_input() -> None:
    block = randomised(Block(DIM, HEADS, layer_scale_init=0.1))
    x = tokens()
    x = x + block.gamma_1 * block.attn(block.norm1(x))
    x = x + block.gamma_2 * block.mlp(block.norm2(x))
    torch.testing.assert_close(block(tokens()), x)


@pytest.mark.parametrize("init", [None, 0, 0.0])
def test_no_layer_scale_means_no_parameters_for_it(init: float | None) -> None:
    assert not any("gamma" in name for name in Block(DIM, HEADS, layer_scale_init=init).state_dict())


def test_layer_scale_starts_at_its_value() -> None:
    assert Block(DIM, HEADS, layer_scale_init=1).gamma_1.tolist() == [1.0] * DIM


def test_drop_path_drops_a_branch_of_whole_samples() -> None:
    torch.manual_seed(0)
    block = Block(DIM, HEADS, drop_path_rate=0.5).train()
    tokens = torch.randn(1, 5, DIM).expand(64, -1, -1)
    outcomes = block(tokens).flatten(1).unique(dim=0)
    assert len(outcomes) == 4  # each of two branches, there or not
    assert torch.equal(block.eval()(tokens)[:1].expand(64, -1, -1), block(tokens))


def test_drop_path_rises_linearly_from_zero_to_the_last_block() -> None:
    rates = [block.drop_path.drop_prob for block in BlockStack(5, drop_path_rate=0.2, dim=DIM, num_heads=HEADS)]
    assert rates == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2])
    assert BlockStack(1, drop_path_rate=0.2, dim=DIM, num_heads=HEADS)[0].drop_path.drop_prob == 0.0


def test_dropout_acts_in_training_only() -> None:
    stack = randomised(BlockStack(2, dim=DIM, num_heads=HEADS, dropout=0.5, attention_dropout=0.5))
    assert torch.equal(stack(tokens()), stack(tokens()))
    stack.train()
    assert not torch.allclose(stack(tokens()), stack(tokens()))


def test_activation_checkpointing_changes_neither_output_nor_gradients() -> None:
    results = []
    for checkpointing in (False, True):
        stack = randomised(BlockStack(2, dim=DIM, num_heads=HEADS, activation_checkpointing=checkpointing)).train()
        x = tokens().requires_grad_()
        output = stack(x)
        output.square().sum().backward()
        results.append([output, x.grad, *(parameter.grad for parameter in stack.parameters())])
    for plain, recomputed in zip(*results, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_attention_works_under_autocast() -> None:
    attention = randomised(Attention(DIM, HEADS, cosine=True))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = attention(tokens())
    assert F.cosine_similarity(mixed.float().flatten(), attention(tokens()).flatten(), dim=0) > 0.99
