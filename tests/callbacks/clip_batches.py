"""Clips whose features can be told by hand, for tests of what is done with features."""

from collections.abc import Collection, Iterator

import torch
from lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

FRAMES = 4  # of a clip; rows begin 2 frames apart
TOKENS, WIDTH = 5, 3


class Network(nn.Module):
    """Tokens (B, 5, 3) that hold video, row and view of a clip, behind layers with names."""

    def __init__(self, heads: int = 1) -> None:
        super().__init__()
        self.heads = heads
        self.scale = nn.Linear(WIDTH, WIDTH, bias=False)
        nn.init.eye_(self.scale.weight)
        self.blocks = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True))
        self.both = Both()

    def forward(self, video: Tensor) -> Tensor:
        steps = torch.arange(TOKENS, device=video.device).view(1, -1, 1)
        tokens = self.blocks(self.scale(video).unsqueeze(1) + steps)
        return self.both(tokens)[0].mean(1)


class Both(nn.Module):
    """A layer that returns two things."""

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return tokens, tokens


class Encoding(LightningModule):
    """A task that returns features in a chosen form."""

    def __init__(self, model: nn.Module | None = None, form: str = "tensor") -> None:
        super().__init__()
        self.model, self.form = model or Network(), form

    def predict_step(self, batch: dict, batch_idx: int) -> object:
        features = self.model(batch["video"])
        return {"tensor": features, "dict": {"features": features}, "scores": {"scores": features}}.get(self.form)

    test_step = predict_step


def feature(place: int, row: int, view: int) -> list[float]:
    """Mean token of a clip."""
    return [value + (TOKENS - 1) / 2 for value in (place, row, view)]


class ClipBatches(Dataset):
    """Batches of clips, each a dict."""

    def __init__(self, batches: list[dict]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> dict:
        return self.batches[index]


class HandMade(LightningDataModule):
    """Videos of given numbers of rows, their clips in mixed order, batches of 4 filled up with nothing.

    Args:
        videos: Rows by name.
        views: Of every row.
        failing: Reasons by name, of videos of which only the first row comes.
        stride: Of the recipe.
        size: Bytes of every source.
    """

    allow_zero_length_dataloader_with_multiple_devices = True

    def __init__(
        self,
        videos: dict[str, int],
        views: int = 1,
        failing: dict[str, str] | None = None,
        stride: int = 2,
        size: int = 100,
    ) -> None:
        super().__init__()
        self.videos, self.views, self.failing, self.stride, self.size = videos, views, failing or {}, stride, size
        self.left_out: Collection[str] = ()
        self.seen: list[str] = []

    def recipe(self) -> dict:
        return {"windows": {"stride": self.stride, "tail": "drop"}, "normalization": "imagenet"}

    def feature_sources(self) -> dict[str, dict]:
        return {
            name: {"path": f"{name}.mp4", "bytes": self.size, "frames": 2 * rows + 2, "fps": 25.0}
            for name, rows in self.videos.items()
        }

    def leave_out(self, names: Collection[str]) -> None:
        self.left_out = names

    def clips(self) -> list[tuple[str, int, int]]:
        every = [
            (name, row, view)
            for name, rows in self.videos.items()
            for row in range(1 if name in self.failing else rows)
            for view in range(self.views)
            if name not in self.left_out
        ]
        order = torch.randperm(len(every), generator=torch.Generator().manual_seed(0)).tolist()
        return [every[place] for place in order]

    def batches(self) -> Iterator[dict]:
        clips = self.clips()
        for start in range(0, len(clips), 4):
            batch = self.batch((clips[start : start + 4] + [("", -1, 0)] * 3)[:4])
            if start == 0:
                batch["failed"] = [(name, f"{name}.mp4", why) for name, why in self.failing.items()]
            yield batch

    def batch(self, clips: list[tuple[str, int, int]]) -> dict:
        names = list(self.videos)
        values = [[names.index(name) if row >= 0 else 0, row, view] for name, row, view in clips]
        row = torch.tensor([row for _, row, _ in clips])
        frames = 2 * row[:, None] + torch.arange(FRAMES)
        return {
            "video": torch.tensor(values, dtype=torch.float32),
            "name": [name for name, _, _ in clips],
            "row": row,
            "rows": torch.tensor([self.videos.get(name, 0) for name, _, _ in clips]),
            "view": torch.tensor([view for _, _, view in clips]),
            "views": torch.full_like(row, self.views),
            "frames": frames,
            "seconds": frames.double() / 25,
        }

    def predict_dataloader(self) -> DataLoader:
        batches = list(self.batches())
        self.seen = [name for batch in batches for name in batch["name"] if name]
        return DataLoader(ClipBatches(batches), batch_size=None)

    test_dataloader = predict_dataloader
