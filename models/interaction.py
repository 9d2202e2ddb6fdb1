"""Transformer layers of actors that look at their surroundings: all post-norm, as in the original transformer."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Seats:
    """Gives the actors of all clips places in a table with a row per clip, as long as the fullest one.

    Attributes:
        clip: (R,) int64, row of each actor.
        place: (R,) int64, column of each.
        taken: (B, A) bool, which places have an actor; A is at least 1.
    """

    clip: Tensor
    place: Tensor
    taken: Tensor

    @classmethod
    def of(cls, clip: Tensor, num_clips: int) -> "Seats":
        """Seat actors of ``clip`` (R,) int64 in ``num_clips`` rows, in their order."""
        arrived = F.one_hot(clip, num_clips).cumsum(0)  # (R, B)
        place = arrived.gather(1, clip.unsqueeze(1)).squeeze(1) - 1
        count = arrived[-1] if len(clip) else clip.new_zeros(num_clips)
        taken = torch.arange(max(1, int(count.max())), device=clip.device) < count.unsqueeze(1)
        return cls(clip, place, taken)

    def seat(self, actors: Tensor) -> Tensor:
        """Lay actors (R, D) out as (B, A, D), with 0 in free places."""
        table = actors.new_zeros(*self.taken.shape, actors.shape[1])
        return table.index_put((self.clip, self.place), actors)

    def collect(self, table: Tensor) -> Tensor:
        """Take actors (R, D) out of a table (B, A, D)."""
        return table[self.clip, self.place]


class AttentionLayer(nn.Module):
    """Multi-head attention, added to the queries and normalised.

    Args:
        dim: Width D.
        num_heads: Heads; must divide ``dim``.
        dropout: Of the attention weights and of what is added.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, num_heads, dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim)

    def forward(
        self, x: Tensor, others: Tensor, blocked: Tensor | None = None, positions: Tensor | float = 0.0
    ) -> Tensor:
        """Let tokens look at others.

        Args:
            x: (B, N, D).
            others: (B, M, D), which may be ``x``.
            blocked: (B, M) bool, True = not to be seen; of each row at least one must be seen.
            positions: (B, N, D), added to queries and keys, where ``others`` are ``x``.

        Returns:
            (B, N, D).
        """
        queries, keys = x + positions, others + positions
        seen, _ = self.attention(queries, keys, others, key_padding_mask=blocked, need_weights=False)
        return self.norm(x + self.dropout(seen))


class FeedForwardLayer(nn.Module):
    """Two linear layers with a ReLU between them, added to the input and normalised."""

    def __init__(self, dim: int, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(dim, hidden_dim), nn.Linear(hidden_dim, dim)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Transform tokens (..., D) -> (..., D), each by itself."""
        hidden = self.dropout(self.linear1(x).relu())
        return self.norm(x + self.dropout(self.linear2(hidden)))


class ContextLayer(nn.Module):
    """The cells of a clip look at each other."""

    def __init__(self, dim: int, num_heads: int, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = AttentionLayer(dim, num_heads, dropout)
        self.feed_forward = FeedForwardLayer(dim, hidden_dim, dropout)

    def forward(self, tokens: Tensor, positions: Tensor, outside: Tensor) -> Tensor:
        """Encode tokens (B, N, D) at positions (B, N, D), without those that are outside (B, N) bool of their clip."""
        return self.feed_forward(self.self_attention(tokens, tokens, outside, positions))


class InteractionLayer(nn.Module):
    """Actors look at each other, or at nobody, then at the cells that are not blocked.

    Args:
        together: Let the actors of a clip see each other. Otherwise each one's self-attention has a single token, that
            is, it is a linear map: so it is in CKK-coder/FBI-Learning.
        **settings: Of the layers.
    """

    def __init__(self, dim: int, num_heads: int, hidden_dim: int, dropout: float, together: bool) -> None:
        super().__init__()
        self.together = together
        self.self_attention = AttentionLayer(dim, num_heads, dropout)
        self.cross_attention = AttentionLayer(dim, num_heads, dropout)
        self.feed_forward = FeedForwardLayer(dim, hidden_dim, dropout)

    def forward(self, actors: Tensor, taken: Tensor, context: Tensor, blocked: Tensor) -> Tensor:
        """Transform actors (B, A, D) in places that are taken (B, A) bool.

        Args:
            actors: (B, A, D).
            taken: (B, A) bool; what becomes of other places does not matter.
            context: (B, N, D).
            blocked: (B, N) bool.
        """
        if self.together:
            empty = ~taken & taken.any(1, keepdim=True)  # a clip without actors: anything but nobody to see
            actors = self.self_attention(actors, actors, empty)
        else:
            each = actors.flatten(0, 1).unsqueeze(1)
            actors = self.self_attention(each, each).view_as(actors)
        return self.feed_forward(self.cross_attention(actors, context, blocked))


class Layers(nn.ModuleList):
    """Layers of one kind, applied one after the other; none leave their input as it is."""

    def __init__(self, kind: type[nn.Module], depth: int, **settings: Any) -> None:
        super().__init__(kind(**settings) for _ in range(depth))

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """Transform ``x`` with every layer, which all see the same ``others``."""
        for layer in self:
            x = layer(x, *others)
        return x
