"""What a masked autoencoder makes of clips, to be explained: attention, features, and which tokens a sampler shows."""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models.masked_autoencoder import MaskedAutoencoder
from models.saliency import evidence_of
from models.saliency.pca import feature_colours
from tasks.explaining import Beside, Explainable, explainable_clips

if TYPE_CHECKING:
    from tasks.focusmae import MaskedPretraining


def explain_clips(task: "MaskedPretraining", batch: Mapping) -> list[Explainable]:
    """What is made of each clip of a batch; see `tasks.explaining.Explainable`. Pretraining says nothing of clips."""
    with torch.no_grad():
        drawn = task.draw(batch)
    chosen = {key: drawn[key] for key in ("log_probability", "hidden") if key in drawn}
    found = explainable_clips(partial(mean_features, task.model), batch)
    row_of = {int(index): row for row, index in enumerate(batch["index"].tolist())}
    rows = [row_of[answer.key[0]] for answer in found]
    return [
        replace(
            answer,
            output=answer.output[:0],
            beside=partial(_beside, task.model, answer, {key: each[row].clone() for key, each in chosen.items()}),
        )
        for answer, row in zip(found, rows, strict=True)
    ]


def mean_features(model: MaskedAutoencoder, videos: Tensor) -> Tensor:
    """Features (M, D) of whole clips (M, 3, T, H, W): means over all tokens, none hidden."""
    return model.encoder.forward_features(videos).mean(1)


def over_chance(log_share: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """How much more than an equal share a token has, in powers of two: (T', H', W') of natural logarithms (N,)."""
    return ((log_share + math.log(log_share.numel())) / math.log(2)).view(grid)


@torch.no_grad()
def colours_of(model: MaskedAutoencoder, video: Tensor) -> Tensor:
    """Features of the tokens of a clip (1, 3, T, H, W) in colour, (T', H', W', 3) in [0, 1]."""
    return feature_colours(model.encoder.forward_tokens(video))[0].unflatten(0, model.grid)


def _beside(model: MaskedAutoencoder, answer: Explainable, chosen: Mapping[str, Tensor], target: int | None) -> Beside:
    attention = evidence_of(model, answer.video, method="rollout", run=answer.run).maps["tokens"][0]
    maps = {"attention": over_chance(attention.log().flatten(), model.grid)}
    if "log_probability" in chosen:
        maps["probability to be shown"] = over_chance(chosen["log_probability"], model.grid)
    shown = ~chosen["hidden"].view(model.grid)
    shape = (-1, 1, 1, 1)
    pixels = (answer.video[0].float() * answer.std.view(shape) + answer.mean.view(shape)).clamp(0, 1)
    picture = {
        "frames": (pixels * 255).round().byte().permute(1, 2, 3, 0).cpu().numpy(),
        "numbers": answer.frames.numpy(),
        "shown": shown.cpu().numpy(),
        "maps": {title: each.float().cpu().numpy() for title, each in maps.items()},
        "features": colours_of(model, answer.video).cpu().numpy(),
    }
    return Beside(maps=maps | {"shown": shown.float()}, pictures={"tokens": picture})
