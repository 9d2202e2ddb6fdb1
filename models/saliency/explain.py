"""Explain what a model says of clips: one call, for models of the zoo and for any other torch module."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from models.saliency import methods
from models.saliency.cams import CAMS
from models.saliency.evidence import Evidence
from models.saliency.layers import UnknownLayerError, explaining, find_layer, list_layers
from models.saliency.spline import Zoom
from models.saliency.targets import PREDICTED, Target, outputs_of
from models.saliency_spec import SaliencySpec

TUBE = "tube"
PIXELS = ("gradient", "gradient_x_input", "smooth_grad", "integrated_gradients")
ATTENTION = (methods.ROLLOUT, methods.GRADIENT_ROLLOUT, methods.LEGRAD)
METHODS = (TUBE, *CAMS, *ATTENTION, *PIXELS)
OPTIONS = dict.fromkeys(CAMS, ("temporal_weights",)) | {
    "smooth_grad": ("samples", "noise", "seed"),
    "integrated_gradients": ("steps", "baseline", "mean", "std"),
}


def explain(
    model: nn.Module,
    clip: Tensor,
    target: Target = PREDICTED,
    method: str | None = None,
    layer: str | Mapping[str, str] | None = None,
    zoom: Zoom = "spline",
    positive: bool = False,
    **more: Any,
) -> Tensor:
    """Show where in a clip a model sees what it says.

    Args:
        model: A network, or a task that has one as ``model``.
        clip: (C, T, H, W), or clips (B, C, T, H, W), as the model gets them.
        target: What is explained, see `models.saliency.targets.aim`.
        method: See `evidence_of`.
        layer: See `evidence_of`.
        zoom: See `models.saliency.spline.zoom`.
        positive: Only what speaks for the target, of each stream and before the zoom, as published.
        **more: See `evidence_of`.

    Returns:
        Map (T, H, W), or maps (B, T, H, W), from 0 to 1 over a clip: all streams of the model together.
    """
    single = clip.ndim == 4
    evidence = evidence_of(model, clip.unsqueeze(0) if single else clip, target, method, layer, **more)
    evidence = evidence.positive() if positive else evidence
    maps = evidence.upsample(mode=zoom).joined().normalised().total()
    return maps[0] if single else maps


def evidence_of(model: nn.Module, clips: Tensor, target: Target = PREDICTED, *arguments: Any, **more: Any) -> Evidence:
    """Find the evidence for one target; see `evidence_of_each`."""
    [found] = evidence_of_each(model, clips, [target], *arguments, **more)
    return found


def evidence_of_each(
    model: nn.Module,
    clips: Tensor,
    targets: Sequence[Target],
    method: str | None = None,
    layer: str | Mapping[str, str] | None = None,
    run: Callable[[Tensor], Any] | None = None,
    spec: SaliencySpec | None = None,
    **options: Any,
) -> list[Evidence]:
    """Find the evidence for several targets, with as few forward passes as the method allows.

    Nothing of the model is changed: modes, gradients, hooks are as before, after errors as well. Evidence of a clip
    does not depend on the batch it is in.

    Args:
        model: A network, or a task that has one as ``model``.
        clips: (B, C, T, H, W), as the model gets them.
        targets: See `models.saliency.targets.aim`.
        method: One of ``METHODS``; None: that of the model's ``saliency_spec``.
        layer: Dotted name of the layer to look at, or of one per stream; None: those of the model's ``saliency_spec``.
            Methods that look at pixels or attention take no notice of it.
        run: Maps clips to outputs (B, K) by way of the model; None: the model itself.
        spec: What is known of the model; None: what its ``saliency_spec()`` says.
        **options: Of the method: ``temporal_weights`` of the family of Grad-CAM; ``samples``, ``noise``, ``seed`` of
            SmoothGrad; ``steps``, ``baseline`` (and ``mean``, ``std`` where it is black) of integrated gradients.

    Returns:
        Evidence of each target.

    Raises:
        ValueError: When the method is unknown, is not for this model, or has no such option; also for targets and
            layers that are not there.
    """
    model = network(model)
    if clips.ndim != 5:
        raise ValueError(f"clips: expected (B, C, T, H, W), found {tuple(clips.shape)}")
    spec, method, layers = settled(model, method, layer, spec)
    allowed = OPTIONS.get(method, ())
    if set(options) - set(allowed):
        surplus = ", ".join(sorted(set(options) - set(allowed)))
        raise ValueError(f"method={method!r} takes {', '.join(allowed) or 'no options'}, found {surplus}")
    like = next((each for each in model.parameters() if each.is_floating_point()), clips)
    with explaining(model):
        # Of a batch that was made in inference mode, a copy can have gradients and it cannot.
        copies = clips.detach().to(like.device, like.dtype, copy=True)
        question = methods.Question(
            model, partial(_outputs, model if run is None else run), copies, targets, spec, layers
        )
        return _family(method)(question, **options)


def network(model: nn.Module) -> nn.Module:
    """The network of a task, which has it as ``model``; anything else is one."""
    inner = getattr(model, "model", None)
    return inner if isinstance(inner, nn.Module) and not hasattr(model, "saliency_spec") else model


def settled(
    model: nn.Module,
    method: str | None = None,
    layer: str | Mapping[str, str] | None = None,
    spec: SaliencySpec | None = None,
) -> tuple[SaliencySpec | None, str, Mapping[str, str]]:
    """Settle how a model is looked at and where, without running it: what is known of it, method, layers.

    Raises:
        ValueError: When there is no such method.
        UnknownLayerError: When there is no such layer, or it has to be said.
    """
    model = network(model)
    if spec is None and hasattr(model, "saliency_spec"):
        spec = model.saliency_spec()
    method = _default_method(spec) if method is None else method
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, found {method!r}")
    layers = _layers(model, method, layer, spec)
    for name in layers.values():
        find_layer(model, name)
    return spec, method, layers


def _default_method(spec: SaliencySpec | None) -> str:
    if spec is not None and spec.method is not None:
        return spec.method
    return TUBE if spec is not None and spec.head is not None else "grad_cam"


def _layers(
    model: nn.Module, method: str, layer: str | Mapping[str, str] | None, spec: SaliencySpec | None
) -> Mapping[str, str]:
    if method in PIXELS or method in ATTENTION:
        return {}
    if layer is not None:
        return {layer: layer} if isinstance(layer, str) else dict(layer)
    if spec is None:
        names = [name for name, _ in model.named_modules() if name]
        raise UnknownLayerError(
            f"{type(model).__name__} does not say where to look (it has no saliency_spec): give layer=NAME, one of "
            f"{', '.join(list_layers(names))}"
        )
    return spec.pooled if method == TUBE else spec.layers


def _family(method: str) -> Callable[..., list[Evidence]]:
    if method == TUBE:
        return methods.tube
    if method in CAMS:
        return partial(methods.cams, method=method)
    return partial(methods.by_attention if method in ATTENTION else methods.by_pixels, method=method)


def _outputs(run: Callable[[Tensor], Any], clips: Tensor) -> Tensor:
    return outputs_of(run(clips))
