"""Small networks whose evidence is known."""

import torch
from torch import Tensor, nn

from models.saliency import SaliencySpec

GRID = (4, 6, 5)
POOLED = SaliencySpec({"clip": "body"}, head="pooled_linear", classifier="head")


class Pooled(nn.Module):
    """Convolution, norm, ReLU in place, dropout, mean, linear map: what saliency tubes are for."""

    def __init__(self, classes: int = 4, channels: int = 8) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv3d(3, channels, 3, padding=1), nn.BatchNorm3d(channels), nn.ReLU(inplace=True))
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(channels, classes)

    def forward(self, video: Tensor) -> Tensor:
        return self.head(self.dropout(self.body(video).mean((2, 3, 4))))


class Squared(nn.Module):
    """Its logit is the mean square of its first channel: how much a place matters is its own square."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Identity()
        self.unused = nn.Linear(2, 2)

    def forward(self, video: Tensor) -> Tensor:
        return self.seen(video)[:, 0].square().mean((1, 2, 3)).unsqueeze(1)


def clips(count: int = 3, grid: tuple[int, int, int] = GRID) -> Tensor:
    return torch.randn(count, 3, *grid, generator=torch.Generator().manual_seed(1))


def state_of(model: nn.Module) -> list[object]:
    """All that an explanation could change of a model and must not."""
    modes = [(module.training, len(module._forward_hooks), len(module._backward_hooks)) for module in model.modules()]
    parameters = [(each.requires_grad, each.grad, each.detach().clone()) for each in model.parameters()]
    buffers = [each.clone() for each in model.buffers()]
    return [*modes, *parameters, *buffers]


def same(first: object, second: object) -> bool:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return torch.equal(first, second)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(same(*pair) for pair in zip(first, second, strict=True))
    return first == second
