"""FBIL: every actor looks at the foreground and at the background of its clip, each seen through a mask."""

import random
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from models.actor_head import ActorHead
from models.interaction import ContextLayer, InteractionLayer, Layers, Seats
from models.interaction_masks import (
    foreground_region,
    own_region,
    random_masks,
    region_masks,
    upstream_masks,
)
from models.positions import plane_table, point_table
from models.roi_features import Placement, to_cells

BRANCHES = 2


class FBILHead(ActorHead):
    """Foreground/background-masked interaction learning.

    Chen et al., "Foreground/Background-Masked Interaction Learning for Spatio-temporal Action Detection" (ACM MM 2023);
    CKK-coder/FBI-Learning, whose defaults these are. An actor is the strongest response within its box. It looks, in
    two branches, at the encoded cells of its clip: one branch sees most of the foreground, the other most of the
    background. The actor decides how much of each is added to it. The context of a clip is encoded once, whatever the
    number of its actors.

    Args:
        widths: Channels of each of the features.
        num_classes: C.
        dim: Width D of actors and cells, a multiple of 4.
        num_heads: Attention heads.
        ffn_dim: Hidden width of feed-forward layers.
        encoder_depth: Layers in which cells look at each other.
        foreground_depth: Layers of the foreground branch; 0: it adds nothing of the context.
        background_depth: Layers of the background branch, likewise.
        aggregation: Weights of the branches: ``softmax`` over both, or ``sigmoid`` of each.
        roi_size: Bins along each side of a box.
        dropout: Before the classifier.
        attention_dropout: In all attention and feed-forward layers.
        bias: Of the classifier.
        foreground_blocked: Shares of the foreground and of the background that the foreground branch does not see.
        background_blocked: The same of the background branch.
        actor_interaction: Let the actors of a clip see each other. In the published code they do not.
        located: Tell actors and cells where they are before actors look. In the published code neither knows it, so
            that an actor cannot tell whom it faces.
        stride: Pixels per cell of the features.
        as_published: See `ActorHead`; the foreground is then too small as well in clips that were filled up.

    Raises:
        ValueError: For numbers out of range.
    """

    masked = True

    def __init__(
        self,
        widths: Annotated[Sequence[int], "widths >= 1"] = (2048, 256),
        num_classes: Annotated[int, "num_classes >= 1"] = 60,
        dim: Annotated[int, "dim >= 4 and dim % 4 == 0"] = 1024,
        num_heads: Annotated[int, "num_heads >= 1 and dim % num_heads == 0"] = 8,
        ffn_dim: Annotated[int, "ffn_dim >= 1"] = 2048,
        encoder_depth: Annotated[int, "encoder_depth >= 0"] = 3,
        foreground_depth: Annotated[int, "foreground_depth >= 0"] = 3,
        background_depth: Annotated[int, "background_depth >= 0"] = 3,
        aggregation: Literal["softmax", "sigmoid"] = "softmax",
        roi_size: Annotated[int, "roi_size >= 1"] = 7,
        dropout: Annotated[float, "0 <= dropout < 1"] = 0.0,
        attention_dropout: Annotated[float, "0 <= attention_dropout < 1"] = 0.1,
        bias: bool = False,
        foreground_blocked: Annotated[tuple[float, float], "0 <= foreground_blocked <= 1"] = (0.2, 1.0),
        background_blocked: Annotated[tuple[float, float], "0 <= background_blocked <= 1"] = (0.9, 0.2),
        actor_interaction: bool = False,
        located: bool = False,
        stride: Annotated[int, "stride >= 1"] = 16,
        as_published: bool = False,
    ) -> None:
        super().__init__(widths, num_classes, roi_size, stride, as_published=as_published)
        if dim < 4 or dim % 4:
            raise ValueError(f"dim: expected a multiple of 4, found {dim}")
        if num_heads < 1 or dim % num_heads:
            raise ValueError(f"num_heads: expected a divisor of dim={dim}, found {num_heads}")
        if ffn_dim < 1:
            raise ValueError(f"ffn_dim: expected a number >= 1, found {ffn_dim}")
        depths = {"encoder": encoder_depth, "foreground": foreground_depth, "background": background_depth}
        for name, depth in depths.items():
            if depth < 0:
                raise ValueError(f"{name}_depth: expected a number >= 0, found {depth}")
        if encoder_depth and not foreground_depth + background_depth:
            raise ValueError(f"encoder_depth: expected 0 where no branch looks at the context, found {encoder_depth}")
        if aggregation not in ("softmax", "sigmoid"):
            raise ValueError(f"aggregation: expected 'softmax' or 'sigmoid', found {aggregation!r}")
        for name, value in (("dropout", dropout), ("attention_dropout", attention_dropout)):
            if not 0 <= value < 1:
                raise ValueError(f"{name}: expected a probability in [0, 1), found {value}")
        for name, shares in (("foreground_blocked", foreground_blocked), ("background_blocked", background_blocked)):
            if len(shares) != 2 or not 0 <= min(shares) <= max(shares) <= 1:
                raise ValueError(f"{name}: expected two shares in [0, 1], found {list(shares)}")
        self.dim, self.aggregation, self.located = dim, aggregation, located
        self.blocked = tuple(foreground_blocked), tuple(background_blocked)

        self.reduce = nn.Conv2d(sum(self.widths), dim, 1, bias=False)
        layer = {"dim": dim, "num_heads": num_heads, "hidden_dim": ffn_dim, "dropout": attention_dropout}
        self.encoder = Layers(ContextLayer, encoder_depth, **layer)
        self.foreground = Layers(InteractionLayer, foreground_depth, **layer, together=actor_interaction)
        self.background = Layers(InteractionLayer, background_depth, **layer, together=actor_interaction)
        self.weigh = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 2))
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(2 * dim, num_classes, bias=bias)
        for part in (self.encoder, self.foreground, self.background):
            for parameter in part.parameters():
                if parameter.ndim > 1:
                    nn.init.xavier_uniform_(parameter)  # as published, the packed projections as one matrix

    def forward(
        self,
        features: Sequence[Tensor],
        rois: Tensor,
        clip: Tensor,
        size: Tensor,
        padded: tuple[int, int],
        noise: Tensor | None = None,
        masks: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """See `ActorHead.forward`; beside ``logits``, ``weights`` (R, 2) of the foreground and the background."""
        placement = self.place(rois, clip, size, padded)
        draws = self._masks(placement, noise, masks) | ~own_region(placement.cells, placement.grid).unsqueeze(1)
        plane = self.reduce(self.over_time(features))
        actors = self.pool(plane, placement)
        context = self.encode(plane, placement.cells)
        seats = Seats.of(clip, len(plane))
        weights = self.weigh(actors)
        weights = weights.softmax(1) if self.aggregation == "softmax" else weights.sigmoid()
        looking = actors
        if self.located:
            cells = placement.cells
            middle = placement.boxes.view(-1, 2, 2).mean(1).flip(1)
            looking = actors + point_table(middle, clip, cells, self.dim).to(actors.dtype)
            context = context + plane_table(cells, placement.grid, self.dim).to(context.dtype)
        logits = [self.classify(actors, weights, self.interact(looking, seats, context, draw)) for draw in draws]
        return {"logits": torch.stack(logits).mean(0), "weights": weights}

    def encode(self, plane: Tensor, cells: Tensor) -> Tensor:
        """Encode the cells of plane (B, D, h, w), of which cells (B, 2) belong to each clip: (B, h * w, D)."""
        grid = tuple(plane.shape[-2:])
        tokens = plane.flatten(2).transpose(1, 2)
        positions = plane_table(cells, grid, self.dim).to(tokens.dtype)
        return self.encoder(tokens, positions, ~own_region(cells, grid).flatten(1))

    def interact(self, actors: Tensor, seats: Seats, context: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Let actors (R, D) look at context (B, N, D) behind masks (B, 2, h, w): (R, D) of each branch."""
        table, (foreground, background) = seats.seat(actors), masks.flatten(2).unbind(1)
        return (
            seats.collect(self.foreground(table, seats.taken, context, foreground)),
            seats.collect(self.background(table, seats.taken, context, background)),
        )

    def classify(self, actors: Tensor, weights: Tensor, seen: tuple[Tensor, Tensor]) -> Tensor:
        """Make logits (R, C) of actors (R, D) and what they saw in each branch, weighted by weights (R, 2)."""
        joined = self.norm(weights[:, :1] * seen[0] + weights[:, 1:] * seen[1])
        return self.classifier(self.dropout(torch.cat([actors, joined], 1)))

    def regions(self, placement: Placement) -> tuple[Tensor, Tensor]:
        """Find the foreground and the own cells of each clip, (B, h, w) bool each."""
        own, boxes = own_region(placement.cells, placement.grid), placement.boxes
        if self.as_published:  # boxes in [0, 1] of the filled up clip meet the cells of the clip alone
            shares = placement.cells / placement.cells.new_tensor(placement.grid)
            boxes = to_cells(boxes, placement.clip, shares)
        return foreground_region(boxes, placement.clip, own), own

    def random_masks(self, placement: Placement, noise: Tensor) -> Tensor:
        """Make masks ([K,] B, 2, h, w) of noise ([K,] B, 2, h, w)."""
        return random_masks(noise, *self.regions(placement), self.blocked)

    def region_masks(self, placement: Placement) -> Tensor:
        """Make masks (B, 2, h, w) without chance: what a branch sees less than half of, it does not see at all."""
        return region_masks(*self.regions(placement), self.blocked)

    def upstream_masks(self, placement: Placement, generator: random.Random) -> Tensor:
        """Draw masks (B, 2, h, w) from a generator in the order of the published code."""
        has_actors = torch.bincount(placement.clip, minlength=len(placement.cells)) > 0
        return upstream_masks(generator, *self.regions(placement), has_actors, self.blocked).to(placement.boxes.device)

    def draw_noise(
        self, size: Tensor, padded: tuple[int, int], generators: Sequence[torch.Generator], draws: int = 1
    ) -> Tensor:
        """Draw noise for each clip from a generator of its own, so that it does not depend on the batch.

        Args:
            size: (B, 2) int64, height and width of each clip.
            padded: ``(H, W)`` that all clips were filled up to.
            generators: One per clip, on the CPU.
            draws: K.

        Returns:
            (K, B, 2, h, w) float32 on the device of ``size``; 0 beyond the cells of a clip.
        """
        noise = torch.zeros(draws, len(size), BRANCHES, *self.grid(padded))
        cells = self.cells(size, padded).tolist()
        for i, ((rows, columns), generator) in enumerate(zip(cells, generators, strict=True)):
            noise[:, i, :, :rows, :columns] = torch.rand(draws, BRANCHES, rows, columns, generator=generator)
        return noise.to(size.device)

    def _masks(self, placement: Placement, noise: Tensor | None, masks: Tensor | None) -> Tensor:
        """Masks (K, B, 2, h, w), given or made of noise, given or drawn."""
        shape = (len(placement.cells), BRANCHES, *placement.grid)
        if masks is None and noise is None:
            noise = torch.rand(shape, device=placement.boxes.device)
        for name, given in (("noise", noise), ("masks", masks)):
            if given is not None and (given.ndim > 5 or tuple(given.shape[-4:]) != shape):
                raise ValueError(f"{name}: expected shape {shape} or (K, {str(shape)[1:]}, found {tuple(given.shape)}")
        masks = self.random_masks(placement, noise) if masks is None else masks
        return masks.reshape(-1, *shape)
