"""What an anomaly detector says of each video, to be explained: which of its rows stand for it, and how much each."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models.saliency.exact import chosen_rows
from models.saliency.layers import explaining
from tasks.explaining import Beside, Explainable

if TYPE_CHECKING:
    from tasks.anomaly_detection import AnomalyDetection

CLASSES = ("anomalous",)


def explain_rows(task: "AnomalyDetection", batch: Mapping) -> list[Explainable]:
    """The answers about each video of an evaluation batch; see `tasks.explaining.Explainable`.

    There is no clip to look into. The output is the mean logit of the rows that stand for the video, taken apart.
    """
    with explaining(task.model), torch.no_grad():
        output = task.model(batch["features"], batch["mask"])
        standing = task.model.standing(output, batch["mask"])
    scores = task.frame_scores(output, batch)
    return [_answer(batch, video, output["logits"], standing, scores[video]) for video in range(len(standing))]


def _answer(batch: Mapping, video: int, logits: Tensor, standing: Tensor, scores: Tensor) -> Explainable:
    there = batch["mask"][video]
    chosen = standing[video, there]
    evidence, output = chosen_rows(logits[video, there][None].float(), chosen[None])
    frames, spans = int(batch["num_frames"][video]), batch["spans"][video, there].cpu()
    labels = batch["frame_label"][video, :frames].cpu().clone()
    picture = {
        "spans_of_rows": spans.numpy(),
        "evidence": evidence[0].cpu().numpy(),
        "chosen": chosen.cpu().numpy(),
        "logit": float(output[0]),
        "scores": scores.cpu().numpy(),
        "labels": labels.numpy(),
    }
    return Explainable(
        name=batch["name"][video],
        key=(int(batch["index"][video]),),
        frames=spans[:, 0].clone(),
        seconds=torch.full((len(spans),), torch.nan, dtype=torch.float64),
        output=output.float(),
        classes=CLASSES,
        truth=(0,) if int(batch["label"][video]) else (),
        probabilities=torch.sigmoid,
        beside=partial(_beside, evidence[0], scores.clone(), picture),
    )


def _beside(evidence: Tensor, scores: Tensor, picture: Mapping, target: int | None) -> Beside:
    error = abs(float(evidence.mean()) - picture["logit"])
    return Beside(
        curves={"evidence of rows": evidence, "score": scores},
        numbers={"rows that stand for the video": float(picture["chosen"].mean()), "completeness error": error},
        pictures={"rows": picture},
    )
