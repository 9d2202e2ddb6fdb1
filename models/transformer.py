"""Pre-norm transformer blocks in the state-dict layout of VideoMAE: attention, feed-forward layer, drop path."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from timm.layers import DropPath
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

NORM_EPS = 1e-6
MAX_LOG_SCALE = math.log(100.0)  # bound of the learned temperature; Liu et al., "Swin Transformer V2" (2022), 3.2
SAFE_SUM = (2.0**-60, 2.0**60)  # of attention weights: far from 2**-126 and 2**128, where bfloat16 ends


def attend(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0, scale: float | None = None) -> Tensor:
    """Scaled dot-product attention: torch's, but `attend_by_head` on a CPU in bfloat16 without gradients.

    Args:
        q: Queries (B, heads, N, d).
        k: Keys, likewise.
        v: Values, likewise.
        dropout: Dropout of the attention weights.
        scale: Factor of the dot products; None for one over the root of d.

    Returns:
        (B, heads, N, d).
    """
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and not dropout and not torch.is_grad_enabled():
        return attend_by_head(q, k, v, q.shape[-1] ** -0.5 if scale is None else scale)
    return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scale)


@torch.compiler.disable  # it would be compiled anew for every head of every clip of a batch
def attend_by_head(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Attention by plain matrix products, of one head at a time so that its logits stay in the cache.

    The fused attention of torch 2.13 multiplies bfloat16 no faster than float32 on a CPU with AVX512_BF16; its matrix
    products are four times as fast. The weights are powers of two of the logits as they are, and what a softmax would
    divide them by is divided out of the mixed values, of which there are fewer: the exponent of bfloat16 is that of
    float32, so this loses nothing unless a row of powers leaves its range; then the largest logit of each row is taken
    off, as a softmax does. Logits are rounded to bfloat16, unlike in the fused attention; sums are taken in float32.

    Args:
        q: Queries (B, heads, N, d), which need no gradients.
        k: Keys, likewise.
        v: Values, likewise.
        scale: Factor of the dot products.

    Returns:
        (B, heads, N, d).
    """
    mixed = torch.empty_like(q.transpose(1, 2), memory_format=torch.contiguous_format).transpose(1, 2)
    weights = q.new_empty(q.shape[2], k.shape[2])
    for clip in zip(q * (scale * math.log2(math.e)), k, v, mixed, strict=True):
        for queries, keys, values, out in zip(*clip, strict=True):
            total = torch.mm(queries, keys.T, out=weights).exp2_().sum(-1, keepdim=True)
            least, most = total.aminmax()
            if not SAFE_SUM[0] < least <= most < SAFE_SUM[1]:
                torch.mm(queries, keys.T, out=weights)
                total = weights.sub_(weights.amax(-1, keepdim=True)).exp2_().sum(-1, keepdim=True)
            torch.mm(weights, values, out=out).div_(total)
    return mixed


class DotProduct(nn.Module):
    """`attend` as a module without parameters: a place where attention can be seen from outside, by a forward hook."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0, scale: float | None = None) -> Tensor:
        """See `attend`."""
        return attend(q, k, v, dropout, scale)


class Attention(nn.Module):
    """Multi-head self-attention with biases for query and value but none for key, as in BEiT and VideoMAE.

    A bias on the key adds the same number to all logits of a query, which the softmax takes out again.

    Args:
        dim: Token width D.
        num_heads: Heads; must divide ``dim``.
        qkv_bias: Whether query and value have a bias.
        cosine: Compare directions instead of dot products, with one learned temperature per head, limited to 100
            (Liu et al., "Swin Transformer V2", 2022, section 3.2).
        dropout: Dropout of the output.
        attention_dropout: Dropout of the attention weights.

    Raises:
        ValueError: When ``num_heads`` does not divide ``dim``, or the dropout is no probability.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        qkv_bias: bool = True,
        cosine: bool = False,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ValueError(f"token width {dim} cannot be split into num_heads={num_heads}: choose a divisor")
        if not 0 <= attention_dropout <= 1:
            raise ValueError(f"attention_dropout: expected a probability in [0, 1], found {attention_dropout}")
        self.num_heads = num_heads
        self.attention_dropout = attention_dropout
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim)) if qkv_bias else None
        self.v_bias = nn.Parameter(torch.zeros(dim)) if qkv_bias else None
        self.scale = nn.Parameter(torch.full((num_heads, 1, 1), math.log(10.0))) if cosine else None
        self.dot_product = DotProduct()
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mix tokens (B, N, D) -> (B, N, D)."""
        bias = None
        if self.q_bias is not None:
            bias = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))
        qkv = F.linear(tokens, self.qkv.weight, bias)
        q, k, v = rearrange(qkv, "b n (three heads d) -> three b heads n d", three=3, heads=self.num_heads).unbind(0)
        temperature = None  # the default of scaled_dot_product_attention, one over the root of the head width
        if self.scale is not None:
            q = F.normalize(q, dim=-1) * self.scale.clamp(max=MAX_LOG_SCALE).exp().to(q.dtype)
            k = F.normalize(k, dim=-1)
            temperature = 1.0
        dropout = self.attention_dropout if self.training else 0.0
        mixed = self.dot_product(q, k.to(q.dtype), v, dropout, temperature)
        return self.proj_drop(self.proj(rearrange(mixed, "b heads n d -> b n (heads d)")))


class FeedForward(nn.Module):
    """Two linear layers with an exact GELU between them; dropout after the second only."""

    def __init__(self, dim: int, hidden_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform tokens (B, N, D) -> (B, N, D), each by itself."""
        return self.drop(self.fc2(F.gelu(self.fc1(tokens))))


class Block(nn.Module):
    """Pre-norm transformer block: attention, then feed-forward, each added to its input.

    Args:
        dim: Token width D.
        num_heads: Attention heads.
        mlp_ratio: Width of the feed-forward layer over D; the product is rounded down.
        qkv_bias: See `Attention`.
        cosine_attention: See `Attention`.
        layer_scale_init: Initial value of the learned scale of both branches; None or 0 for none.
        drop_path_rate: Probability of dropping a branch of a sample.
        dropout: Dropout at the end of both branches.
        attention_dropout: Dropout of the attention weights.
        norm_eps: Epsilon of the layer norms.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        cosine_attention: bool = False,
        layer_scale_init: float | None = None,
        drop_path_rate: float = 0.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        norm_eps: float = NORM_EPS,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.attn = Attention(dim, num_heads, qkv_bias, cosine_attention, dropout, attention_dropout)
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = FeedForward(dim, int(dim * mlp_ratio), dropout)
        self.drop_path = DropPath(drop_path_rate)
        self.gamma_1 = nn.Parameter(layer_scale_init * torch.ones(dim)) if layer_scale_init else None
        self.gamma_2 = nn.Parameter(layer_scale_init * torch.ones(dim)) if layer_scale_init else None

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform tokens (B, N, D) -> (B, N, D)."""
        mixed = self.attn(self.norm1(tokens))
        tokens = tokens + self.drop_path(mixed if self.gamma_1 is None else self.gamma_1 * mixed)
        transformed = self.mlp(self.norm2(tokens))
        return tokens + self.drop_path(transformed if self.gamma_2 is None else self.gamma_2 * transformed)


class BlockStack(nn.ModuleList):
    """Blocks applied one after the other, with drop path rising linearly from 0 to the rate of the last.

    Args:
        depth: Number of blocks.
        drop_path_rate: Drop path of the last block.
        activation_checkpointing: Recompute activations in the backward pass: less memory, about a third more time.
        **settings: Settings of every `Block`.

    Raises:
        ValueError: When there is no block, or the rate is no probability below 1.
    """

    def __init__(
        self, depth: int, drop_path_rate: float = 0.0, activation_checkpointing: bool = False, **settings: Any
    ) -> None:
        if depth < 1:
            raise ValueError(f"depth: expected at least one block, found {depth}")
        if not 0 <= drop_path_rate < 1:
            raise ValueError(f"drop_path_rate: expected a probability in [0, 1), found {drop_path_rate}")
        last = max(1, depth - 1)
        super().__init__(Block(drop_path_rate=drop_path_rate * i / last, **settings) for i in range(depth))
        self.activation_checkpointing = activation_checkpointing

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform tokens (B, N, D) -> (B, N, D)."""
        for block in self:
            if self.activation_checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens = block(tokens)
        return tokens
