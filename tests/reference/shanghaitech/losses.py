"""Losses of AR-Net and RTFM equal those of the published code."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from models.anomaly_losses import (
    logit_of_mean,
    magnitude_distance,
    roughness,
    row_errors,
    score_variance,
    sparsity,
)
from models.mil import MIL
from tests.reference.shanghaitech.numbers import array_files

loss_of = partial(pytest.approx, rel=1e-5)

AR_NET = ("arnet_scores", "arnet_labels", "arnet_lengths", "arnet_k", "arnet_topk_bce", "arnet_center_variance")
RTFM_DISTANCE = ("rtfm_features_abnormal", "rtfm_features_normal", "rtfm_score_abnormal", "rtfm_score_normal")
RTFM_SETTINGS = ("rtfm_alpha", "rtfm_margin", "rtfm_loss")
RTFM_SCORES = ("abnormal_scores_flat", "rtfm_sparsity", "rtfm_smooth")
SPARSITY_WEIGHT, SMOOTHNESS_WEIGHT = 8e-3, 8e-4  # README of the numbers; the file does not hold them


def ar_net(arrays: dict[str, np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (B, T), labels (B,) and mask (B, T)."""
    scores, label, length = (torch.from_numpy(arrays[key]) for key in AR_NET[:3])
    scores = scores.squeeze(-1)
    return scores, label, torch.arange(scores.shape[1]) < length.unsqueeze(1)


def test_the_top_k_loss_of_ar_net_equals_the_published_one() -> None:
    for _, arrays in array_files(*AR_NET):
        scores, label, mask = ar_net(arrays)
        model = MIL(dim=1, top_one_in=int(arrays["arnet_k"]), variance_weight=0)
        found = model.loss({"logits": scores.logit()}, label, mask)
        assert found["bce"].item() == loss_of(float(arrays["arnet_topk_bce"]))


def test_the_center_loss_of_ar_net_equals_the_published_one_over_the_whole_row() -> None:
    for _, arrays in array_files(*AR_NET):
        scores, label, mask = ar_net(arrays)
        published = float(arrays["arnet_center_variance"])
        assert score_variance(scores, label).item() == loss_of(published)
        alone = [row[rows].var() for row, rows, kind in zip(scores, mask, label, strict=True) if kind == 0]
        assert score_variance(scores, label, mask).item() == loss_of(torch.stack(alone).mean().item())


def test_the_magnitude_loss_of_rtfm_equals_the_published_one() -> None:
    for _, arrays in array_files(*RTFM_DISTANCE, *RTFM_SETTINGS):
        tensors = {key: torch.from_numpy(arrays[key]) for key in RTFM_DISTANCE}
        features = (tensors[f"rtfm_features_{kind}"].mean(1) for kind in ("abnormal", "normal"))
        distance = magnitude_distance(*features, margin=float(arrays["rtfm_margin"]))
        scores = [tensors[f"rtfm_score_{kind}"] for kind in ("abnormal", "normal")]
        label = torch.cat([torch.ones(len(scores[0])), torch.zeros(len(scores[1]))])
        errors = row_errors(logit_of_mean(torch.cat(scores).logit(), 1).unsqueeze(1), label)
        assert (errors.mean() + float(arrays["rtfm_alpha"]) * distance).item() == loss_of(float(arrays["rtfm_loss"]))


def test_sparsity_and_smoothness_of_rtfm_equal_the_published_ones_over_the_whole_batch() -> None:
    for _, arrays in array_files(*RTFM_SCORES):
        flat = torch.from_numpy(arrays["abnormal_scores_flat"])
        videos = next(number for number in range(2, len(flat) + 1) if len(flat) % number == 0)
        scores = flat.view(videos, -1)
        rows = torch.ones_like(scores, dtype=torch.bool)
        assert (SPARSITY_WEIGHT * sparsity(scores, rows)).item() == loss_of(float(arrays["rtfm_sparsity"]))
        smooth = SMOOTHNESS_WEIGHT * roughness(scores, rows, across_videos=True)
        assert smooth.item() == loss_of(float(arrays["rtfm_smooth"]))
        borders = (scores[1:, 0] - scores[:-1, -1]).square().sum()
        within = float(arrays["rtfm_smooth"]) - SMOOTHNESS_WEIGHT * borders.item()
        assert (SMOOTHNESS_WEIGHT * roughness(scores, rows)).item() == pytest.approx(within, rel=1e-4)
