"""Plain vision transformer over video tubelets: the encoder of VideoMAE, VideoMAE V2 and FocusMAE."""

import math
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from models.positions import grid_table
from models.saliency_spec import SaliencySpec
from models.transformer import NORM_EPS, BlockStack
from models.tubelets import TubeletEmbedding

INIT_STD = 0.02


class VisionTransformer(nn.Module):
    """Vision transformer over the tubelets of a clip, with the state-dict layout of VideoMAE and VideoMAE V2.

    Tong et al., "VideoMAE" (2022), and Wang et al., "VideoMAE V2" (2023); OpenGVLab/VideoMAEv2. The defaults are ViT-B
    without a head. Unlike there, learned positions receive gradients and ``num_classes=0`` builds a feature extractor.

    Args:
        num_frames: T, frames per clip.
        image_size: Side of a frame in pixels, or ``(H, W)``.
        patch_size: Side of a tubelet in pixels.
        tubelet_size: Frames of a tubelet.
        dim: Token width D.
        depth: Blocks.
        num_heads: Attention heads.
        mlp_ratio: Width of the feed-forward layers over D, rounded down.
        num_classes: Classes K; 0 returns features instead of logits.
        qkv_bias: Give query and value a bias.
        cosine_attention: Compare directions instead of dot products.
        layer_scale_init: Initial value of the learned scale of each branch; None or 0 for none.
        drop_path_rate: Probability of dropping a branch of the last block, less in earlier ones.
        dropout: Dropout of embeddings and branches.
        attention_dropout: Dropout of the attention weights.
        head_dropout: Dropout before the head.
        positions: ``sinusoid`` (a fixed table) or ``learned`` (the parameter ``pos_embed``).
        pretraining_grid: ``(T', H', W')`` whose sinusoid table is interpolated to the grid of this model: set it to
            the grid of the weights (8, 14, 14 for the published ones with patch 16) when clips are longer or larger
            than in pretraining. None makes the table for this model's own grid, as the published code does.
        pooling: ``mean`` of all tokens, followed by ``fc_norm``; the ``first`` token after ``norm``; ``mean_change``,
            after ``norm``, for cameras that do not move: the mean of all tokens and, in 2 D more channels, by how much
            tokens differ from the next ones in time, on average and at the place where they differ most; or ``none``
            for all tokens after ``norm``. There is no class token; the first token is the top left of tubelet 0.
        head_init_scale: Factor of the head's initial weights; 0.001 in published fine-tuning.
        activation_checkpointing: Recompute activations in the backward pass to save memory.

    Attributes:
        grid: Tokens along time, rows and columns, ``(T', H', W')``.
        num_features: Channels F of a feature: D, or 3 D with ``mean_change``.

    Raises:
        ValueError: When sizes do not divide, or a choice is unknown.
    """

    def __init__(
        self,
        num_frames: Annotated[int, "num_frames >= 1"] = 16,
        image_size: Annotated[int | tuple[int, int], "image_size >= 1"] = 224,
        patch_size: Annotated[int, "patch_size >= 1 and image_size % patch_size == 0"] = 16,
        tubelet_size: Annotated[int, "tubelet_size >= 1 and num_frames % tubelet_size == 0"] = 2,
        dim: int = 768,
        depth: Annotated[int, "depth >= 1"] = 12,
        num_heads: Annotated[int, "num_heads >= 1 and dim % num_heads == 0"] = 12,
        mlp_ratio: float = 4.0,
        num_classes: Annotated[int, "num_classes >= 0"] = 0,
        qkv_bias: bool = True,
        cosine_attention: bool = False,
        layer_scale_init: float | None = None,
        drop_path_rate: Annotated[float, "0 <= drop_path_rate < 1"] = 0.0,
        dropout: Annotated[float, "0 <= dropout <= 1"] = 0.0,
        attention_dropout: Annotated[float, "0 <= attention_dropout <= 1"] = 0.0,
        head_dropout: Annotated[float, "0 <= head_dropout <= 1"] = 0.0,
        positions: Literal["sinusoid", "learned"] = "sinusoid",
        pretraining_grid: tuple[int, int, int] | None = None,
        pooling: Literal["mean", "first", "mean_change", "none"] = "mean",
        head_init_scale: float = 0.001,
        activation_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if positions not in ("sinusoid", "learned"):
            raise ValueError(f"positions: expected 'sinusoid' or 'learned', found {positions!r}")
        if pooling not in ("mean", "first", "mean_change", "none"):
            raise ValueError(f"pooling: expected 'mean', 'first', 'mean_change' or 'none', found {pooling!r}")
        if num_classes < 0:
            raise ValueError(f"num_classes: expected 0 (none) or more, found {num_classes}")
        if num_classes and pooling == "none":
            raise ValueError(f"num_classes={num_classes} needs pooled features: choose pooling 'mean' or 'first'")
        self.dim, self.num_frames, self.pooling = dim, num_frames, pooling
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        self.tubelet = (tubelet_size, patch_size, patch_size)
        self.patch_embed = TubeletEmbedding((num_frames, *self.image_size), self.tubelet, dim=dim)
        self.grid = self.patch_embed.grid
        if positions == "learned":
            self.pos_embed = nn.Parameter(torch.zeros(1, math.prod(self.grid), dim))
        else:
            self.register_buffer("pos_embed", grid_table(self.grid, dim, pretraining_grid), persistent=False)
        self.pos_drop = nn.Dropout(dropout)
        self.blocks = BlockStack(
            depth,
            drop_path_rate,
            activation_checkpointing,
            dim=dim,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            qkv_bias=qkv_bias,
            cosine_attention=cosine_attention,
            layer_scale_init=layer_scale_init,
            dropout=dropout,
            attention_dropout=attention_dropout,
        )
        self.norm = nn.Identity() if pooling == "mean" else nn.LayerNorm(dim, eps=NORM_EPS)
        self.fc_norm = nn.LayerNorm(dim, eps=NORM_EPS) if pooling == "mean" else nn.Identity()
        self.head_drop = nn.Dropout(head_dropout)
        self.num_features = 3 * dim if pooling == "mean_change" else dim
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        self._initialise(head_init_scale)

    def _initialise(self, head_init_scale: float) -> None:
        """Draw initial weights as the published fine-tuning code does; the convolution keeps torch's default."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=INIT_STD)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if isinstance(self.pos_embed, nn.Parameter):
            nn.init.trunc_normal_(self.pos_embed, std=INIT_STD)
        if isinstance(self.head, nn.Linear):
            with torch.no_grad():
                self.head.weight.mul_(head_init_scale)

    def embed(self, video: Tensor, index: Tensor | None = None) -> Tensor:
        """Embed tubelets and add their positions.

        Args:
            video: (B, 3, T, H, W), normalised.
            index: (B, M) int64, tokens wanted; None for all.

        Returns:
            Tokens (B, M, D).
        """
        return self.add_positions(self.patch_embed(video, index), index)

    def add_positions(self, tokens: Tensor, index: Tensor | None = None) -> Tensor:
        """Add their positions to tokens (B, M, D) that are the ones at ``index`` (B, M) int64, or all in order."""
        positions = self.pos_embed if index is None else self.pos_embed[0][index]
        return self.pos_drop(tokens + positions.to(tokens.dtype))

    def encode(self, tokens: Tensor) -> Tensor:
        """Run embedded tokens (B, M, D) through the blocks and, unless pooling is ``mean``, the final norm."""
        return self.norm(self.blocks(tokens))

    def forward_tokens(self, video: Tensor, index: Tensor | None = None) -> Tensor:
        """Encode the chosen tokens of clips, or all.

        Args:
            video: (B, 3, T, H, W), normalised.
            index: (B, M) int64, tokens the encoder sees; None for all.

        Returns:
            Tokens (B, M, D); with mean pooling before any final norm.
        """
        return self.encode(self.embed(video, index))

    def forward_features(self, video: Tensor) -> Tensor:
        """Encode clips (B, 3, T, H, W) to features (B, F), or to tokens (B, N, D) when pooling is ``none``."""
        tokens = self.forward_tokens(video)
        if self.pooling == "mean_change":
            change = tokens.unflatten(1, (self.grid[0], -1)).diff(dim=1).abs().mean(1)
            return torch.cat([tokens.mean(1), change.mean(1), change.amax(1)], dim=-1)
        if self.pooling == "mean":
            return self.fc_norm(tokens.mean(1))
        return tokens[:, 0] if self.pooling == "first" else tokens

    def saliency_spec(self) -> SaliencySpec:
        """Say how this model can be explained.

        Exact is the evidence of tokens for logits, or for features where there are no classes, with ``mean`` and
        ``mean_change``. The ``first`` token is alone in the feature: which others it looked at, attention or gradients
        at the last block's first norm can tell. Tokens that are not pooled have no logit: a function of them has to be
        the target.
        """
        last = len(self.blocks) - 1
        head, features, norm = {
            "mean": ("tokens", {"tokens": "blocks"}, "fc_norm"),
            "mean_change": ("homogeneous", {"tokens": "norm"}, None),
        }.get(self.pooling, (None, None, None))
        return SaliencySpec(
            layers={"tokens": f"blocks.{last}.norm1"},
            grid=self.grid,
            head=head,
            features=features,
            classifier="head" if isinstance(self.head, nn.Linear) else None,
            norm=norm,
            attention=tuple(f"blocks.{block}.attn.dot_product" for block in range(last + 1)),
            summary="first" if self.pooling == "first" else "mean",
        )

    def forward(self, video: Tensor) -> Tensor:
        """Classify clips (B, 3, T, H, W): logits (B, K), or the features where there are no classes."""
        features = self.forward_features(video)
        return self.head(self.head_drop(features)) if isinstance(self.head, nn.Linear) else features
