"""What an evaluation of an anomaly detector leaves behind: numbers, where they come from, scores and pictures."""

import io
from typing import Annotated

import numpy as np
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import CombinedLoader

from callbacks.anomaly_pictures import Curve, draw_roc, draw_scores
from callbacks.evaluation_report import Evaluation, EvaluationReport
from core.atomic import unlink, write_file


class AnomalyReport(EvaluationReport):
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

    name, asks = "anomaly_report", ("frame_anomaly",)

    def __init__(self, folder: str, videos_per_page: Annotated[int, "videos_per_page >= 1"] = 24) -> None:
        if videos_per_page < 1:
            raise ValueError(f"callbacks.anomaly_report.videos_per_page: expected at least 1, found {videos_per_page}")
        super().__init__(folder)
        self.videos_per_page = videos_per_page

    def report(self, trainer: Trainer, pl_module: LightningModule, evaluation: Evaluation) -> None:
        [loader] = CombinedLoader(getattr(trainer, f"{evaluation.stage}_dataloaders")).flattened
        names = getattr(loader.dataset, "names", None) or list(map(str, range(len(loader.dataset))))
        metric = pl_module.frame_anomaly[evaluation.stage]
        curves = [Curve(names[index], *(part.cpu().numpy() for part in pair)) for index, pair in metric.curves.items()]
        if not curves:
            return
        curves.sort(key=lambda curve: (not curve.anomalous, curve.name))
        facts = {
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
        self.write_results(trainer, evaluation, metric, facts)
        write_file(self.folder / f"scores{evaluation.suffix}.npz", archive(curves))
        for old in (self.folder / "pictures").glob(f"{evaluation.stem}_scores*.png"):
            unlink(old)
        self.show(trainer, evaluation, self._drawn(curves, getattr(trainer.datamodule, "protocol", None) or ""))

    def _drawn(self, curves: list[Curve], note: str) -> dict[str, bytes | None]:
        """The curve of all frames, and the scores of all videos on as many pages as it takes."""
        pages = [curves[start : start + self.videos_per_page] for start in range(0, len(curves), self.videos_per_page)]
        pictures = {"roc": draw_roc(curves, note)}
        for number, page in enumerate(pages, start=1):
            which = f" (page {number} of {len(pages)})" if len(pages) > 1 else ""
            pictures["scores" if number == 1 else f"scores_{number}"] = draw_scores(page, which, note)
        return pictures


def archive(curves: list[Curve]) -> bytes:
    """The scores and labels of all videos as an .npz file."""
    buffer = io.BytesIO()
    scores = {f"scores/{curve.name}": curve.scores.astype(np.float32) for curve in curves}
    np.savez_compressed(buffer, **scores, **{f"labels/{curve.name}": curve.labels.astype(np.uint8) for curve in curves})
    return buffer.getvalue()
