"""The best files of a run: what they are called, and which are kept."""

from pathlib import Path

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from callbacks.best_checkpoint import BestCheckpoint
from core.checkpoint.plugin import CheckpointFiles, ConfigInCheckpoint
from core.checkpoint.reading import best_of
from core.checkpoint.sums import verify

VALUES = (5.0, 3.0, 4.0, 1.0, 2.0)  # of the metric, one per epoch


class Scripted(LightningModule):
    """A task whose metric is known beforehand."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.layer(batch).sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/loss", VALUES[self.current_epoch])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def kept(folder: Path, mode: str, **options: object) -> list[str]:
    """Names of the checkpoints that a run leaves; each has its sum, and there are no other sums."""
    loader = DataLoader(torch.zeros(2, 1))
    config = {"task": {}, "model": {}, "monitor": {"metric": "val/loss", "mode": mode}}
    best = BestCheckpoint(str(folder), "val/loss", mode, **options)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=len(VALUES),
        callbacks=[best, ConfigInCheckpoint(config)],
        plugins=[CheckpointFiles()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(Scripted(), loader, loader)
    files = sorted(folder.glob("*.ckpt"))
    assert sorted(folder.iterdir()) == sorted([*files, *(folder / f"{file.name}.sha256" for file in files)])
    for file in files:
        verify(file)
    return [file.name for file in files]


@pytest.mark.parametrize(
    ("mode", "count", "names", "best"),
    [
        ("min", 1, ["best.ckpt"], "best.ckpt"),
        ("min", 2, ["best-003-000008.ckpt", "best-004-000010.ckpt"], "best-003-000008.ckpt"),
        ("max", 2, ["best-000-000002.ckpt", "best-002-000006.ckpt"], "best-000-000002.ckpt"),
        ("min", -1, [f"best-00{epoch}-0000{2 * epoch + 2:02d}.ckpt" for epoch in range(5)], "best-003-000008.ckpt"),
    ],
)
def test_the_best_files_are_kept_with_their_sums_and_the_best_of_them_is_known(
    tmp_path: Path, mode: str, count: int, names: list[str], best: str
) -> None:
    assert kept(tmp_path / "files", mode, save_top_k=count) == names
    assert best_of(sorted((tmp_path / "files").glob("*.ckpt"))).name == best


def test_no_files_are_kept_when_none_are_wanted(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    assert kept(tmp_path / "files", "min", save_top_k=0) == []


def test_several_files_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"filename: 3 files need names that differ.*'mine'"):
        BestCheckpoint(str(tmp_path), "val/loss", save_top_k=3, filename="mine")
