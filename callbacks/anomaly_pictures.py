"""Draws what an anomaly detector gives: the ROC curve of all frames, and the scores of each video over time."""

import io
from collections.abc import Sequence
from textwrap import fill
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, FAINT, GRID, SCORE, ANOMALY = "#222222", "#757575", "#e6e6e6", "#1f4e79", "#f6c4bd"
PANEL = 3.1, 1.55  # width and height of a video in inches
CHARACTERS_PER_INCH = 12
COLUMNS = 4
DPI = 110


class Curve(NamedTuple):
    """Frames of a video.

    Attributes:
        name: The video.
        scores: (N,), higher is more anomalous.
        labels: (N,), 1 anomalous, 0 normal.
    """

    name: str
    scores: np.ndarray
    labels: np.ndarray

    @property
    def anomalous(self) -> bool:
        """Whether any frame is."""
        return bool(self.labels.any())


def roc(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of the ROC curve: false and true positive rate for every threshold, from none to all; ties are one point.

    Args:
        scores: (N,).
        labels: (N,), zeros and ones, both kinds.
    """
    order = np.argsort(-scores, kind="stable")
    scores, labels = scores[order], labels[order] == 1
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # of each group of ties
    hits, alarms = np.cumsum(labels)[last], np.cumsum(~labels)[last]
    return np.append(0, alarms) / alarms[-1], np.append(0, hits) / hits[-1]


def area(false_positive: np.ndarray, true_positive: np.ndarray) -> float:
    """Area under a curve of straight lines."""
    return float(np.sum(np.diff(false_positive) * (true_positive[1:] + true_positive[:-1]) / 2))


def spans(labels: np.ndarray) -> list[tuple[int, int]]:
    """First frame and the one behind the last of every run of ones."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], labels == 1, [0])).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def draw_roc(curves: Sequence[Curve], note: str = "") -> bytes | None:
    """Draw the ROC curve of all frames of all videos as one list.

    Args:
        curves: The videos.
        note: A sentence below the title.

    Returns:
        A PNG file; None where all frames are of one kind, which have no such curve.
    """
    scores, labels = (np.concatenate([curve[part] for curve in curves]) for part in (1, 2))
    if len(np.unique(labels)) < 2:
        return None
    points = roc(scores, labels)
    figure = Figure(figsize=(5.6, 5.9), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(*points, color=SCORE, linewidth=2, label=f"AUC {area(*points):.4f}")
    axes.plot((0, 1), (0, 1), color=FAINT, linewidth=1, linestyle="--", label="chance 0.5")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set_xlabel("false positive rate (normal frames called anomalous)")
    axes.set_ylabel("true positive rate (anomalous frames found)")
    axes.grid(color=GRID, linewidth=0.8)
    axes.legend(loc="lower right", frameon=False)
    anomalous = sum(curve.anomalous for curve in curves)
    facts = f"{len(curves)} videos, {anomalous} with an anomaly; {len(labels):,} frames, {labels.mean():.1%} anomalous"
    entitle(figure, "Frame-level ROC", facts, note)
    plain(axes)
    return png(figure)


def draw_scores(curves: Sequence[Curve], page: str = "", note: str = "") -> bytes:
    """Draw the score of every frame of some videos over time, a panel for each, labelled anomalies shaded.

    Args:
        curves: The videos of a page.
        page: End of the title: which page this is of how many.
        note: A sentence below the title.

    Returns:
        A PNG file.
    """
    columns = min(COLUMNS, len(curves))
    rows = -(-len(curves) // columns)
    width, height = PANEL
    figure = Figure(figsize=(max(columns * width, 2 * width), rows * height + 1.1), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
    panels = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    lowest = min(0.0, *(curve.scores.min() for curve in curves))
    highest = max(1.0, *(curve.scores.max() for curve in curves))
    for axes, curve in zip(panels, curves, strict=False):
        draw_video(axes, curve)
        margin = 0.04 * (highest - lowest)
        axes.set_ylim(lowest - margin, highest + margin)
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    figure.supxlabel("frame", fontsize=10, color=INK)
    figure.supylabel("anomaly score", fontsize=10, color=INK)
    entitle(figure, f"Anomaly score over time; shaded: labelled anomaly{page}", note)
    return png(figure)


def draw_video(axes: Axes, curve: Curve) -> None:
    """Draw the scores of one video."""
    for first, stop in spans(curve.labels):
        axes.axvspan(first - 0.5, stop - 0.5, color=ANOMALY, linewidth=0)
    axes.plot(np.arange(len(curve.scores)), curve.scores, color=SCORE, linewidth=1.3)
    axes.set_xlim(-0.5, len(curve.scores) - 0.5)
    kind = "anomalous" if curve.anomalous else "normal"
    if len(np.unique(curve.labels)) == 2:
        kind = f"AUC {area(*roc(curve.scores, curve.labels)):.2f}"
    axes.set_title(curve.name, loc="left", fontsize=9, color=INK, pad=3)
    axes.set_title(kind, loc="right", fontsize=8, color=FAINT, pad=3)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.locator_params(axis="x", nbins=5, integer=True)
    axes.locator_params(axis="y", nbins=3)
    axes.tick_params(labelsize=8)
    plain(axes)


def entitle(figure: Figure, *lines: str) -> None:
    """Write lines above everything, to the left."""
    characters = int(CHARACTERS_PER_INCH * figure.get_figwidth())
    text = "\n".join(fill(line, characters) for line in lines if line)
    figure.suptitle(text, x=0.01, ha="left", fontsize=10, color=INK)


def plain(axes: Axes) -> None:
    """Leave out the frame to the right and above; keep lines behind curves."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


def png(figure: Figure) -> bytes:
    """A figure as a file that depends on nothing but what it shows."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
