"""FocusMAE: a masked autoencoder whose token sampler is biased by candidate regions."""

from functools import partial
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.masked_autoencoder import MaskedAutoencoder, initialise_linear
from models.masking import count_visible, gather_tokens, mask_from_visible, sample_visible, split_tokens
from models.region_prior import Regions, no_regions, region_prior
from models.transformer import Block

SAMPLER_NORM_EPS = 1e-5  # of AdaMAE's sampler, torch's default, unlike the encoder's


class FocusMAE(MaskedAutoencoder):
    """Draw the visible tokens of a clip by learned probabilities, and more or fewer of them in candidate regions.

    FocusMAE (Basu et al., 2024, arXiv 2403.08848; sbasu276/FocusMAE) is AdaMAE (Bandara et al., 2023, arXiv 2211.09120;
    wgcban/adamae) plus a constant on the sampler's logits in candidate regions. With sampler s, tokens x and region
    prior P, visible tokens are drawn without replacement from softmax(s(x) + b P), always the same number of them.

    Paper and code differ in the sign of b. The paper masks candidate regions more, so that the model has to predict
    what matters; the published code raises the probability of being visible, which masks them less: with b = 2 and 18 %
    of the tokens in regions, 59 % of these stay visible and 11 % of the others. ``focus`` chooses.

    State-dict names are those of the published code, the sampler under ``encoder``. The defaults are its ViT-B of width
    768 (folder FocusMAE_v1).

    Args:
        decoder_depth: Blocks of the decoder.
        mask_ratio: Share of tokens hidden from the encoder.
        focus: ``mask`` (b = -delta: regions are hidden more, the paper) or ``visible`` (b = +delta, the code).
        delta: Size of the bonus; 0 is AdaMAE.
        prior: ``geometric``, or ``upstream`` for the published mapping of boxes to tokens with its faults, which takes
            boxes in pixels of the stored frame; see `region_prior`.
        soft_prior: Weigh regions by the detector's score instead of 0 or 1; not in the paper.
        inflation: Factor by which boxes grow about their centres.
        prior_fallback: For clips without a box: ``centre`` or ``none``; see `region_prior`.
        prior_frames: Whose boxes count: ``first`` or ``tubelet``; see `region_prior`.
        sampler_num_heads: Attention heads of the sampler.
        sampler_dropout: Dropout of the sampler.
        sampler_positions: Show the sampler tokens with positions as FocusMAE does; false: without, as AdaMAE does.
        **autoencoder: Sizes of clip, encoder and decoder, described with `MaskedAutoencoder`; not its masks.

    Attributes:
        mark_regions: Maps `Regions` to the prior of their tokens, (B, N) float32 in [0, 1].

    Raises:
        ValueError: As `MaskedAutoencoder` does.
        TypeError: For an argument that `MaskedAutoencoder` does not take, or that is decided here.
    """

    def __init__(
        self,
        *,
        decoder_depth: Annotated[int, "decoder_depth >= 1"] = 10,
        mask_ratio: Annotated[float, "0 < mask_ratio < 1"] = 0.8,
        focus: Literal["mask", "visible"] = "mask",
        delta: Annotated[float, "delta >= 0"] = 2.0,
        prior: Literal["geometric", "upstream"] = "geometric",
        soft_prior: bool = False,
        inflation: Annotated[float, "inflation > 0"] = 1.2,
        prior_fallback: Literal["centre", "none"] = "centre",
        prior_frames: Literal["first", "tubelet"] = "first",
        sampler_num_heads: Annotated[int, "sampler_num_heads >= 1 and dim % sampler_num_heads == 0"] = 8,
        sampler_dropout: Annotated[float, "0 <= sampler_dropout <= 1"] = 0.1,
        sampler_positions: bool = True,
        **autoencoder: Any,
    ) -> None:
        if focus not in ("mask", "visible"):
            raise ValueError(f"focus: expected 'mask' or 'visible', found {focus!r}")
        if delta < 0:
            raise ValueError(f"delta: expected at least 0, found {delta}; the direction is chosen by focus")
        super().__init__(
            decoder_depth=decoder_depth,
            mask="random",
            mask_ratio=mask_ratio,
            decoder_mask=None,
            decoder_mask_ratio=0.0,
            **autoencoder,
        )
        self.bonus = -delta if focus == "mask" else delta
        self.mark_regions = partial(
            region_prior,
            grid=self.grid,
            image_size=self.image_size,
            tubelet_size=self.tubelet[0],
            mode=prior,
            inflation=inflation,
            fallback=prior_fallback,
            frames=prior_frames,
            soft=soft_prior,
        )
        self.mark_regions(no_regions(1, self.num_frames))  # a wrong choice fails here rather than at the first batch
        self.sampler_positions = sampler_positions
        dim = self.encoder.dim
        sampler = Block(dim, sampler_num_heads, qkv_bias=False, dropout=sampler_dropout, norm_eps=SAMPLER_NORM_EPS)
        self.encoder.pos_embed_probs = nn.Parameter(torch.zeros(1, self.num_tokens, dim))
        self.encoder.get_token_probs = nn.Sequential(sampler, nn.Linear(dim, 1)).apply(initialise_linear)

    def sampler_logits(self, tokens: Tensor) -> Tensor:
        """Score embedded tokens (B, N, D): logits (B, N) float32 of being drawn as visible, before any bonus."""
        scored = self.encoder.get_token_probs(tokens + self.encoder.pos_embed_probs.to(tokens.dtype))
        return scored.squeeze(-1).float()

    def forward(
        self,
        video: Tensor,
        regions: Regions | None = None,
        noise: Tensor | None = None,
        prior: Tensor | None = None,
        encoder_mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Draw a mask, hide it in each clip and predict what is hidden.

        Args:
            video: (B, 3, T, H, W), normalised.
            regions: Candidate regions; None treats every clip as one without a box.
            noise: (B, ``noise_size``) uniform in (0, 1), which decides the draw; None draws it.
            prior: (B, N) float in [0, 1], instead of ``regions``.
            encoder_mask: (B, N) bool, True = hidden, instead of a draw.

        Returns:
            What `MaskedAutoencoder` returns, with all hidden tokens decoded and counted, and ``log_probability`` (B, N)
            float32, log of the probability of each token to be drawn as visible first, with gradient; ``prior`` (B, N)
            float32.

        Raises:
            ValueError: When clips, noise or regions have another size than expected, or a mask is not usable.
        """
        embedded = self.encoder.patch_embed(video)
        if prior is None:
            if regions is None:
                regions = no_regions(len(video), self.num_frames, video.device)
            prior = self.mark_regions(regions)
        tokens = self.encoder.add_positions(embedded)
        logits = self.sampler_logits(tokens if self.sampler_positions else embedded)
        log_probability = F.log_softmax(logits + self.bonus * prior.float(), dim=1)
        num_visible = self.num_visible
        if encoder_mask is None:
            drawn = sample_visible(log_probability, self.draw_noise(video, noise), num_visible)
            encoder_mask = mask_from_visible(drawn, self.num_tokens)
        else:
            num_visible = count_visible(encoder_mask, self.num_tokens, "encoder_mask")
        visible, hidden = split_tokens(encoder_mask, num_visible)
        encoded = self.encoder.encode(gather_tokens(tokens, visible))
        return {
            "prediction": self.decode(encoded, visible, hidden),
            "index": hidden,
            "counted": torch.ones_like(hidden, dtype=torch.bool),
            "hidden": encoder_mask,
            "log_probability": log_probability,
            "prior": prior.float(),
        }


def roi_fractions(hidden: Tensor, prior: Tensor) -> dict[str, Tensor]:
    """Measure how much of the candidate regions a mask leaves visible and how much it hides.

    Tokens are weighted by the prior and pooled over the batch. A batch without any region gives the fractions of all
    tokens, as if everything were region: that is what a prior without effect does to a region.

    Args:
        hidden: (B, N) bool, True = hidden.
        prior: (B, N) float in [0, 1].

    Returns:
        ``roi_visible_fraction`` and ``roi_masked_fraction``, scalars that add up to 1.
    """
    weight = torch.where(prior.sum() > 0, prior, torch.ones_like(prior))
    masked = (weight * hidden).sum() / weight.sum()
    return {"roi_visible_fraction": 1 - masked, "roi_masked_fraction": masked}
