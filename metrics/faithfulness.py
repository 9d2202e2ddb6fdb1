"""Is a map right? Numbers for maps that say where in a clip a model sees what it says.

Maps are (B, T', H', W') on any grid, higher where more speaks for the target; a region is bool, True inside. All
functions are pure and take what the model says as a function, so that they know no model. What becomes of a map when
weights are lost: `metrics.randomisation`.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Score = Callable[[Tensor, Tensor], Tensor]


class Curves(NamedTuple):
    """Scores of clips that are changed step by step.

    Attributes:
        fractions: (S + 1,) float64, how much was changed, from 0 to 1.
        deletion: (B, S + 1), the score with the most salient cells deleted.
        insertion: (B, S + 1), the score of the baseline with the most salient cells inserted.
    """

    fractions: Tensor
    deletion: Tensor
    insertion: Tensor

    def areas(self) -> tuple[Tensor, Tensor]:
        """Areas under both curves, (B,) each, by trapezoids; a good map has a small one and a large one."""
        fractions = self.fractions.to(self.deletion)
        return torch.trapezoid(self.deletion, fractions), torch.trapezoid(self.insertion, fractions)


def insertion_deletion(
    score: Score, clips: Tensor, maps: Tensor, baseline: Tensor, steps: int = 16, batch_size: int = 8
) -> Curves:
    """Delete and insert cells in the order of a map: Petsiuk et al., "RISE" (2018), section 4.1, over time and space.

    Cells are those of the map. Let them be as large as the model's own (a tubelet), and means over rows and columns
    (``maps.mean((2, 3), keepdim=True)``) where whole frames are to go: that measures time alone. Areas depend on the
    baseline and on what the score is: compare those of one baseline and of probabilities, and only with those of
    `random_maps`.

    Args:
        score: Maps clips (M, C, T, H, W), and which clip of the batch each one comes from, (M,) int64, to the
            probability of the target, (M,).
        clips: (B, C, T, H, W), normalised.
        maps: (B, T', H', W'); of equal values the earlier cell comes first.
        baseline: Like ``clips``: what shows nothing.
        steps: S. Every step changes as many cells, rounded up; the last ones may have fewer to change.
        batch_size: Clips that the model sees at a time.

    Returns:
        Curves, with 2 S forward passes per clip, for the ends of both curves are the same two clips.

    Raises:
        ValueError: When the map is no map of the clips, or there is no step.
    """
    if len(maps) != len(clips) or maps.ndim != 4:
        raise ValueError(f"maps: expected (B, T, H, W) of {len(clips)} clips, found {tuple(maps.shape)}")
    if steps < 1 or batch_size < 1:
        raise ValueError(f"steps and batch_size: expected numbers >= 1, found {steps} and {batch_size}")
    cells = maps[0].numel()
    changed = [min(cells, step * -(-cells // steps)) for step in range(steps + 1)]
    ranks = maps.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(1).view_as(maps).float()
    ranks = F.interpolate(ranks.unsqueeze(1), clips.shape[-3:], mode="nearest-exact")

    def deleted(count: int) -> Callable[[Tensor], Tensor]:
        return lambda chosen: torch.where(ranks[chosen] < count, baseline[chosen], clips[chosen])

    def inserted(count: int) -> Callable[[Tensor], Tensor]:
        return lambda chosen: torch.where(ranks[chosen] < count, clips[chosen], baseline[chosen])

    jobs = [deleted(count) for count in changed] + [inserted(count) for count in changed[1:-1]]
    found = _scored(score, jobs, len(clips), clips.device, batch_size)
    deletion, middle = found[:, : steps + 1], found[:, steps + 1 :]
    insertion = torch.cat([deletion[:, -1:], middle, deletion[:, :1]], 1)
    return Curves(torch.tensor(changed, dtype=torch.float64) / cells, deletion, insertion)


@torch.no_grad()
def _scored(
    score: Score, jobs: list[Callable[[Tensor], Tensor]], clips: int, device: torch.device, batch_size: int
) -> Tensor:
    """Scores (B, jobs) of what each job makes of each clip, made as late as possible."""
    pairs = torch.cartesian_prod(torch.arange(clips), torch.arange(len(jobs))).view(-1, 2)
    found = []
    for part in pairs.split(batch_size):
        places, numbers = part.unbind(1)
        made = [jobs[number](places[i : i + 1].to(device)) for i, number in enumerate(numbers.tolist())]
        found.append(score(torch.cat(made), places.to(device)))
    return torch.cat(found).view(clips, len(jobs))


def random_maps(maps: Tensor, seed: int = 0) -> Tensor:
    """Maps of the same shape that know nothing; the same for every clip of a batch, whatever their number."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(maps.shape[1:], generator=generator).to(maps.device).expand_as(maps)


def energy_inside(maps: Tensor, region: Tensor) -> Tensor:
    """How much of what speaks for the target lies in a region: (B,), nan where nothing does.

    Args:
        maps: (B, T, H, W), signed; what is negative does not count.
        region: (B, T, H, W) bool.
    """
    positive = maps.clamp(min=0).double()
    return (positive * region).sum((1, 2, 3)) / positive.sum((1, 2, 3))


def pointing_game(maps: Tensor, region: Tensor) -> Tensor:
    """Whether the highest cell lies in a region: Zhang et al. (2018); (B,) bool. Arguments as of `energy_inside`."""
    return region.flatten(1).gather(1, maps.flatten(1).argmax(1, keepdim=True)).squeeze(1)


def spearman(first: Tensor, second: Tensor) -> Tensor:
    """Rank correlation of maps (B, ...) with others, by clip: (B,) float64; nan where a map is the same everywhere."""
    ranks = [torch.stack([mean_ranks(row) for row in maps.flatten(1)]) for maps in (first, second)]
    centred = [each - each.mean(1, keepdim=True) for each in ranks]
    lengths = [torch.linalg.vector_norm(each, dim=1) for each in centred]
    return (centred[0] * centred[1]).sum(1) / (lengths[0] * lengths[1])


def mean_ranks(values: Tensor) -> Tensor:
    """Ranks (N,) float64 of values (N,), from 0; equal values share the mean of theirs."""
    _, place, count = values.unique(return_inverse=True, return_counts=True)
    return (count.cumsum(0) - (count + 1) / 2).double()[place]
