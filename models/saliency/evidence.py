"""Evidence: how much each place of a clip speaks for what a model says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from models.saliency.spline import Zoom, zoom

ROUNDED = 16  # units in the last place that a zoom may be off by
JOINED = "all"  # the stream that streams become together


@dataclass(frozen=True)
class Evidence:
    """Signed maps over clips, one per stream (pathway) on its own grid.

    Where ``exact``, the means of the maps of all streams and the constant add up to the logit. (Means rather than sums:
    then a map says the same on any grid, and those of two grids may be added at the size of the clip.)

    Attributes:
        maps: Of each stream (B, T', H', W') float.
        constant: (B,), what no place speaks for; nan where it is not known.
        logit: (B,), the number that is explained, as the model gave it; nan for methods that explain none.
        size: ``(T, H, W)`` of the clips.
        method: How it was found.
        layers: Where, of each stream; empty for methods that look at the clip itself.
        exact: Whether maps and constant must add up to the logit.
        classes: (B,) int64, the explained class of each clip; None where it is no class.
    """

    maps: Mapping[str, Tensor]
    constant: Tensor
    logit: Tensor
    size: tuple[int, int, int]
    method: str
    layers: Mapping[str, str] = field(default_factory=dict)
    exact: bool = False
    classes: Tensor | None = None

    def contributions(self) -> dict[str, Tensor]:
        """What each stream adds to the logit: (B,) each; only of exact evidence more than a mean."""
        return {stream: wide(found).mean((1, 2, 3)) for stream, found in self.maps.items()}

    def shares(self) -> dict[str, Tensor]:
        """How much of all evidence, for or against, is in each stream: (B,) each; all of them are 1 together."""
        sizes = {stream: found.abs().mean((1, 2, 3)) for stream, found in self.maps.items()}
        whole = torch.stack(list(sizes.values())).sum(0)
        return {stream: torch.where(whole > 0, size / whole, 1 / len(sizes)) for stream, size in sizes.items()}

    def completeness_error(self) -> Tensor:
        """By how much maps and constant miss the logit, (B,)."""
        return (torch.stack(list(self.contributions().values())).sum(0) + self.constant - self.logit).abs()

    def positive(self) -> "Evidence":
        """What speaks for the target alone, as published forms of Grad-CAM and Layer-CAM keep it; no longer exact."""
        return replace(self._with(lambda found: found.clamp(min=0)), exact=False)

    def upsample(self, size: tuple[int, int, int] | None = None, mode: Zoom = "spline") -> "Evidence":
        """Bring all maps to one size, that of the clips unless another is given; see `models.saliency.spline.zoom`."""
        size = self.size if size is None else tuple(size)
        return replace(self._with(lambda found: zoom(found, size, mode)), exact=False)

    def joined(self) -> "Evidence":
        """All streams as one; see `total`."""
        return replace(self, maps={JOINED: self.total()})

    def total(self) -> Tensor:
        """All streams together, (B, T', H', W').

        Raises:
            ValueError: When their grids differ; `upsample` them first.
        """
        grids = {tuple(found.shape[1:]) for found in self.maps.values()}
        if len(grids) > 1:
            raise ValueError(f"streams have grids {', '.join(map(str, sorted(grids)))}: upsample them first")
        first, *others = self.maps.values()
        return sum(others, first)

    def normalised(self) -> "Evidence":
        """Maps from 0 to 1, by one minimum and maximum over all streams and all frames of a clip.

        Frames and pathways can then be compared. What is the same everywhere becomes 0.
        """
        least, most = self.limits()
        return replace(self._with(lambda found: stretch(found, least, most)), exact=False)

    def tubes(self, size: tuple[int, int, int] | None = None, mode: Zoom = "spline") -> "Evidence":
        """Saliency tubes: the same as `upsample`, then `normalised`, in half the time."""
        zoomed = self.upsample(size, mode)
        least, most = zoomed.limits()
        return zoomed._with(lambda found: stretch_(found, least, most))

    def limits(self) -> tuple[Tensor, Tensor]:
        """The least and the most evidence of each clip, over all streams: (B,) each."""
        least = [found.amin((1, 2, 3)) for found in self.maps.values()]
        most = [found.amax((1, 2, 3)) for found in self.maps.values()]
        return torch.stack(least).amin(0), torch.stack(most).amax(0)

    def of_clip(self, clip: int) -> "Evidence":
        """That of one clip of the batch, as a batch of one."""
        classes = None if self.classes is None else self.classes[clip : clip + 1]
        one = self._with(lambda found: found[clip : clip + 1])
        return replace(one, constant=self.constant[clip : clip + 1], logit=self.logit[clip : clip + 1], classes=classes)

    def _with(self, change: Callable[[Tensor], Tensor]) -> "Evidence":
        return replace(self, maps={stream: change(found) for stream, found in self.maps.items()})


def stretch(maps: Tensor, least: Tensor, most: Tensor) -> Tensor:
    """Map maps (B, ...) linearly so that ``least`` (B,) becomes 0 and ``most`` (B,) 1; 0 where both are the same.

    A difference that rounding alone explains is none: a zoom makes one of what was the same everywhere.
    """
    return stretch_(maps.clone(), least, most)


def stretch_(maps: Tensor, least: Tensor, most: Tensor) -> Tensor:
    """The same in place: on a CPU, most of the time of large maps goes into new memory."""
    shape = (-1, *(1,) * (maps.ndim - 1))
    rounding = ROUNDED * torch.finfo(maps.dtype).eps * torch.maximum(least.abs(), most.abs())
    width = (most - least).where(most - least > rounding, torch.inf)
    return maps.sub_(least.view(shape)).div_(width.view(shape))


def wide(values: Tensor) -> Tensor:
    """In float64, or in float32 on a device that has no other (Apple's)."""
    return values.float() if values.device.type == "mps" else values.double()
