"""What can be explained of a batch: the answers of a task, one at a time, for `callbacks.saliency.Saliency`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

Kind = Literal["clip", "box", "face"]


def softmax(outputs: Tensor) -> Tensor:
    """Probabilities of outputs (..., K) of which one is true."""
    return outputs.softmax(-1)


@dataclass(frozen=True)
class Beside:
    """What a task has to show beside the maps of a method.

    Attributes:
        maps: By title, (T', H', W') on any grid over the clip, such as which tokens a sampler chooses.
        curves: By title, (N,) numbers spread evenly over the time of the clip, such as a waveform, or scores.
        numbers: By title, such as the share of the sound.
        pictures: By kind, what a picture of its own shows: numpy arrays, numbers and strings, which are the arguments
            of the function of that kind in `callbacks.saliency_beside`.
    """

    maps: Mapping[str, Tensor] = field(default_factory=dict)
    curves: Mapping[str, Tensor] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    pictures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def nothing_beside(target: int | None) -> Beside:
    """Nothing."""
    return Beside()


@dataclass(frozen=True, eq=False)
class Explainable:
    """One answer of a model about one clip: about all of it, about an actor in it, about a face.

    A task that can be explained has ``explainables(batch) -> list[Explainable]``, without gradients, of a batch as its
    steps get it and with nothing of what fills it up. It is called outside of inference mode, and what it returns
    outlives the batch: tensors, those within functions too, are copies (``batch["rois"][mine].clone()``) of what
    belongs to the one clip.

    Attributes:
        name: Video.
        key: Place of the clip in its split, numbers that order clips in the same way on any number of processes.
        frames: (T,) int64, frame numbers within the video; on the CPU, as ``seconds``.
        seconds: (T,) float64.
        output: (K,), what the model says of the clip: logits; none, (0,), where there is nothing but ``beside``.
        video: (1, C, T, H, W), as the model gets it; None where it gets features: then there is nothing but ``beside``.
        run: Maps M versions of ``video``, (M, C, T, H, W), to outputs (M, K), by way of the task's ``model``.
        mean: (C,); ``video * std + mean`` lies in [0, 1].
        std: (C,).
        size: Height and width of the clip itself; what is right of it and below fills up a batch. None for all.
        subject: Who or what within the clip it is about, such as ``actor 2``; "" for the clip.
        kind: What the subject is.
        classes: Names of the K outputs; empty where they have none.
        truth: Which of them are true; None where nobody knows.
        probabilities: Maps outputs (..., K) to probabilities (..., K).
        regions: (T, R, 4) xyxy in pixels of the clip, where the evidence is expected; nan where there is none. None
            where nobody knows.
        shown_there: The output that the regions show; None where they do for each.
        beside: Maps the explained output, None for none, to what else there is to show; called for what is drawn only.
    """

    name: str
    key: tuple[int, ...]
    frames: Tensor
    seconds: Tensor
    output: Tensor
    video: Tensor | None = None
    run: Callable[[Tensor], Tensor] | None = None
    mean: Tensor | None = None
    std: Tensor | None = None
    size: tuple[int, int] | None = None
    subject: str = ""
    kind: Kind = "clip"
    classes: tuple[str, ...] = ()
    truth: tuple[int, ...] | None = None
    probabilities: Callable[[Tensor], Tensor] = softmax
    regions: Tensor | None = None
    shown_there: int | None = None
    beside: Callable[[int | None], Beside] = nothing_beside


def explainable_clips(model: nn.Module, batch: Mapping, classes: Sequence[str] = ()) -> list[Explainable]:
    """The answers of a model that maps clips to logits, one about each clip.

    Args:
        model: Maps ``video`` (B, C, T, H, W) to (B, K).
        batch: Clips (docs/design.md): ``video``, ``mean``, ``std``, ``name``, ``frames``, ``seconds``, ``index``; with
            ``class_id`` (B,) int64, -1 for unknown, where classes are known; with ``boxes`` and ``box_count`` where
            there are regions, which show the class.
        classes: Names of the K outputs.
    """
    with torch.no_grad():
        outputs = model(batch["video"])
    real = [clip for clip in range(len(outputs)) if "row" not in batch or batch["row"][clip] >= 0]
    return [
        Explainable(
            name=batch["name"][clip],
            key=tuple(int(batch[number][clip]) for number in ("index", "row", "view") if number in batch),
            frames=batch["frames"][clip].cpu().clone(),
            seconds=batch["seconds"][clip].cpu().clone(),
            output=outputs[clip].clone(),
            video=batch["video"][clip : clip + 1].clone(),
            run=model,
            mean=batch["mean"].clone(),
            std=batch["std"].clone(),
            classes=tuple(classes),
            truth=true_class(batch, clip),
            regions=regions_of(batch, clip),
            shown_there=next(iter(true_class(batch, clip) or ()), None),
        )
        for clip in real
    ]


def true_class(batch: Mapping, clip: int) -> tuple[int, ...] | None:
    """The class of a clip; None where nobody knows."""
    known = "class_id" in batch and int(batch["class_id"][clip]) >= 0
    return (int(batch["class_id"][clip]),) if known else None


def regions_of(batch: Mapping, clip: int) -> Tensor | None:
    """The boxes of a clip, see `Explainable`; None where it has none."""
    if "boxes" not in batch or not int(batch["box_count"][clip].sum()):
        return None
    boxes = batch["boxes"][clip].clone()
    places = torch.arange(boxes.shape[1], device=boxes.device)
    return boxes.masked_fill((places >= batch["box_count"][clip].unsqueeze(1)).unsqueeze(2), torch.nan)
