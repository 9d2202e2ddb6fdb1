"""Whether the map of an answer is right, in numbers: measured on the model that gave the answer."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from callbacks.saliency_sample import find_evidence, region_mask
from metrics.faithfulness import energy_inside, insertion_deletion, random_maps
from metrics.randomisation import randomisation_check
from models.saliency import Evidence
from models.saliency.layers import explaining

CELL = 2, 16, 16  # frames and pixels that are changed at a time: a tubelet of published transformers, for every method
STEPS = 16  # of the curves
SHUFFLES = 4  # steps in which all weights are lost
RANDOM = "random"  # the method that knows nothing


def measure(answer: Any, target: int, evidence: Evidence, model: nn.Module, layer: str | None) -> dict[str, Any]:
    """Measure how well a map says what the model's answer depends on.

    Args:
        answer: A `tasks.explaining.Explainable`.
        target: The explained output.
        evidence: Of it.
        model: That gave the answer; unchanged afterwards.
        layer: At which the evidence was found.

    Returns:
        ``fractions``, ``deletion``, ``insertion``: the curves, lists of numbers, of the probability when the cells with
        the most evidence are replaced by the mean colour, or alone are not; ``deletion_area``, ``insertion_area``;
        ``inside``, the share of positive evidence within the regions, None where none are known for the target, and
        ``region``, their share of the clip; ``layers`` and ``correlations``: the last layer and the rank correlation
        with the map after each step of shuffling weights; ``completeness_error``, None where evidence is not exact.
    """
    found = curves(answer, target, model, cells(evidence)) | inside(answer, target, evidence)

    def again() -> Tensor:
        return cells(find_evidence(answer, model, target, evidence.method, layer))

    lost = randomisation_check(model, again, SHUFFLES)
    found |= {"layers": [name for name, _ in lost], "correlations": [value.item() for _, value in lost]}
    return found | {"completeness_error": evidence.completeness_error().item() if evidence.exact else None}


def measure_random(answer: Any, target: int, evidence: Evidence, model: nn.Module) -> dict[str, Any]:
    """The same of a map that knows nothing, as far as it has such numbers: what every method is to be compared with."""
    region = inside(answer, target, evidence)["region"]
    return curves(answer, target, model, random_maps(cells(evidence))) | {"inside": region, "region": region}


def cells(evidence: Evidence) -> Tensor:
    """All streams of evidence as one map of cells of one size, whatever its own grid."""
    size = tuple(max(1, round(whole / part)) for whole, part in zip(evidence.size, CELL, strict=True))
    return F.adaptive_avg_pool3d(evidence.upsample().total().unsqueeze(1), size).squeeze(1)


def curves(answer: Any, target: int, model: nn.Module, maps: Tensor) -> dict[str, Any]:
    """Insertion and deletion in the order of a map."""

    def score(clips: Tensor, _: Tensor) -> Tensor:
        return answer.probabilities(answer.run(clips).float())[:, target]

    with explaining(model):
        video = answer.video.to(maps)
        found = insertion_deletion(score, video, maps, torch.zeros_like(video), STEPS)
    deletion, insertion = found.areas()
    lists = {"deletion": found.deletion[0].tolist(), "insertion": found.insertion[0].tolist()}
    areas = {"deletion_area": deletion.item(), "insertion_area": insertion.item()}
    return {"fractions": found.fractions.tolist()} | lists | areas


def inside(answer: Any, target: int, evidence: Evidence) -> dict[str, float | None]:
    """How much of the positive evidence lies where and when the regions are, and how much of the clip they are.

    Both are None where no regions are known, or what they show is another output than the target.
    """
    if answer.regions is None or answer.shown_there not in (None, target):
        return {"inside": None, "region": None}
    whole = evidence.upsample().total()
    height, width = answer.size or evidence.size[1:]
    region = region_mask(answer.regions.to(whole), (evidence.size[0], height, width)).unsqueeze(0)
    share = energy_inside(whole[:, :, :height, :width], region).item()
    return {"inside": None if share != share else share, "region": region.double().mean().item()}
