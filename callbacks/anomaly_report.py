"""What an evaluation of an anomaly detector leaves behind: numbers, where they come from, scores and pictures."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import CombinedLoader
from PIL import Image

from callbacks.anomaly_pictures import Curve, draw_roc, draw_scores
from callbacks.panels import log_picture
from core.atomic import replace_file, unlink

HIGHEST = {"max": "highest", "min": "lowest"}


class AnomalyReport(Callback):
    """Write results, scores and pictures after a test, and after a validation that is no part of a training.

    Works with every task that has ``frame_anomaly``, by stage (``val``, ``test``) a metric whose ``curves`` hold after
    an evaluation scores and labels (N,) of the frames of each video, by sample. The data set may name its samples in
    ``names``; the datamodule may say in ``protocol``, one line, what the numbers can be compared with.

    ``<folder>/results.json`` has every number, the protocol, and the checkpoint and how it was selected;
    ``<folder>/scores.npz`` the arrays ``scores/<video>`` and ``labels/<video>``; ``<folder>/pictures/test_roc.png`` the
    ROC curve; ``<folder>/pictures/test_scores.png`` (``test_scores_2.png``, ...) the scores of each video over time,
    those with an anomaly first. After a validation: ``results_validate.json`` and so on.

    Args:
        folder: The run folder.
        videos_per_page: Videos of a picture of scores.
    """

    def __init__(self, folder: str, videos_per_page: Annotated[int, "videos_per_page >= 1"] = 24) -> None:
        if videos_per_page < 1:
            raise ValueError(f"callbacks.anomaly_report.videos_per_page: expected at least 1, found {videos_per_page}")
        self.folder, self.videos_per_page = Path(folder), videos_per_page

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not hasattr(pl_module, "frame_anomaly"):
            raise ValueError(
                f"callbacks.anomaly_report: {type(pl_module).__name__} has no 'frame_anomaly' to report on; "
                "leave this callback out with callbacks=[default]"
            )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._report(trainer, pl_module, "val", "validate", trainer.val_dataloaders)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._report(trainer, pl_module, "test", "test", trainer.test_dataloaders)

    def _report(self, trainer: Trainer, pl_module: LightningModule, stage: str, stem: str, loaders: object) -> None:
        if not trainer.is_global_zero:
            return
        [loader] = CombinedLoader(loaders).flattened
        names = getattr(loader.dataset, "names", None) or list(map(str, range(len(loader.dataset))))
        found = pl_module.frame_anomaly[stage].curves
        curves = [Curve(names[index], *(part.cpu().numpy() for part in pair)) for index, pair in found.items()]
        if not curves:
            return
        curves.sort(key=lambda curve: (not curve.anomalous, curve.name))
        suffix = "" if stem == "test" else f"_{stem}"
        self.folder.mkdir(parents=True, exist_ok=True)
        protocol = getattr(trainer.datamodule, "protocol", None)
        numbers = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        results = {
            "metrics": {name: value for name, value in numbers.items() if name.startswith(f"{stage}/")},
            "protocol": protocol,
            "checkpoint": selection(trainer.ckpt_path, trainer.datamodule),
            "videos": {
                "evaluated": len(curves),
                "of": len(names),
                "anomalous": sum(curve.anomalous for curve in curves),
            },
            "frames": {
                "evaluated": sum(len(curve.labels) for curve in curves),
                "anomalous": int(sum(curve.labels.sum() for curve in curves)),
            },
        }
        put(self.folder / f"results{suffix}.json", f"{json.dumps(results, indent=1)}\n".encode())
        put(self.folder / f"scores{suffix}.npz", archive(curves))
        self._draw(trainer, curves, stage, stem, protocol or "")

    def _draw(self, trainer: Trainer, curves: list[Curve], stage: str, stem: str, note: str) -> None:
        folder, per_page = self.folder / "pictures", self.videos_per_page
        folder.mkdir(exist_ok=True)
        pages = [curves[start : start + per_page] for start in range(0, len(curves), per_page)]
        pictures = {"roc": draw_roc(curves, note)}
        for number, page in enumerate(pages, start=1):
            which = f" (page {number} of {len(pages)})" if len(pages) > 1 else ""
            pictures["scores" if number == 1 else f"scores_{number}"] = draw_scores(page, which, note)
        for old in [folder / f"{stem}_roc.png", *folder.glob(f"{stem}_scores*.png")]:
            unlink(old)
        for name, picture in pictures.items():
            if picture is not None:
                put(folder / f"{stem}_{name}.png", picture)
                for logger in trainer.loggers:
                    log_picture(logger, f"{stage}/{name}", Image.open(io.BytesIO(picture)), trainer.global_step)


def put(path: Path, content: bytes) -> None:
    """Write a file that is whole or not there."""
    replace_file(path, lambda file: file.write(content))


def archive(curves: list[Curve]) -> bytes:
    """The scores and labels of all videos as an .npz file."""
    buffer = io.BytesIO()
    scores = {f"scores/{curve.name}": curve.scores.astype(np.float32) for curve in curves}
    np.savez_compressed(buffer, **scores, **{f"labels/{curve.name}": curve.labels.astype(np.uint8) for curve in curves})
    return buffer.getvalue()


def selection(path: str | Path | None, datamodule: object) -> dict[str, Any] | None:
    """Say which checkpoint was evaluated, and how it was selected among those of its training.

    Args:
        path: The file; None where the weights do not come from a checkpoint.
        datamodule: Of the evaluation; asked in ``select_on_test`` whether validation looks at the test split where the
            file does not say it.

    Returns:
        ``path``; ``epoch`` and ``step`` it was written after; ``selected_by`` (``highest val/auc``, None for a file
        that was not selected by a number) with its ``value``; ``selected_on_test``, whether that number was measured
        on the test split. None for no file.
    """
    if path is None:
        return None
    stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True) if Path(path).is_file() else {}
    config = stored.get("config") or {}
    best = best_of(stored.get("callbacks") or {}, Path(path))
    options = config.get("datamodule") or getattr(datamodule, "hparams", {})
    found = {"path": str(path), "epoch": stored.get("epoch"), "step": stored.get("global_step")}
    if best is None:
        return found | {"selected_by": None, "value": None, "selected_on_test": False}
    mode = (config.get("monitor") or {}).get("mode")
    value = None if best["best_model_score"] is None else float(best["best_model_score"])
    chosen = " ".join(filter(None, (HIGHEST.get(mode, "best"), best["monitor"])))
    on_test = options.get("select_on_test") or getattr(datamodule, "select_on_test", False)
    return found | {"selected_by": chosen, "value": value, "selected_on_test": bool(on_test)}


def best_of(callbacks: Mapping[str, Any], path: Path) -> Mapping[str, Any] | None:
    """State of the ``ModelCheckpoint`` that calls a file the best one; None when none does."""
    for state in callbacks.values():
        if isinstance(state, Mapping) and Path(state.get("best_model_path") or ".").name == path.name:
            return state
    return None
