"""The attention of TalkNet: one stream asks, the other answers and is carried on, each token at a time and place."""

import torch.nn.functional as F
from torch import Tensor, nn

from models.interaction import FeedForwardLayer
from models.mrope import rotate

FFN_RATIO = 4


class StreamAttention(nn.Module):
    """Multi-head attention between two streams, whose queries and keys may be turned by where tokens are.

    Without angles it computes what ``torch.nn.MultiheadAttention`` does, and begins with the same weights.

    Args:
        dim: Width D of both streams.
        num_heads: Heads H; must divide ``dim``.
        dropout: Of the attention weights.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.in_proj = nn.Linear(dim, 3 * dim)  # queries, keys and values
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj.weight)
        nn.init.zeros_(self.in_proj.bias)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self,
        queries: Tensor,
        tokens: Tensor,
        present: Tensor | None = None,
        angles: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Let queries (B, N, D) look at tokens (B, M, D).

        Args:
            queries: (B, N, D).
            tokens: (B, M, D).
            present: (B, M) bool, True = may be seen; None: all. Who may see nothing sees anything.
            angles: Those of queries (B, H or 1, N, D / H / 2) and of tokens, see `models.mrope.Rotary.angles`.

        Returns:
            (B, N, D).
        """
        dim = queries.shape[-1]
        weight, bias = self.in_proj.weight, self.in_proj.bias
        q = self._by_head(F.linear(queries, weight[:dim], bias[:dim]))
        k, v = map(self._by_head, F.linear(tokens, weight[dim:], bias[dim:]).chunk(2, -1))
        if angles is not None:
            q, k = rotate(q, angles[0]), rotate(k, angles[1])
        if present is not None:
            present = (present | ~present.any(1, keepdim=True))[:, None, None]
        dropout = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=present, dropout_p=dropout)
        return self.out_proj(seen.transpose(1, 2).flatten(2))

    def _by_head(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class StreamLayer(nn.Module):
    """A post-norm transformer layer: what the other stream finds in a stream is added to that stream.

    TaoRuijie/TalkNet-ASD. Because the answer to query n is added to token n, both streams have the same length.

    Args:
        dim: Width D.
        num_heads: Heads.
        dropout: Of the attention weights, of what is added, and within the feed-forward layer.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.attention = StreamAttention(dim, num_heads, dropout)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForwardLayer(dim, FFN_RATIO * dim, dropout)

    def forward(
        self,
        stream: Tensor,
        other: Tensor,
        present: Tensor | None = None,
        angles: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Carry on stream (B, T, D), in which other (B, T, D) looks for what it needs.

        Args:
            stream: Keys, values and residual.
            other: Queries; ``stream`` itself for self-attention.
            present: (B, T) bool, which tokens of ``stream`` may be seen; None: all.
            angles: Of ``stream`` and of ``other``, in this order.

        Returns:
            (B, T, D).
        """
        turned = None if angles is None else (angles[1], angles[0])
        found = self.attention(other, stream, present, turned)
        return self.feed_forward(self.norm(stream + self.dropout(found)))
