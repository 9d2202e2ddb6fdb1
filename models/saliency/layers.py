"""Look into a model while it runs: its layers by name, what they return, and nothing of it changed afterwards."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

NEAREST = 3


class UnknownLayerError(ValueError):
    """A model has no layer of the name that was given."""


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """Find a module by its dotted name, as of ``named_modules``.

    Raises:
        UnknownLayerError: When there is none; the message says the nearest names and lists all.
    """
    modules = dict(model.named_modules())
    if not name or name not in modules:
        names = [each for each in modules if each]
        near = get_close_matches(name, names, n=NEAREST)
        guess = f"did you mean {' or '.join(near)}? " if near else ""
        raise UnknownLayerError(
            f"{type(model).__name__} has no layer {name!r}; {guess}Its layers are {', '.join(list_layers(names))}"
        )
    return modules[name]


def list_layers(names: list[str]) -> list[str]:
    """Shorten a list of names: those that differ by their numbers become one, such as ``blocks.0-11.attn``."""
    numbers: dict[str, list[tuple[int, ...]]] = {}
    for name in names:
        pattern = re.sub(r"(?<=\.)\d+(?=\.|$)|^\d+(?=\.|$)", "#", name)
        found = tuple(int(part) for part in name.split(".") if part.isdigit())
        numbers.setdefault(pattern, []).append(found)
    return [_fill(pattern, found) for pattern, found in numbers.items()]


def _fill(pattern: str, numbers: list[tuple[int, ...]]) -> str:
    for place in zip(*numbers, strict=True):
        least, most = min(place), max(place)
        pattern = pattern.replace("#", str(least) if least == most else f"{least}-{most}", 1)
    return pattern


@contextmanager
def explaining(model: nn.Module) -> Iterator[None]:
    """Hold a model still while it is looked at, and leave it as it was, after errors as well.

    Within, all of it is in evaluation and no parameter gets a gradient. What the model computes may have gradients
    whatever the mode around it (``no_grad``, ``inference_mode``), is not rounded (no autocast), and not compiled.
    """
    modes = [(module, module.training) for module in model.modules()]
    trained = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    devices = {parameter.device.type for parameter, _ in trained} or {"cpu"}
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in devices:
            stack.enter_context(torch.autocast(device, enabled=False))
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        if any(isinstance(module, nn.RNNBase) for module in model.modules()):
            # cuDNN has gradients of recurrent layers in training only.
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        try:
            model.eval()
            for parameter, _ in trained:
                parameter.requires_grad_(False)
            yield
        finally:
            for module, training in modes:
                module.training = training
            for parameter, required in trained:
                parameter.requires_grad_(required)


class Capture:
    """What some layers return in the one forward pass within its context, as starting points of gradients.

    Args:
        model: The network; parameters without gradients, see `explaining`, keep what lies before the layers out of the
            graph.
        layers: Layer of each stream.

    Raises:
        UnknownLayerError: When there is no such layer.
    """

    def __init__(self, model: nn.Module, layers: Mapping[str, str]) -> None:
        self.layers = dict(layers)
        self._modules = {stream: find_layer(model, name) for stream, name in self.layers.items()}
        self._outputs: dict[str, list[Any]] = {stream: [] for stream in self.layers}
        self._stack = ExitStack()

    def __enter__(self) -> "Capture":
        with ExitStack() as stack:
            for stream, module in self._modules.items():
                hook = module.register_forward_hook(lambda *call, stream=stream: self._keep(stream, call[-1]))
                stack.callback(hook.remove)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def take(self) -> dict[str, Tensor]:
        """What the layers returned, connected with all that came of it.

        To be called before any backward pass, which may run layers again (activation checkpointing).

        Raises:
            ValueError: When a layer did not run, ran more than once, or did not return a tensor.
        """
        for stream, outputs in self._outputs.items():
            name = self.layers[stream]
            if len(outputs) != 1:
                times = "did not run" if not outputs else f"ran {len(outputs)} times"
                raise ValueError(f"layer {name}: it {times} in the forward pass; expected once, choose another")
            if not isinstance(outputs[0], Tensor):
                kind = type(outputs[0]).__name__
                raise ValueError(
                    f"layer {name}: expected one that returns a tensor, found {kind}; choose one within it"
                )
        return {stream: output for stream, [output] in self._outputs.items()}

    def _keep(self, stream: str, output: Any) -> Any:
        if isinstance(output, Tensor) and torch.is_grad_enabled() and not output.requires_grad:
            output = output.detach().requires_grad_()
        self._outputs[stream].append(output)
        # What follows gets a copy: it may work in place, as activations of convolutional networks do.
        return output.clone() if isinstance(output, Tensor) else output


def as_volume(output: Tensor, clips: int, grid: tuple[int, int, int] | None, layer: str) -> Tensor:
    """Lay out what a layer returned as (B, C, T', H', W'); see `models.saliency_spec.SaliencySpec` for what it may be.

    Of volumes there may be more than of clips: the first ones are those of the clips, the others of what they were
    given beside them (`evidence_of_each`, ``run``), such as the other faces of a scene.

    Raises:
        ValueError: When it is neither a volume, nor planes, nor tokens of the grid.
    """
    shape = tuple(output.shape)
    if output.ndim == 5 and shape[0] >= clips:
        return output[:clips]
    if output.ndim == 4 and shape[0] % clips == 0:
        return output.unflatten(0, (clips, -1)).transpose(1, 2)
    if output.ndim == 3 and shape[0] == clips:
        if grid is None:
            raise ValueError(
                f"layer {layer}: it returns tokens {shape}; say which grid they are of (SaliencySpec.grid)"
            )
        tokens = grid[0] * grid[1] * grid[2]
        if shape[1] >= tokens:
            return output[:, shape[1] - tokens :].transpose(1, 2).unflatten(2, grid)
        raise ValueError(f"layer {layer}: expected tokens of the grid {tuple(grid)}, found {shape}")
    raise ValueError(
        f"layer {layer}: expected (B, C, T, H, W), (B, C, H, W), (B * T, C, H, W) or tokens (B, N, D) with "
        f"B = {clips}, found {shape}"
    )
