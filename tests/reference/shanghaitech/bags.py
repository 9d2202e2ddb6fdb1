"""A detector that is trained on synthetic bags with labels of videos finds the anomalous frames."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lightning import Trainer, seed_everything
from omegaconf import OmegaConf

from core.build import build
from core.command_line.overrides import composed
from tests.reference.shanghaitech.numbers import array_files

KEYS = ("features", "num_snippets", "num_frames", "video_label", "is_test", "frame_labels", "frame_labels_total")
SEEDS = range(4)
EPOCHS = 10
BAR, CLEARLY_BELOW = 0.93, 0.75  # means over the seeds; README of the numbers: 0.934 to 0.951, untrained about 0.33


class Bags(NamedTuple):
    """The bags of a file, by video.

    Attributes:
        features: (T, C) of each.
        frames: (N,) 0 or 1 of each.
        label: (videos,) of whole videos.
        is_test: (videos,) bool.
    """

    features: list[np.ndarray]
    frames: list[np.ndarray]
    label: np.ndarray
    is_test: np.ndarray


def read(arrays: dict[str, np.ndarray]) -> Bags:
    bits = np.unpackbits(arrays["frame_labels"], count=int(arrays["frame_labels_total"]))
    features, frames = (
        np.split(values, np.cumsum(arrays[counts])[:-1])
        for values, counts in ((arrays["features"], "num_snippets"), (bits, "num_frames"))
    )
    return Bags(features, frames, arrays["video_label"], arrays["is_test"].astype(bool))


def written(given: Bags, folder: Path) -> dict[str, Any]:
    """Write bags as files of features, lists and labels of frames, and compose the task for them."""
    names = [f"01_{number:0{4 if label else 3}}" for number, label in enumerate(given.label)]
    (folder / "features").mkdir(parents=True)
    for name, features in zip(names, given.features, strict=True):
        np.save(folder / "features" / f"{name}.npy", features)
    np.savez(folder / "labels.npz", **dict(zip(names, given.frames, strict=True)))
    for part, wanted in (("train", ~given.is_test), ("test", given.is_test)):
        lines = [f"{names[video]},{given.label[video]}" for video in np.flatnonzero(wanted)]
        (folder / f"{part}.txt").write_text("\n".join(lines))
    data = {
        "features": folder / "features",
        "root": folder,
        "labels": folder / "labels.npz",
        "train_list": folder / "train.txt",
        "test_list": folder / "test.txt",
        "layout": "rows_first",
        "val_fraction": 0,
    }
    overrides = [f"datamodule.{name}={value}" for name, value in data.items()]
    cfg = composed(["task=vad", *overrides, f"model.dim={given.features[0].shape[1]}"])
    parts = {key: OmegaConf.to_container(cfg[key], resolve=True) for key in ("datamodule", "model", "task", "optim")}
    del parts["model"]["pretrained"], parts["optim"]["reference_batch"]  # core's own
    return parts


def areas(cfg: dict[str, Any], seed: int, folder: Path) -> tuple[float, float]:
    """Area under the ROC curve of the frames of the test videos, before and after training."""
    seed_everything(seed, verbose=False)
    model, optimizer = build(cfg["model"], "model"), build(cfg["optim"], "optim")
    task = build(cfg["task"], "task", model=model, optimizer=optimizer)
    datamodule = build(cfg["datamodule"] | {"seed": seed}, "datamodule")
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=EPOCHS,
        limit_val_batches=0,
        use_distributed_sampler=False,
        default_root_dir=folder,
        **quiet,
    )
    [before] = trainer.test(task, datamodule, verbose=False)
    trainer.fit(task, datamodule)
    [after] = trainer.test(task, datamodule, verbose=False)
    return before["test/auc"], after["test/auc"]


def test_labels_of_videos_are_enough_to_find_anomalous_frames(tmp_path: Path) -> None:
    for number, (_, arrays) in enumerate(array_files(*KEYS)):
        given = read(arrays)
        cfg = written(given, tmp_path / str(number))
        untrained, trained = np.array([areas(cfg, seed, tmp_path) for seed in SEEDS]).T
        assert trained.mean() >= BAR, trained
        assert untrained.mean() < CLEARLY_BELOW, untrained
