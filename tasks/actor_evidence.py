"""What a detector of actions says of each actor, to be explained: where, inside and outside the box."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metrics.box_coverage import box_coverage
from metrics.faithfulness import energy_inside
from models.action_detector import ActionDetector
from models.saliency import Evidence, evidence_of
from tasks.explaining import Beside, Explainable

if TYPE_CHECKING:
    from tasks.action_detection import ActionDetection

OF_CLIPS = ("video", "size", "second", "frames", "seconds", "index", "view")
OF_ACTORS = ("rois", "actor", "boxes", "targets")


def explain_actors(task: "ActionDetection", batch: Mapping) -> list[Explainable]:
    """The answers about each actor of each clip; see `tasks.explaining.Explainable`."""
    return [answer for clip in range(len(batch["video"])) for answer in _answers(task, clip_of(task, batch, clip))]


def clip_of(task: "ActionDetection", batch: Mapping, clip: int) -> dict:
    """One clip of a batch with its actors, as a copy; without what it was filled up with, unless the model sees it."""
    mine = batch["clip"] == clip
    one = {key: batch[key][clip : clip + 1] for key in OF_CLIPS if key in batch} | {"name": [batch["name"][clip]]}
    one |= {key: batch[key][mine] for key in OF_ACTORS if key in batch} | {
        "clip": torch.zeros_like(batch["clip"][mine])
    }
    if "truth" in batch:
        one["truth"] = batch["truth"][clip]
    if not task.model.head.as_published:
        height, width = batch["size"][clip].tolist()
        one["video"] = one["video"][..., :height, :width]
    return {key: each.clone() if isinstance(each, Tensor) else each for key, each in one.items()}


def classify(model: ActionDetector, one: Mapping, draws: Mapping[str, Tensor], actor: int, videos: Tensor) -> Tensor:
    """Logits (M, C) of an actor in M versions of its clip, (M, 3, T, H, W), with the same actors beside it."""
    versions, actors = len(videos), len(one["rois"])
    clip = torch.arange(versions, device=videos.device).repeat_interleave(actors)
    rois, size = one["rois"].repeat(versions, 1), one["size"].repeat(versions, 1)
    draws = {name: each.repeat_interleave(versions, -4) for name, each in draws.items()}
    return model(videos, rois, clip, size, **draws)["logits"].unflatten(0, (versions, actors))[:, actor]


def shares_inside(evidence: Evidence, box: Tensor, clip: Tensor) -> dict[str, Tensor]:
    """How much of what speaks for the target lies in a box, of each pathway: (B,), nan where nothing does.

    Args:
        evidence: On the grids of its streams.
        box: (4,) xyxy in [0, 1] of the grid.
        clip: Likewise, the clip itself: cells at its border may reach beyond it, or be of what fills it up.
    """
    found = {}
    for stream, maps in evidence.maps.items():
        of_box, of_clip = box_coverage(torch.stack([box, clip]), tuple(maps.shape[2:])).to(maps.device)
        found[stream] = energy_inside(maps, torch.where(of_clip > 0, of_box / of_clip, 0))
    return found


def _answers(task: "ActionDetection", one: dict) -> list[Explainable]:
    draws, metric = task.mask_draws.of_explanation(one), next(iter(task.frame_map.values()), None)
    truth = [_classes(row) for row in one["targets"]] if "targets" in one else [None] * len(one["rois"])
    if metric is not None and "truth" in one:
        boxes, labels = one["truth"]
        truth = [None if place < 0 else _classes(labels[place]) for place in metric.match(one["boxes"], boxes)]
    height, width = one["size"][0].tolist()
    corners = one["rois"] * one["rois"].new_tensor([width, height, width, height])
    backbone, found = task.model.backbone, []
    for actor in range(len(one["rois"])):
        run = partial(classify, task.model, one, draws, actor)
        with torch.no_grad():
            output = run(one["video"])[0]
        numbers = (int(one[key][0]) for key in ("index", "view") if key in one)
        found.append(
            Explainable(
                name=one["name"][0],
                key=tuple(numbers),
                frames=one["frames"][0].cpu(),
                seconds=one["seconds"][0].cpu(),
                output=output,
                video=one["video"],
                run=run,
                mean=output.new_tensor(backbone.mean),
                std=output.new_tensor(backbone.std),
                size=(height, width),
                subject=f"actor {int(one['actor'][actor])}",
                kind="box",
                classes=tuple(name for _, name, _ in metric.classes) if metric is not None else (),
                truth=truth[actor],
                probabilities=partial(_probabilities, task.scores),
                regions=corners[actor].expand(one["video"].shape[2], 1, 4).clone(),
                beside=partial(_beside, task.model, one, run, actor),
            )
        )
    return found


def _beside(
    model: ActionDetector, one: Mapping, run: Callable[[Tensor], Tensor], actor: int, target: int | None
) -> Beside:
    """Both pathways beside each other, with what of the evidence is in the box."""
    if target is None:
        return Beside()
    evidence, box = evidence_of(model, one["video"], target, run=run), one["rois"][actor]
    shown = one["video"].shape[-2:]
    rows, columns = model.head.grid(tuple(shown))
    sides = box.new_tensor([columns, rows]) * model.head.stride
    scale = (one["size"][0].flip(0).to(box) / sides).repeat(2)
    inside = shares_inside(evidence, box * scale, box.new_tensor([0, 0, 1, 1]) * scale)
    inside = {path: float(share[0]) for path, share in inside.items()}
    shares = {path: float(share[0]) for path, share in evidence.shares().items()}
    numbers = {f"inside the box, {path}": share for path, share in inside.items()}
    error = float(evidence.completeness_error()[0]) if evidence.exact else None
    return Beside(
        numbers=numbers,
        pictures={
            "pathways": {
                "frame": _key_frame(model, one),
                "box": box.cpu().numpy(),
                "maps": {path: maps[0].mean(0).cpu().numpy() for path, maps in evidence.maps.items()},
                "extent": tuple((sides / one["size"][0].flip(0)).tolist()),
                "inside": inside,
                "shares": shares,
                "method": evidence.method,
                "error": error,
            }
        },
    )


def _classes(targets: Tensor) -> tuple[int, ...]:
    return tuple(targets.nonzero().flatten().tolist())


def _key_frame(model: ActionDetector, one: Mapping) -> object:
    """The middle frame, (H, W, 3) uint8."""
    height, width = one["size"][0].tolist()
    frame = one["video"][0, :, one["video"].shape[2] // 2, :height, :width].float()
    mean, std = (frame.new_tensor(each).view(3, 1, 1) for each in (model.backbone.mean, model.backbone.std))
    return ((frame * std + mean).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def _probabilities(scores: Callable[[Tensor], Tensor], outputs: Tensor) -> Tensor:
    return scores(outputs.reshape(-1, outputs.shape[-1])).view(outputs.shape)
