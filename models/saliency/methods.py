"""Every method on its way from a question to evidence; families share their forward pass among targets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.saliency import gradients
from models.saliency.attention import attention_of, gradient_rollout, legrad, require_all, rollout
from models.saliency.baselines import Baseline, baseline_of
from models.saliency.cams import CAMS, Weights, cam
from models.saliency.evidence import ROUNDED, Evidence, wide
from models.saliency.exact import homogeneous, pooled_linear, pooled_tokens
from models.saliency.layers import Capture, as_volume, find_layer
from models.saliency.targets import Aim, Target, aim
from models.saliency_spec import SaliencySpec

CLIP = "clip"  # the stream of methods that look at the clip itself
WRONG_HEAD = 1e-3  # completeness error, relative to the logit, that no rounding explains
ROLLOUT, GRADIENT_ROLLOUT, LEGRAD = "rollout", "gradient_rollout", "legrad"


@dataclass(frozen=True)
class Question:
    """What is to be explained.

    Attributes:
        model: The network, still (`models.saliency.layers.explaining`).
        run: Maps clips to outputs (B, ...), by way of the network.
        clips: (B, C, T, H, W).
        targets: See `models.saliency.targets.aim`.
        spec: What is known of the model.
        layers: Layer of each stream.
    """

    model: nn.Module
    run: Callable[[Tensor], Tensor]
    clips: Tensor
    targets: Sequence[Target]
    spec: SaliencySpec | None
    layers: Mapping[str, str]

    def aims(self, output: Tensor) -> list[Aim]:
        """The targets, as they are for these clips."""
        return [aim(target, output) for target in self.targets]

    def answer(
        self,
        method: str,
        maps: Mapping[str, Tensor],
        goal: Aim | None = None,
        output: Tensor | None = None,
        constant: Tensor | None = None,
        layers: Mapping[str, str] | None = None,
        exact: bool = False,
    ) -> Evidence:
        """Evidence without any graph, in float32."""
        unknown = self.clips.new_full((len(self.clips),), torch.nan)
        return Evidence(
            maps={stream: found.detach().float() for stream, found in maps.items()},
            constant=(unknown if constant is None else constant.detach()).float(),
            logit=(unknown if goal is None else goal(output).detach()).float(),
            size=tuple(self.clips.shape[-3:]),
            method=method,
            layers=self.layers if layers is None else layers,
            exact=exact,
            classes=None if goal is None else goal.classes,
        )


def tube(question: Question) -> list[Evidence]:
    """Exact evidence, by the kind of the model's head.

    Raises:
        ValueError: When the model's head has none, or is not what its spec says.
    """
    spec = question.spec
    if spec is None or spec.head is None:
        raise ValueError(
            f"method='tube' takes a head apart, but none that allows it is known of {type(question.model).__name__}; "
            "choose another method, or describe the head (models.saliency_spec.SaliencySpec)"
        )
    with torch.set_grad_enabled(spec.head == "homogeneous"), Capture(question.model, question.layers) as capture:
        output = question.run(question.clips)
        features = capture.take()
        found = [_tube(question, features, goal, output) for goal in question.aims(output)]
    tolerance = max(WRONG_HEAD, ROUNDED * torch.finfo(output.dtype).eps)  # for weights in bfloat16
    for evidence in found:
        error = evidence.completeness_error()
        if (error > tolerance * (1 + evidence.logit.abs())).any():
            raise ValueError(
                f"evidence misses the logit by {error.max():.2g}: between {', '.join(question.layers.values())} and "
                f"the outputs, {type(question.model).__name__} does not compute what its saliency_spec says "
                f"(head={spec.head!r})"
            )
    return found


def _tube(question: Question, features: Mapping[str, Tensor], goal: Aim, output: Tensor) -> Evidence:
    if goal.direction is None:
        raise ValueError("method='tube' explains outputs and weights of outputs; for a function choose another method")
    spec = question.spec
    weight, constant = head_weights(question.model, spec, goal.direction)
    if spec.head == "homogeneous":
        parts = _volumes(question, homogeneous(features, goal(output)))
        maps = {stream: part[0, 0].numel() * part.sum(1) for stream, part in parts.items()}
    elif spec.head == "tokens":
        [(stream, tokens)] = features.items()
        evidence, shift = pooled_tokens(tokens, weight, find_layer(question.model, spec.norm))
        constant = constant + shift
        maps = {stream: evidence.unflatten(1, spec.grid)}
    else:
        maps = pooled_linear(_volumes(question, features), weight)
    return question.answer("tube", maps, goal, output, constant, exact=True)


def head_weights(model: nn.Module, spec: SaliencySpec, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Carry weights of outputs (B, K) through the classifier: weights (B, C) of what it gets, and a constant (B,)."""
    direction = wide(direction)
    if spec.classifier is None:
        return direction, direction.new_zeros(len(direction))
    classifier = find_layer(model, spec.classifier)
    weight = wide(classifier.weight.detach().flatten(1))
    boxes, rest = divmod(direction.shape[1], len(weight))
    if rest or not boxes:
        raise ValueError(f"{spec.classifier} has {len(weight)} outputs, but {direction.shape[1]} are explained")
    direction = direction.unflatten(1, (boxes, -1)).sum(1)
    bias = classifier.bias
    return direction @ weight, direction.new_zeros(len(direction)) if bias is None else direction @ wide(bias.detach())


def cams(question: Question, method: str, temporal_weights: Weights = "global") -> list[Evidence]:
    """The family of Grad-CAM; see `models.saliency.cams`."""
    found = []
    with Capture(question.model, question.layers) as capture:
        output = question.run(question.clips)
        activations = capture.take()
        fixed = _volumes(question, {stream: each.detach() for stream, each in activations.items()})
        for goal in question.aims(output):
            slopes = _slopes(goal(output), list(activations.values()), list(question.layers.values()))
            given = _volumes(question, dict(zip(activations, slopes, strict=True)))
            maps = {stream: cam(method, fixed[stream], given[stream], temporal_weights) for stream in fixed}
            found.append(question.answer(method, maps, goal, output))
    return found


def by_attention(question: Question, method: str) -> list[Evidence]:
    """Methods that follow attention; see `models.saliency.attention`.

    Raises:
        ValueError: When the model has none, or none that can be seen.
    """
    spec = question.spec
    if spec is None or not spec.attention or spec.grid is None:
        raise ValueError(
            f"method={method!r} needs attention over the tokens of a grid, but none is known of "
            f"{type(question.model).__name__}; choose one of {', '.join(CAMS)}, or say where it is "
            "(SaliencySpec.attention)"
        )
    if method == ROLLOUT:
        keep = {"keep": lambda weights: weights.mean(1)}
        with torch.no_grad(), attention_of(question.model, spec.attention, **keep) as attention:
            question.run(question.clips)
        require_all(attention, spec.attention)
        found = question.answer(method, _on_grid(rollout(attention, spec.summary), spec.grid), layers={})
        return [found] * len(question.targets)
    found = []
    with attention_of(question.model, spec.attention) as attention:
        output = question.run(question.clips)
        require_all(attention, spec.attention)
        for goal in question.aims(output):
            slopes = _slopes(goal(output), attention, spec.attention)
            tokens = legrad(slopes) if method == LEGRAD else gradient_rollout(attention, slopes, spec.summary)
            found.append(question.answer(method, _on_grid(tokens, spec.grid), goal, output, layers={}))
    return found


def by_pixels(
    question: Question,
    method: str,
    samples: int = 16,
    noise: float = 0.15,
    seed: int = 0,
    steps: int = 32,
    baseline: Baseline = "mean",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> list[Evidence]:
    """Methods that look at gradients of pixels; see `models.saliency.gradients` and `baselines`."""
    clips, found = question.clips, []
    with torch.no_grad():
        output = question.run(clips)
    for goal in question.aims(output):

        def score(changed: Tensor, goal: Aim = goal) -> Tensor:
            return goal(question.run(changed))

        if method == "smooth_grad":
            maps, constant = gradients.smooth_grad(score, clips, samples, noise, seed)
        elif method == "integrated_gradients":
            empty = baseline_of(clips, baseline, mean, std)
            maps, constant = gradients.integrated_gradients(score, clips, empty, steps)
        else:
            plain = {"gradient": gradients.gradient, "gradient_x_input": gradients.gradient_x_input}
            maps, constant = plain[method](score, clips)
        cells = maps[0].numel()
        found.append(question.answer(method, {CLIP: cells * maps}, goal, output, constant, layers={}))
    return found


def _volumes(question: Question, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    grid, clips = None if question.spec is None else question.spec.grid, len(question.clips)
    return {stream: as_volume(each, clips, grid, question.layers[stream]) for stream, each in found.items()}


def _slopes(scores: Tensor, sources: Sequence[Tensor], names: Sequence[str]) -> list[Tensor]:
    if not scores.requires_grad:
        raise ValueError(f"the target does not depend on {', '.join(names)} by way of gradients")
    slopes = torch.autograd.grad(scores.sum(), list(sources), retain_graph=True, allow_unused=True)
    lost = [name for name, slope in zip(names, slopes, strict=True) if slope is None]
    if lost:
        raise ValueError(f"the target does not depend on {', '.join(lost)}: choose layers that the outputs come from")
    return list(slopes)


def _on_grid(tokens: Tensor, grid: tuple[int, int, int]) -> dict[str, Tensor]:
    """Tokens (B, N) on their grid, without class tokens before it."""
    cells = grid[0] * grid[1] * grid[2]
    return {"tokens": tokens[:, tokens.shape[1] - cells :].unflatten(1, grid)}
