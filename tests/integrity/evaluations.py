"""Whole evaluations on 1, 2 and 3 ranks: ``python -m tests.integrity.evaluations VIDEOS FOLDER``.

Every run gets a folder ``<mode>_<ranks>_<batch size>`` with ``rank<N>.json``: the indices that a rank was given in each
evaluation of the run, and what it measured, every bit of it.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from omegaconf import OmegaConf

from core.build import build
from core.run import make_model, make_task, make_trainer, start
from tests.toy_project import job_config

RUNS = [
    *[("validate", ranks, batch_size) for ranks in (1, 2, 3) for batch_size in (1, 2)],
    *[(mode, ranks, 2) for mode in ("test", "predict") for ranks in (1, 2, 3)],
    ("fit", 2, 1),
]
EPOCHS = 2  # of fit, each with a validation
TINY = (
    *("model.num_frames=4", "model.image_size=[32,48]", "model.dim=24", "model.depth=1", "model.num_heads=2"),
    *("model.decoder_dim=16", "model.decoder_depth=1", "model.decoder_num_heads=2", "model.sampler_num_heads=2"),
)


class Witness(Callback):
    """Writes down what a rank was given to evaluate and what it found."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.visits, self.metrics = folder, [], []

    def on_validation_start(self, *_: object) -> None:
        self.visits.append([])

    on_test_start = on_predict_start = on_validation_start

    def on_validation_batch_start(self, trainer: Trainer, module: LightningModule, batch: dict, *_: object) -> None:
        self.visits[-1] += batch["index"].tolist()

    on_test_batch_start = on_predict_batch_start = on_validation_batch_start

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        found = {name: value for name, value in trainer.callback_metrics.items() if not name.startswith("train/")}
        self.metrics.append({name: float(value).hex() for name, value in found.items()})

    on_test_end = on_validation_end

    def teardown(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        found = {"visits": self.visits, "metrics": self.metrics}
        (self.folder / f"rank{trainer.global_rank}.json").write_text(json.dumps(found))


def evaluate(videos: Path, folder: Path, mode: str, ranks: int, batch_size: int) -> None:
    """Run one job as ``core.run`` does, with a witness on every rank."""
    folder.mkdir()
    data = {"root": videos, "cache": folder, "batch_size": batch_size, "val_fraction": 0.0, "num_workers": 0}
    data |= {"resize": "squash", "eval_clips": 2, "repeat": 1}
    options = ["task=focusmae", "datamodule=videos", "callbacks=none", "logger=none", *TINY, f"mode={mode}"]
    options += [f"datamodule.{name}={value}" for name, value in data.items()]
    options += [f"trainer.devices={ranks}", f"trainer.max_epochs={EPOCHS}", "trainer.enable_progress_bar=false"]
    options += ["+trainer.enable_checkpointing=false", f"trainer.strategy={'ddp_fork' if ranks > 1 else 'auto'}"]
    config: dict[str, Any] = OmegaConf.to_container(job_config(folder, *options))
    torch.manual_seed(0)
    trainer = make_trainer(config)
    trainer.callbacks.append(Witness(folder))
    datamodule, model = build(config["datamodule"], "datamodule"), make_model(config, None)
    start(trainer, make_task(config, model, datamodule, trainer), datamodule, mode, None)


if __name__ == "__main__":
    for mode, ranks, batch_size in RUNS:
        evaluate(Path(sys.argv[1]), Path(sys.argv[2], f"{mode}_{ranks}_{batch_size}"), mode, ranks, batch_size)
