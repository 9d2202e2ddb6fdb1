"""One explained answer: what was seen, said, and why, as plain arrays that pictures and files are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from callbacks.saliency_choice import explained_class, texts
from models.saliency import Evidence, evidence_of
from models.saliency.spline import Zoom

PATCH = 8  # pixels along a side of what is shown of maps as fine as pixels


@dataclass(frozen=True, eq=False)
class Sample:
    """One answer about a clip, explained in one way.

    Attributes:
        number: Of the answer among those that are explained.
        name: Video.
        subject: Who or what within the clip it is about; "" for the clip.
        frames: (T,), frame numbers.
        seconds: (T,), their times.
        pixels: (T, H, W, 3) uint8, the clip; None where there are none.
        target: The explained output; None for none.
        said: The explained output in words, with what else is known of it: lines of a caption.
        output: (K,), logits.
        probability: Of the explained output.
        truth: What is true, in words; None where nobody knows.
        evidence: As it was found; None where there is none.
        maps: By title, (T, H, W) in [0, 1], what is drawn.
        limits: What 0 and 1 of the first of ``maps`` are, in units of the evidence.
        curves: By title, (N,), numbers spread evenly over the time of the clip.
        numbers: By title.
        regions: (T, R, 4) xyxy in pixels, where evidence is expected; None where nobody knows.
        pictures: By kind, what pictures of their own show (`callbacks.saliency_beside`).
    """

    number: int
    name: str
    subject: str
    frames: NDArray[np.int64]
    seconds: NDArray[np.float64]
    pixels: NDArray[np.uint8] | None
    target: int | None
    said: str
    output: NDArray[np.float32]
    probability: float
    truth: str | None
    evidence: Evidence | None
    maps: Mapping[str, NDArray[np.float32]]
    limits: tuple[float, float]
    curves: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    regions: NDArray[np.float32] | None = None
    pictures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """How the evidence was found; "" where there is none."""
        return "" if self.evidence is None else self.evidence.method

    def facts(self) -> dict[str, Any]:
        """What is known of it in JSON, None for what is not: see `callbacks.saliency.Saliency`."""
        logit = None if self.target is None else finite(self.output[self.target])
        found = {"sample": self.number, "name": self.name, "subject": self.subject, "target": self.said}
        found |= {"truth": self.truth, "logit": logit, "probability": finite(self.probability), "method": self.method}
        found["frames"] = [int(self.frames[0]), int(self.frames[-1])]
        if self.evidence is not None:
            error = finite(self.evidence.completeness_error()[0]) if self.evidence.exact else None
            found |= {"layers": dict(self.evidence.layers), "limits": list(map(finite, self.limits))}
            found["completeness_error"] = error
        return found | {"numbers": {title: finite(value) for title, value in self.numbers.items()}}

    @property
    def fps(self) -> float:
        """Frames per second at which the clip runs as fast as what it shows."""
        steps = np.diff(self.seconds)
        steps = steps[steps > 0]
        return float(1 / np.median(steps)) if len(steps) else 1.0


def finite(value: Any) -> float | None:
    """A number, or None where it is none: JSON has no nan."""
    return float(value) if np.isfinite(float(value)) else None


def find_evidence(
    answer: Any, model: nn.Module, target: str | int, method: str | None, layer: str | Mapping[str, str] | None
) -> Evidence | None:
    """Ask a model for the evidence of an answer; None where the answer has none to give."""
    place = explained_class(answer, target)
    if place is None or answer.run is None or answer.video is None:
        return None
    return evidence_of(model, answer.video, place, method, layer, run=answer.run)


def sample_of(number: int, answer: Any, target: str | int, evidence: Evidence | None, zoom: Zoom) -> Sample:
    """Put together what is shown of an answer.

    Args:
        number: Of the answer.
        answer: A `tasks.explaining.Explainable`.
        target: See `callbacks.saliency_choice.explained_class`.
        evidence: Of the answer; None where there is none.
        zoom: How maps are brought to the size of the clip.
    """
    place, beside = explained_class(answer, target), None
    beside = answer.beside(place)
    maps, curves, numbers, limits = {}, {}, dict(beside.numbers), (0.0, 1.0)
    height, width = (None, None) if answer.video is None else answer.size or tuple(answer.video.shape[-2:])
    if evidence is not None:
        whole = visible(evidence).upsample(mode=zoom)
        total = whole.joined()
        least, most = (each.item() for each in total.limits())
        maps[evidence.method], limits = total.normalised().total(), (least, most)
        if len(whole.maps) > 1:  # on one scale, so that streams can be compared
            maps |= {f"{evidence.method}, {name}": found for name, found in whole.normalised().maps.items()}
            shares = {name: float(share) for name, share in evidence.shares().items()}
            numbers |= {f"share of {name}": share for name, share in shares.items()}
        curves["evidence"] = total.total()[0, :, :height, :width].mean((1, 2))
    for title, found in beside.maps.items():
        single = Evidence(
            {title: found[None].float()}, found.new_zeros(1), found.new_zeros(1), clip_size(answer), title
        )
        maps[title] = single.upsample(mode="nearest").normalised().total()
    curves |= beside.curves
    probabilities = answer.probabilities(answer.output.float()) if place is not None else None
    return Sample(
        number=number,
        name=answer.name,
        subject=answer.subject,
        frames=answer.frames.numpy(),
        seconds=answer.seconds.double().numpy(),
        pixels=None if answer.video is None else pixels(answer)[:, :height, :width],
        target=place,
        said="" if place is None else texts(answer, [place])[0],
        output=answer.output.float().cpu().numpy(),
        probability=float("nan") if place is None else float(probabilities[place]),
        truth=None if answer.truth is None else ", ".join(texts(answer, answer.truth)) or "nothing",
        evidence=evidence,
        maps={title: found[0, :, :height, :width].float().cpu().numpy() for title, found in maps.items()},
        limits=limits,
        curves={title: values.float().cpu().numpy() for title, values in curves.items()},
        numbers=numbers,
        regions=None if answer.regions is None else answer.regions.float().cpu().numpy(),
        pictures=beside.pictures,
    )


def visible(evidence: Evidence) -> Evidence:
    """Evidence of single pixels, which looks at no layer, as means over patches: among them, one cannot be seen."""
    if evidence.layers or any(tuple(found.shape[1:]) != evidence.size for found in evidence.maps.values()):
        return evidence
    patches = {"kernel_size": PATCH, "ceil_mode": True, "count_include_pad": False}
    return replace(evidence, maps={name: F.avg_pool2d(found, **patches) for name, found in evidence.maps.items()})


def clip_size(answer: Any) -> tuple[int, int, int]:
    """``(T, H, W)`` of what the model gets; one cell per frame where it gets no pixels."""
    return (len(answer.frames), 1, 1) if answer.video is None else tuple(answer.video.shape[-3:])


def pixels(answer: Any) -> NDArray[np.uint8]:
    """A clip before normalisation: (T, H, W, 3); grey ones in three equal colours."""
    mean, std = (each.float().view(-1, 1, 1, 1) for each in (answer.mean, answer.std))
    shown = (answer.video[0].float() * std + mean).clamp(0, 1).expand(3, -1, -1, -1)
    return (shown * 255).round().byte().permute(1, 2, 3, 0).cpu().numpy()


def region_mask(regions: Tensor, size: tuple[int, int, int]) -> Tensor:
    """Boxes as a mask.

    Args:
        regions: (T, R, 4) xyxy in pixels, nan for none.
        size: ``(T, H, W)``.

    Returns:
        (T, H, W) bool: cells whose middle lies in a box.
    """
    x = torch.arange(size[2], device=regions.device) + 0.5
    y = torch.arange(size[1], device=regions.device) + 0.5
    x1, y1, x2, y2 = regions.unsqueeze(-1).unbind(2)
    across, down = (x >= x1) & (x < x2), (y >= y1) & (y < y2)
    return (down.unsqueeze(3) & across.unsqueeze(2)).any(1)
