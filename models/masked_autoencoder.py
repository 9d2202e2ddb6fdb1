"""Masked autoencoders of video: VideoMAE, and VideoMAE V2 with its second mask for the decoder."""

import math
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from models.masking import (
    CELL_SIZE,
    count_visible,
    random_mask,
    running_cell_hidden_count,
    running_cell_mask,
    split_tokens,
    tube_hidden_count,
    tube_mask,
    visible_count,
)
from models.positions import grid_table
from models.reconstruction import CHANNELS
from models.region_prior import Regions
from models.saliency_spec import SaliencySpec
from models.transformer import NORM_EPS, BlockStack
from models.vit import INIT_STD, VisionTransformer


def initialise_linear(module: nn.Module) -> None:
    """Draw the weights of a linear layer as published pretraining code does; leave other modules as they are."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class PixelDecoder(nn.Module):
    """Transformer that turns encoded and mask tokens into pixels of cubes.

    Args:
        dim: Token width D.
        num_outputs: P, values of a cube.
        **blocks: Settings of the `BlockStack`.
    """

    def __init__(self, dim: int, num_outputs: int, **blocks: Any) -> None:
        super().__init__()
        self.blocks = BlockStack(dim=dim, **blocks)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.head = nn.Linear(dim, num_outputs)

    def forward(self, tokens: Tensor, num_predicted: int) -> Tensor:
        """Predict the last ``num_predicted`` of tokens (B, L, D): cubes (B, num_predicted, P)."""
        return self.head(self.norm(self.blocks(tokens)[:, -num_predicted:]))


class MaskedAutoencoder(nn.Module):
    """Predict the hidden cubes of a clip from the visible ones.

    VideoMAE (Tong et al., 2022, arXiv 2203.12602; MCG-NJU/VideoMAE): an encoder sees the tokens a mask leaves visible,
    a narrow decoder predicts all hidden ones. VideoMAE V2 (Wang et al., 2023, arXiv 2303.16727; OpenGVLab/VideoMAEv2)
    gives the decoder a mask of its own, so that it predicts every second token only; of these, the ones that were
    hidden from the encoder count. State-dict names are theirs. Hidden tokens are never embedded. The defaults are
    VideoMAE ViT-B.

    Args:
        num_frames: T, frames per clip.
        image_size: Side of a frame in pixels, or ``(H, W)``.
        patch_size: Side of a tubelet in pixels.
        tubelet_size: Frames of a tubelet.
        dim: Token width of the encoder.
        depth: Blocks of the encoder.
        num_heads: Attention heads of the encoder.
        decoder_dim: Token width of the decoder.
        decoder_depth: Blocks of the decoder.
        decoder_num_heads: Attention heads of the decoder.
        mlp_ratio: Width of the feed-forward layers over the token width, rounded down.
        qkv_bias: Give query and value a bias.
        cosine_attention: Compare directions instead of dot products.
        layer_scale_init: Initial value of the learned scale of each branch; None or 0 for none.
        drop_path_rate: Probability of dropping a branch of the last block, in encoder and decoder alike.
        positions: Of the encoder, ``sinusoid`` or ``learned``; the decoder's are always sinusoids.
        pretraining_grid: Grid whose sinusoid tables are interpolated to this model's; see `VisionTransformer`.
        mask: What is hidden from the encoder: ``tube`` (the same places in every time slice) or ``random`` tokens.
        mask_ratio: Share of tokens hidden from the encoder.
        decoder_mask: None decodes exactly the hidden tokens; ``running_cell`` leaves a moving pattern undecoded.
        decoder_mask_ratio: Share of tokens not decoded, in quarters; used with ``running_cell`` only.
        activation_checkpointing: Recompute activations in the backward pass to save memory.

    Attributes:
        num_frames: T.
        image_size: ``(H, W)``.
        tubelet: ``(t, h, w)``.
        grid: ``(T', H', W')``.
        num_tokens: N = T' * H' * W'.
        num_visible: Tokens the encoder sees.
        num_decoded: Tokens the decoder predicts, M.

    Raises:
        ValueError: When sizes do not divide, a choice is unknown, or a ratio hides all or nothing.
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
        decoder_dim: int = 384,
        decoder_depth: Annotated[int, "decoder_depth >= 1"] = 4,
        decoder_num_heads: Annotated[int, "decoder_num_heads >= 1 and decoder_dim % decoder_num_heads == 0"] = 6,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        cosine_attention: bool = False,
        layer_scale_init: float | None = None,
        drop_path_rate: Annotated[float, "0 <= drop_path_rate < 1"] = 0.0,
        positions: Literal["sinusoid", "learned"] = "sinusoid",
        pretraining_grid: tuple[int, int, int] | None = None,
        mask: Literal["tube", "random"] = "tube",
        mask_ratio: Annotated[float, "0 < mask_ratio < 1"] = 0.9,
        decoder_mask: Annotated[Literal["running_cell"] | None, "image_size % (2 * patch_size) == 0"] = None,
        decoder_mask_ratio: Annotated[float, "0 < decoder_mask_ratio < 1"] = 0.5,
        activation_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if mask not in ("tube", "random"):
            raise ValueError(f"mask: expected 'tube' or 'random', found {mask!r}")
        if decoder_mask not in (None, "running_cell"):
            raise ValueError(f"decoder_mask: expected 'running_cell' or None, found {decoder_mask!r}")
        blocks = {
            "mlp_ratio": mlp_ratio,
            "qkv_bias": qkv_bias,
            "cosine_attention": cosine_attention,
            "layer_scale_init": layer_scale_init,
            "drop_path_rate": drop_path_rate,
            "activation_checkpointing": activation_checkpointing,
        }
        self.encoder = VisionTransformer(
            num_frames=num_frames,
            image_size=image_size,
            patch_size=patch_size,
            tubelet_size=tubelet_size,
            dim=dim,
            depth=depth,
            num_heads=num_heads,
            positions=positions,
            pretraining_grid=pretraining_grid,
            pooling="none",
            **blocks,
        )
        self.num_frames, self.image_size = num_frames, self.encoder.image_size
        self.tubelet, self.grid = self.encoder.tubelet, self.encoder.grid
        self.num_tokens = math.prod(self.grid)
        self.encoder_to_decoder = nn.Linear(dim, decoder_dim, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_dim))
        decoder_positions = grid_table(self.grid, decoder_dim, pretraining_grid)
        self.register_buffer("decoder_positions", decoder_positions, persistent=False)
        self.decoder = PixelDecoder(
            dim=decoder_dim,
            num_outputs=CHANNELS * math.prod(self.tubelet),
            depth=decoder_depth,
            num_heads=decoder_num_heads,
            **blocks,
        )
        self.mask, self.mask_ratio = mask, mask_ratio
        self.decoder_mask, self.decoder_mask_ratio = decoder_mask, decoder_mask_ratio
        slices, rows, columns = self.grid
        if mask == "tube":
            self.num_visible = slices * (rows * columns - tube_hidden_count(self.grid, mask_ratio))
        else:
            self.num_visible = visible_count(self.num_tokens, mask_ratio)
        self.num_decoded = self.num_tokens - self.num_visible
        if decoder_mask is not None:
            kept = CELL_SIZE - running_cell_hidden_count(self.grid, decoder_mask_ratio)
            self.num_decoded = self.num_tokens // CELL_SIZE * kept
        self.apply(initialise_linear)
        nn.init.trunc_normal_(self.mask_token, std=INIT_STD)

    def saliency_spec(self) -> SaliencySpec:
        """Say how the features of whole clips can be explained: the means of what the encoder makes of all tokens.

        Pretraining has no classes, so that attention is followed back unless a direction among features is the target,
        of which evidence is exact. `forward` hides tokens; who explains gives a function of clips instead:
        ``lambda video: model.encoder.forward_features(video).mean(1)``.
        """
        inner = self.encoder.saliency_spec()
        return SaliencySpec(
            layers={stream: f"encoder.{name}" for stream, name in inner.layers.items()},
            grid=inner.grid,
            head="homogeneous",
            features={"tokens": "encoder.norm"},
            attention=tuple(f"encoder.{name}" for name in inner.attention),
            method="rollout",
        )

    @property
    def noise_size(self) -> int:
        """Uniform numbers per clip that `forward` takes: those of the encoder's mask, then those of the decoder's."""
        return self._encoder_noise_size + (self.decoder_mask is not None)

    @property
    def _encoder_noise_size(self) -> int:
        return math.prod(self.grid[1:]) if self.mask == "tube" else self.num_tokens

    def forward(
        self,
        video: Tensor,
        regions: Regions | None = None,
        noise: Tensor | None = None,
        encoder_mask: Tensor | None = None,
        decoder_mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Hide a part of each clip and predict it.

        Args:
            video: (B, 3, T, H, W), normalised.
            regions: Candidate regions; taken so that all masked autoencoders are called alike, and not used here.
            noise: (B, ``noise_size``) float32, uniform in (0, 1), which decides the masks; None draws it.
            encoder_mask: (B, N) bool, True = hidden from the encoder; None makes it from ``noise``.
            decoder_mask: (B, N) bool, True = not decoded; None makes it from ``noise`` or, without a mask for the
                decoder, decodes exactly what is hidden.

        Returns:
            ``prediction`` (B, M, P) of the decoded cubes, channel fastest; ``index`` (B, M) int64, the token of each;
            ``counted`` (B, M) bool, those that were hidden from the encoder; ``hidden`` (B, N) bool, the mask.

        Raises:
            ValueError: When clips or noise have another size than expected, or a mask is not usable.
        """
        num_visible, num_decoded = self.num_visible, self.num_decoded
        if encoder_mask is not None:
            num_visible = count_visible(encoder_mask, self.num_tokens, "encoder_mask")
        if decoder_mask is not None:
            num_decoded = count_visible(decoder_mask, self.num_tokens, "decoder_mask")
        if encoder_mask is None or (decoder_mask is None and self.decoder_mask is not None):
            drawn_encoder_mask, drawn_decoder_mask = self.make_masks(self.draw_noise(video, noise))
            encoder_mask = drawn_encoder_mask if encoder_mask is None else encoder_mask
            decoder_mask = drawn_decoder_mask if decoder_mask is None else decoder_mask
        visible, decoded = split_tokens(encoder_mask, num_visible)
        if decoder_mask is not None:
            decoded, _ = split_tokens(decoder_mask, num_decoded)
        encoded = self.encoder.forward_tokens(video, visible)
        return {
            "prediction": self.decode(encoded, visible, decoded),
            "index": decoded,
            "counted": encoder_mask.gather(1, decoded),
            "hidden": encoder_mask,
        }

    def make_masks(self, noise: Tensor) -> tuple[Tensor, Tensor | None]:
        """Make the masks of encoder and decoder from noise (B, ``noise_size``); see `forward` for their meaning.

        Returns:
            (B, N) bool, True = hidden from the encoder; (B, N) bool, True = not decoded, or None without such a mask.
        """
        encoder_noise = noise[:, : self._encoder_noise_size]
        if self.mask == "tube":
            encoder_mask = tube_mask(encoder_noise, self.grid, self.mask_ratio)
        else:
            encoder_mask = random_mask(encoder_noise, self.mask_ratio)
        if self.decoder_mask is None:
            return encoder_mask, None
        return encoder_mask, running_cell_mask(noise[:, -1], self.grid, self.decoder_mask_ratio)

    def decode(self, encoded: Tensor, visible: Tensor, decoded: Tensor) -> Tensor:
        """Predict cubes from the encoded tokens.

        Args:
            encoded: (B, V, D) output of the encoder.
            visible: (B, V) int64, the token of each.
            decoded: (B, M) int64, tokens to predict. One that is visible as well enters a second time, as a mask token.

        Returns:
            (B, M, P).
        """
        tokens = self.encoder_to_decoder(encoded)
        positions = self.decoder_positions[0].to(tokens.dtype)
        queries = self.mask_token.to(tokens.dtype) + positions[decoded]
        return self.decoder(torch.cat((tokens + positions[visible], queries), dim=1), decoded.shape[1])

    def draw_noise(self, video: Tensor, noise: Tensor | None) -> Tensor:
        """Draw the noise (B, ``noise_size``) that masks are made of, or take the one given if its shape is right."""
        if noise is None:
            return torch.rand(len(video), self.noise_size, device=video.device, dtype=torch.float32)
        if tuple(noise.shape) != (len(video), self.noise_size):
            raise ValueError(f"noise: expected shape {(len(video), self.noise_size)}, found {tuple(noise.shape)}")
        return noise
