"""Progress that can be read in a file."""

import logging
import sys

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from callbacks.progress import Progress


class Logged(BoringModel):
    def training_step(self, batch: torch.Tensor, batch_idx: int) -> dict:
        self.log("train/loss", 0.5, prog_bar=True)
        return super().training_step(batch, batch_idx)


def fit(tmp_path, callback: Progress) -> None:
    trainer = Trainer(
        max_epochs=2,
        limit_train_batches=3,
        limit_val_batches=0,
        callbacks=[callback],
        logger=False,
        accelerator="cpu",
        devices=1,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(Logged())


def test_without_a_terminal_each_epoch_is_one_plain_line(
    tmp_path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, logger="callbacks.progress")
    fit(tmp_path, Progress())
    lines = [record.getMessage() for record in caplog.records if record.name == "callbacks.progress"]
    assert [line.split("  ")[:3] for line in lines] == [
        ["epoch 1/2", "step 3", "train/loss 0.5"],
        ["epoch 2/2", "step 6", "train/loss 0.5"],
    ]
    assert "\x1b" not in capsys.readouterr().out


def test_in_a_terminal_there_is_a_bar_and_no_lines(
    tmp_path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, logger="callbacks.progress")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    callback = Progress()
    fit(tmp_path, callback)
    assert callback.progress is not None
    drawn = capsys.readouterr().out
    assert "Epoch 1/2" in drawn and "Epoch 2/2" in drawn and "Epoch 0" not in drawn
    assert not [record for record in caplog.records if record.name == "callbacks.progress"]
