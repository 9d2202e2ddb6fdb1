"""Frame-level numbers equal those of scikit-learn and of the published evaluation of AR-Net."""

import pytest
import torch
from torch import Tensor

from metrics.alignment import frame_scores, row_spans, truncate
from metrics.frame_anomaly import FrameAnomaly
from tests.reference.shanghaitech.numbers import documents, labels_of

TOLERANCE = 1e-9  # README of the numbers
# Our names of what the files hold; frames and positives are counts of the labels.
NAMES = {
    "roc_auc": "auc",
    "average_precision": "ap",
    "pr_auc_trapezoid": "pr_auc_trapezoid",
    "macro_auc": "auc_macro",
    "false_alarm_rate_at_half": "false_alarm",
    "AUC_score_all_video": "auc",
    "AUC_score_abnormal_video": "auc_anomalous",
    "ano_false_alarm_all_video": "false_alarm",
    "ano_false_alarm_normal_video": "false_alarm_normal",
    "ano_false_alarm_abnormal_video": "false_alarm_anomalous",
}


def all_frames(scores: Tensor, labels: Tensor, clip_len: int) -> tuple[Tensor, Tensor]:
    return frame_scores(scores, len(labels), row_spans(len(scores), len(labels), clip_len, clip_len)), labels


MODES = {"all_frames": all_frames, "truncated": truncate}


def clip_len() -> int:
    """Frames of a row, which the scores do not say themselves."""
    [found] = {content["snippet"] for _, content in documents("snippet", "cases")}
    return found


@pytest.mark.parametrize("mode", MODES)
def test_numbers_of_an_evaluation_equal_the_stored_ones(mode: str) -> None:
    for path, content in documents("scores", "expected"):
        expected, order = content["expected"], content["expected"]["order"]
        assert set(expected) - {"order"} == set(MODES), f"{path}: not compared"
        metric, labels = FrameAnomaly(), labels_of(order)
        metric.expect(len(order))
        for index, video in enumerate(order):
            rows = torch.tensor(content["scores"][video], dtype=torch.float64)
            scores, known = MODES[mode](rows, torch.from_numpy(labels[video]), clip_len())
            metric.update(torch.tensor([index]), torch.tensor([len(known)]), scores, known, torch.zeros(1))
        found = metric.compute()
        numbers = {**expected[mode], **expected[mode].get("upstream_eval", {})}
        numbers.pop("upstream_eval", None)
        known = torch.cat([known for _, known in metric.curves.values()])
        assert len(known) == numbers.pop("frames") and known.sum() == numbers.pop("positives"), path
        assert numbers.keys() <= NAMES.keys(), f"{path}: not compared"
        for name, value in numbers.items():
            assert found[NAMES[name]].item() == pytest.approx(value, abs=TOLERANCE), (path, mode, name)
