"""The temperature of Light-ASD's loss: predictions are softened at first, and sharpened later on.

Liao et al., "A light weight model for active speaker detection" (CVPR 2023). The binary cross-entropy of
softmax(z / r) there is the cross-entropy of z / r, so that any loss of ``models/asd_losses.py`` takes the result.
"""

from collections.abc import Mapping

from torch import Tensor


def temperature_at(epoch: int, first: float = 1.3, decrease: float = 0.02) -> float:
    """Temperature r of an epoch, counted from 0; the defaults are those of Junhua-Liao/Light-ASD, for 30 epochs.

    Raises:
        ValueError: When none is left, because there are too many epochs for this ``decrease``.
    """
    temperature = first - decrease * epoch
    if temperature <= 0:
        raise ValueError(
            f"expected a temperature above 0, found {temperature:g} in epoch {epoch}: "
            f"start above {first:g} or decrease it by less than {decrease:g} per epoch"
        )
    return temperature


def at_temperature(output: Mapping[str, Tensor], temperature: float) -> dict[str, Tensor]:
    """Divide all logits of a model's output by ``temperature``; the rest stays."""
    return {name: value / temperature if name.endswith("logits") else value for name, value in output.items()}
