"""Draws when a detector sees an anomaly: scores of frames, and what each row adds to the logit of the video."""

import numpy as np
from matplotlib.figure import Figure

from callbacks.anomaly_pictures import ANOMALY, DPI, FAINT, GRID, INK, SCORE, entitle, plain, png, spans

FOR, AGAINST = "#b40426", "#3b4cc0"  # the ends of coolwarm, in which all signed maps are drawn
SIZE = 8.5, 4.0  # in inches


def draw_rows(
    title: str,
    spans_of_rows: np.ndarray,
    evidence: np.ndarray,
    chosen: np.ndarray,
    logit: float,
    scores: np.ndarray,
    labels: np.ndarray,
) -> bytes:
    """Draw a video over time, labelled anomalies shaded.

    Args:
        title: Above everything.
        spans_of_rows: (R, 2), first and last frame of each row; may overlap.
        evidence: (R,), whose mean is the logit.
        chosen: (R,) bool, rows that stand for the video.
        logit: Of the video.
        scores: (N,), of its frames.
        labels: (N,), 1 anomalous, 0 normal.

    Returns:
        A PNG file.
    """
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for axes in (above, below):
        for first, stop in spans(labels):
            axes.axvspan(first - 0.5, stop - 0.5, color=ANOMALY, linewidth=0)
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        axes.tick_params(labelsize=8)
        plain(axes)
    above.plot(np.arange(len(scores)), scores, color=SCORE, linewidth=1.4)
    above.set_ylim(-0.04, max(1.0, *scores) + 0.04)
    above.set_ylabel("anomaly score", fontsize=9, color=INK)
    added = evidence / len(evidence)
    first, last = spans_of_rows.T
    colours = np.where(added >= 0, FOR, AGAINST)
    below.bar(first - 0.5, added, last - first + 1, align="edge", color=colours, edgecolor="white", linewidth=0.4)
    below.plot((first + last)[chosen] / 2, np.zeros(chosen.sum()), "|", color=INK, markersize=7)
    below.axhline(0, color=FAINT, linewidth=0.8)
    below.set_ylabel("added to the logit", fontsize=9, color=INK)
    below.set_xlabel("frame", fontsize=9, color=INK)
    below.set_xlim(-0.5, max(len(scores), last.max() + 1) - 0.5)
    facts = f"logit of the video {logit:+.2f}: the mean of {chosen.sum()} of {len(chosen)} rows, which are marked"
    entitle(figure, f"{title} (shaded: labelled anomaly)", f"{facts}; red speaks for an anomaly, blue against")
    return png(figure)
