"""When the checkpoint is written that a run is continued from."""

from pathlib import Path

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from callbacks.last_checkpoint import LastCheckpoint

STEPS = 3  # of an epoch


class Slope(LightningModule):
    """Trains one number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.weight * batch.float().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class EndsAtOnce(Callback):
    """Asks for an early stop from the first batch on."""

    def on_train_batch_start(self, trainer: Trainer, *_: object) -> None:
        trainer.should_stop = True


@pytest.mark.parametrize(
    ("least", "expected"),
    [
        ({}, [1]),
        ({"min_epochs": 2}, [3, 6]),
        ({"min_steps": 2}, [3]),  # Lightning then asks for an epoch, too
        ({"min_steps": 4}, [3, 4]),
        ({"min_epochs": 2, "min_steps": 8}, [3, 6, 8]),
    ],
    ids=str,
)
def test_an_early_stop_that_is_put_off_does_not_write_after_every_batch(
    least: dict, expected: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    monkeypatch.setattr(LastCheckpoint, "save_now", lambda self, trainer: saved.append(trainer.global_step))
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(
        default_root_dir=tmp_path, accelerator="cpu", devices=1, max_epochs=5, **least, **quiet,
        callbacks=[EndsAtOnce(), LastCheckpoint(str(tmp_path))],
    )  # fmt: skip
    trainer.fit(Slope(), DataLoader(range(STEPS)))
    assert saved == expected
    assert trainer.global_step == expected[-1]
