"""What a layer of a model returns, caught as it passes by."""

from difflib import get_close_matches
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

_MOST_LISTED = 12


class LayerOutput:
    """The output of one submodule in every forward pass between `attach` and `detach`.

    Args:
        model: The network.
        layer: Name of the submodule within it, such as ``blocks.11``.

    Raises:
        ValueError: When the model has no such layer; the message lists the nearest names.
    """

    def __init__(self, model: nn.Module, layer: str) -> None:
        layers = dict(model.named_modules())
        if layer not in layers or not layer:
            raise ValueError(
                f"callbacks.features.layer={layer}: {type(model).__name__} has no such layer; "
                f"the nearest are {', '.join(_nearest(layer, layers))}"
            )
        self.layer, self._module = layer, layers[layer]
        self._outputs: list[Any] = []
        self._handle: RemovableHandle | None = None

    def attach(self) -> None:
        """Begin to listen; nothing of the model changes."""
        if self._handle is None:
            self._handle = self._module.register_forward_hook(self._keep)

    def detach(self) -> None:
        """Stop listening and forget."""
        if self._handle is not None:
            self._handle.remove()
        self._handle, self._outputs = None, []

    def take(self) -> Tensor:
        """Return what the layer returned since the last call.

        Raises:
            ValueError: When it did not run, ran more than once, or did not return a tensor.
        """
        outputs, self._outputs = self._outputs, []
        if len(outputs) != 1:
            times = "did not run" if not outputs else f"ran {len(outputs)} times"
            raise ValueError(f"callbacks.features.layer={self.layer}: it {times} in this step; expected once")
        [output] = outputs
        if not isinstance(output, Tensor):
            raise ValueError(
                f"callbacks.features.layer={self.layer}: expected a layer that returns a tensor, found "
                f"{described(output)}; choose one within it or behind it"
            )
        return output

    def _keep(self, module: nn.Module, arguments: tuple, output: Any) -> None:
        # A copy: the next layer may work in place, as activations of convolutional networks do.
        self._outputs.append(output.clone() if isinstance(output, Tensor) else output)


def described(value: Any) -> str:
    """Say what a value is, for a message."""
    if isinstance(value, dict):
        return f"a dict with {', '.join(map(repr, value)) or 'nothing'}"
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    return "None" if value is None else f"a {type(value).__name__}"


def _nearest(layer: str, layers: dict[str, nn.Module]) -> list[str]:
    """Names like the one that was given; those of the first level where none is like it."""
    names = [name for name in layers if name]
    return get_close_matches(layer, names, n=5) or [name for name in names if "." not in name][:_MOST_LISTED]
