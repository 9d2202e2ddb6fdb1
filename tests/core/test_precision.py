"""What a datamodule calls exact reaches the task as the loader made it, whatever the precision."""

from pathlib import Path

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, default_collate

from core.precision import keep_exact
from datamodules.videos import Videos

BOXES = torch.tensor([[[129.3, 257.2, 301.7, 479.9]]])


class Watcher(LightningModule):
    """Keeps the batches of its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.seen = nn.Linear(1, 1), []

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        self.seen.append(batch)
        return self.layer.weight.sum()

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self.seen.append(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("precision", ["32-true", "bf16-true", "16-true", "bf16-mixed", "64-true"])
def test_boxes_are_not_rounded_in_training_and_evaluation(tmp_path: Path, precision: str) -> None:
    data = [{"boxes": BOXES, "box_scores": torch.tensor([0.7123]), "other": torch.tensor([0.7123])}]
    loader = DataLoader(data, collate_fn=default_collate)
    trainer = Trainer(
        accelerator="cpu", devices=1, max_epochs=1, precision=precision, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=tmp_path,
    )  # fmt: skip
    keep_exact(trainer, Videos.exact)
    watcher = Watcher()
    trainer.fit(watcher, loader, loader)
    assert len(watcher.seen) == 2
    for batch in watcher.seen:
        assert torch.equal(batch["boxes"][0], BOXES) and batch["boxes"].dtype == torch.float32
        assert batch["box_scores"].dtype == torch.float32
        assert (batch["other"].dtype == torch.float32) == (precision in ("32-true", "bf16-mixed"))
