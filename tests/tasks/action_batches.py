"""Batches of key frames with persons who are painted in the colour of what they do; and training on several processes.

``python -m tests.tasks.action_batches FILE``: trains on two processes and writes the weights.
"""

import sys
from pathlib import Path

import torch
from lightning import Trainer
from torch import Tensor
from torch.optim import SGD

from models.action_detector import ActionDetector
from models.fbil import FBILHead
from models.slowfast import SlowFast
from tasks.action_detection import ActionDetection
from tests.tasks.steps import InTurn

CLASSES = [(1, "stand", "pose"), (2, "sit", "pose"), (3, "talk to", "person")]
FRAMES, HEIGHT, WIDTH = 8, 32, 48
LEARNING_RATE = 0.5
COUNTS = [[2, 1], [0, 0], [0, 0], [0, 0], [3, 0], [1, 4]]  # actors of the clips of each batch; two batches are a step


def detector(**head: object) -> ActionDetector:
    """A small detector without dropout, the same every time."""
    torch.manual_seed(0)
    backbone = SlowFast(layers=(1, 1, 1, 1), base_width=8, beta_inv=4)
    options = {"dim": 16, "num_heads": 2, "ffn_dim": 16, "encoder_depth": 1, "foreground_depth": 1}
    options |= {"background_depth": 1, "attention_dropout": 0.0, "num_classes": len(CLASSES)}
    return ActionDetector(backbone, FBILHead(backbone.widths, **options | head), num_frames=FRAMES)


def batch_of(counts: list[int], first: int = 0, views: int = 1) -> dict:
    """A batch of ``len(counts)`` key frames with so many actors, each in ``views`` views."""
    generator = torch.Generator().manual_seed(first)
    clips = [key_frame for key_frame in range(len(counts)) for _ in range(views)]
    left = [torch.rand(count, 2, generator=generator) / 2 for count in counts]
    boxes = [torch.cat([corner, corner + 0.4], 1).double() for corner in left]
    labels = [torch.rand(count, len(CLASSES), generator=generator).round() for count in counts]
    sizes = torch.tensor([counts[key_frame] for key_frame in clips])
    return {
        "video": torch.randn(len(clips), 3, FRAMES, HEIGHT, WIDTH, generator=generator),
        "size": torch.tensor([[HEIGHT, WIDTH]]).repeat(len(clips), 1),
        "name": [f"video{first + key_frame}" for key_frame in clips],
        "second": torch.tensor([902.0 + key_frame for key_frame in clips], dtype=torch.float64),
        "index": torch.tensor([first + key_frame for key_frame in clips]),
        "view": torch.arange(views).repeat(len(counts)),
        "clip": torch.arange(len(clips)).repeat_interleave(sizes),
        "rois": torch.cat([boxes[key_frame] for key_frame in clips]).float(),
        "actor": torch.cat([torch.arange(counts[key_frame]) for key_frame in clips]),
        "boxes": torch.cat([boxes[key_frame] for key_frame in clips]),
        "scores": torch.ones(int(sizes.sum())),
        "targets": torch.cat([labels[key_frame] for key_frame in clips]),
        "truth": [(boxes[key_frame], labels[key_frame]) for key_frame in clips],
    }


class KeyFrames(InTurn):
    """Batches of key frames."""

    classes = CLASSES
    mean, std = torch.full((3,), 0.45), torch.full((3,), 0.225)


def train(devices: int, accumulate: int) -> dict[str, Tensor]:
    """Train on the batches of `COUNTS`; the weights afterwards."""
    batches = [batch_of(counts, first=2 * number) for number, counts in enumerate(COUNTS)]
    task = ActionDetection(detector(), lambda groups: SGD(groups, lr=LEARNING_RATE))
    trainer = Trainer(
        accelerator="cpu", devices=devices, strategy="ddp_fork" if devices > 1 else "auto", max_epochs=1,
        accumulate_grad_batches=accumulate, use_distributed_sampler=False, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(task, datamodule=KeyFrames(batches))
    return task.model.state_dict()


if __name__ == "__main__":
    torch.save(train(devices=2, accumulate=1), Path(sys.argv[1]))
