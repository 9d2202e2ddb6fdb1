"""Small TalkNets whose norms do something, and batches of face tracks for them."""

from typing import Any

import torch
from torch import Tensor, nn

from models.masked_norm import GlobalNorm
from models.talknet import TalkNet

SIZES = {
    "widths": (4, 4, 8, 8),
    "audio_widths": (8, 8, 8, 16),
    "audio_layers": (1, 1, 1, 1),
    "dim": 16,
    "num_heads": 2,
    "tcn_blocks": 2,
    "head_width": 8,
    "face_size": 32,
}
FPS = 25.0
PER_FRAME = ("faces", "valid", "seconds", "boxes")
Batch = dict[str, Tensor]


def small(**settings: Any) -> TalkNet:
    """A network in evaluation, the same for the same settings; its norms are neither new nor alike."""
    torch.manual_seed(0)
    model = TalkNet(**SIZES | settings)
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.LayerNorm | GlobalNorm):
            for tensor in module.state_dict().values():
                if tensor.is_floating_point():
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return model.eval()


def tracks(batch: int = 3, frames: int = 8, seed: int = 0, fps: float = FPS) -> Batch:
    """Whole tracks with all that a network may ask for; all faces are there."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(batch, frames, 2, 2, generator=generator).sort(2).values
    side = SIZES["face_size"]
    return {
        "faces": torch.randint(0, 256, (batch, frames, side, side), generator=generator, dtype=torch.uint8),
        "audio": 3 * torch.randn(batch, 4 * frames, 13, generator=generator),
        "valid": torch.ones(batch, frames, dtype=torch.bool),
        "length": torch.full((batch,), frames),
        "seconds": (torch.arange(frames, dtype=torch.float64) / fps).repeat(batch, 1),
        "boxes": corners.flatten(2),
        "scene": torch.arange(batch),
    }


def rows(batch: Batch, *which: int) -> Batch:
    """Some rows of a batch."""
    return {name: value[list(which)] for name, value in batch.items()}


def shortened(batch: Batch, frames: int) -> Batch:
    """The first frames of every row."""
    cut = {name: value[:, :frames] if name in PER_FRAME else value for name, value in batch.items()}
    cut["audio"] = batch["audio"][:, : 4 * frames]
    return cut | {"length": batch["length"].clamp(max=frames)}


def assert_close(found: Batch, expected: Batch, where: Tensor | None = None, atol: float = 1e-5) -> None:
    """Outputs are equal, all or where (B, T) says so."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        pair = (found[name], value) if where is None else (found[name][where], value[where])
        torch.testing.assert_close(*pair, atol=atol, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")
