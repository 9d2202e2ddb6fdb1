"""Batches of face tracks whose mouth and sound are a level each; and training on several processes.

``python -m tests.tasks.speaker_batches FILE``: trains on two processes and writes the weights.
"""

import sys
from pathlib import Path

import torch
from lightning import Trainer
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.data import DataLoader

from tasks.active_speaker import ActiveSpeaker
from tests.tasks.steps import InTurn

SIDE, MFCC = 4, 13
LEARNING_RATE = 0.5
LENGTHS = [[3, 2], [9, 1], [0, 0], [0, 0], [5, 0], [1, 8]]  # frames of the rows of each batch; two batches are a step


class Levels(nn.Module):
    """Looks at the mean of each crop and at the first coefficient of each frame's sound."""

    def __init__(self, positions: bool = False) -> None:
        super().__init__()
        self.audio, self.video, self.both = nn.Linear(1, 2), nn.Linear(1, 2), nn.Linear(2, 2)
        if positions:
            self.rope_scale = 1.0

    def forward(self, faces: Tensor, audio: Tensor, **where: Tensor) -> dict[str, Tensor]:
        seen = faces.float().mean((2, 3)).unsqueeze(2) / 255
        heard = audio[..., 0].unflatten(1, (-1, 4)).mean(2, keepdim=True)
        logits = self.both(torch.cat([seen, heard], 2))
        return {"logits": logits, "audio_logits": self.audio(heard), "video_logits": self.video(seen)}


def model(positions: bool = False) -> Levels:
    """The same every time."""
    torch.manual_seed(0)
    return Levels(positions)


def batch_of(lengths: list[int], first: int = 0) -> dict:
    """A batch of rows of so many frames; some frames have no face, some an interpolated box, some no known target."""
    rows, frames = len(lengths), max(*lengths, 1)
    generator = torch.Generator().manual_seed(first)
    draw = torch.rand(6, rows, frames, generator=generator)
    inside = torch.arange(frames) < torch.tensor(lengths)[:, None]
    valid = inside & (draw[0] < 0.8)
    annotated = valid & (draw[1] < 0.8)
    speaks = (draw[2] < 0.5).long()
    level = (torch.where(speaks == 1, draw[3], draw[3] / 2) * 255).byte() * valid
    corner = draw[4:].permute(1, 2, 0) / 2
    heard = (speaks + draw[5]).repeat_interleave(4, 1).unsqueeze(2)
    return {
        "faces": level[:, :, None, None].expand(-1, -1, SIDE, SIDE).contiguous(),
        "audio": heard.expand(-1, -1, MFCC).contiguous(),
        "target": speaks.masked_fill(~valid | (draw[1] < 0.05), -1),
        "voice": speaks.masked_fill(~inside, -1),
        "valid": valid,
        "annotated": annotated,
        "length": torch.tensor(lengths),
        "frames": torch.arange(frames).repeat(rows, 1).masked_fill(~inside, -1),
        "seconds": torch.arange(frames).double().repeat(rows, 1) / 25 * inside,
        "boxes": torch.cat([corner, corner + 0.3], 2) * valid.unsqueeze(2),
        "width": draw[4] * 200,
        "frame_size": torch.tensor([[480, 640]]).repeat(rows, 1),
        "faces_in_frame": (draw[5] * 3).long() + 1,
        "scene": torch.arange(rows) // 2,
        "name": [f"video{(first + row) // 2}" for row in range(rows)],
        "entity": [f"face{first + row}" for row in range(rows)],
        "index": first + torch.arange(rows),
        "fps": torch.full((rows,), 25.0, dtype=torch.float64),
    }


def rows_of(batch: dict, index: Tensor) -> dict:
    """Some rows of a batch."""
    return {
        key: each[index] if isinstance(each, Tensor) else [each[row] for row in index.tolist()]
        for key, each in batch.items()
    }


class Rows(torch.utils.data.Dataset):
    """Batches that come one at a time, and are as many samples as they have rows."""

    def __init__(self, batches: list[dict]) -> None:
        self.batches, self.num_clips = batches, sum(len(batch["index"]) for batch in batches)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, place: int) -> dict:
        return self.batches[place]


class Tracks(InTurn):
    """Batches of face tracks; in evaluation each process has all of them."""

    def val_dataloader(self) -> DataLoader:
        return DataLoader(Rows(self.batches), batch_size=None)

    test_dataloader = predict_dataloader = val_dataloader


def batches() -> list[dict]:
    """Those of `LENGTHS`."""
    return [batch_of(lengths, first=2 * number) for number, lengths in enumerate(LENGTHS)]


def train(devices: int, accumulate: int, **options: object) -> dict[str, Tensor]:
    """Train on the batches of `LENGTHS`; the weights afterwards."""
    task = ActiveSpeaker(model(), lambda groups: SGD(groups, lr=LEARNING_RATE), **options)
    trainer = Trainer(
        accelerator="cpu", devices=devices, strategy="ddp_fork" if devices > 1 else "auto", max_epochs=1,
        accumulate_grad_batches=accumulate, use_distributed_sampler=False, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(task, datamodule=Tracks(batches()))
    return task.model.state_dict()


if __name__ == "__main__":
    torch.save(train(devices=2, accumulate=1, class_weights=(1, 4), voice_weight=0.5), Path(sys.argv[1]))
