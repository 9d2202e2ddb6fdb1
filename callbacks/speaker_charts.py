"""Draws what a detector of active speakers gives: precision and recall, and the score of faces over time."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from callbacks.anomaly_pictures import DPI, FAINT, GRID, INK, SCORE, entitle, plain, png, spans

SPEAKING = "#bfe3c8"
COLUMNS = 2
WIDTH, HEIGHT = 6.2, 1.5  # of the scores of a track, in inches
LONGEST_STEP = 1.5  # frames between two that follow each other


class Track(NamedTuple):
    """A face over time.

    Attributes:
        name: What it is called.
        seconds: (N,) ascending, frames that were measured.
        scores: (N,).
        speaks: (N,) bool, as labelled.
        fps: Frames per second.
        span: Second in which it comes, and in which it is gone.
        faces: By number of a slot, of which the span has equally many in all tracks, a crop (S, S) uint8.
    """

    name: str
    seconds: np.ndarray
    scores: np.ndarray
    speaks: np.ndarray
    fps: float
    span: tuple[float, float]
    faces: Mapping[int, np.ndarray]


def draw_precision_recall(recall: np.ndarray, precision: np.ndarray, ap: float, share: float, note: str = "") -> bytes:
    """Draw precision against recall, and the area of which AP is.

    Args:
        recall: (K,), the highest score first.
        precision: (K,).
        ap: The area under the curve after precision was made monotonous from the right.
        share: Of the faces that speak: the precision of chance.
        note: A sentence below the title.

    Returns:
        A PNG file.
    """
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    figure = Figure(figsize=(5.6, 5.9), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.fill_between(np.append(0, recall), np.append(highest[:1], highest), step="pre", color=SCORE, alpha=0.12, lw=0)
    axes.plot(recall, precision, color=SCORE, linewidth=2, label=f"AP {ap:.4f} (the area)")
    axes.axhline(share, color=FAINT, linewidth=1, linestyle="--", label=f"chance {share:.3f}")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal")
    axes.set_xlabel("recall (speaking faces found)")
    axes.set_ylabel("precision (found faces that speak)")
    axes.grid(color=GRID, linewidth=0.8)
    axes.legend(loc="lower left", frameon=False)
    entitle(figure, "Precision and recall of speaking faces", note)
    plain(axes)
    return png(figure)


def draw_tracks(tracks: Sequence[Track], slots: int, threshold: float, note: str = "") -> bytes:
    """Draw the score of some faces over time below pictures of them, labelled speech shaded.

    Args:
        tracks: One at least.
        slots: For pictures of each.
        threshold: Score above which a face is said to speak.
        note: A sentence below the title.

    Returns:
        A PNG file.
    """
    columns = min(COLUMNS, len(tracks))
    rows = -(-len(tracks) // columns)
    strip = WIDTH / slots  # height of a square face
    figure = Figure(figsize=(columns * WIDTH, rows * (HEIGHT + strip) + 1.0), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(h_pad=0.02, w_pad=0.08, hspace=0, wspace=0.03)
    grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[strip, HEIGHT] * rows)
    scores = np.concatenate([track.scores for track in tracks])
    lowest, highest = min(scores.min(), threshold), max(scores.max(), threshold)
    margin = 0.06 * (highest - lowest) or 1.0
    for place in range(rows * columns):
        row, column = divmod(place, columns)
        above, below = grid[2 * row, column], grid[2 * row + 1, column]
        above.set_axis_off()
        if place >= len(tracks):
            below.set_axis_off()
            continue
        draw_faces(above, tracks[place], slots)
        draw_scores(below, tracks[place], threshold)
        below.set_ylim(lowest - margin, highest + margin)
    figure.supxlabel("second", fontsize=10, color=INK)
    figure.supylabel("score of speaking", fontsize=10, color=INK)
    entitle(figure, "Score over time; shaded: labelled speech; dashed: threshold", note)
    return png(figure)


def draw_faces(axes: Axes, track: Track, slots: int) -> None:
    """Draw crops of a face above the time that they are from."""
    first, last = track.span
    width = (last - first) / slots
    for slot, face in track.faces.items():
        left = first + slot * width
        axes.imshow(face, cmap="gray", vmin=0, vmax=255, extent=(left, left + width, 0, 1), aspect="auto")
    axes.set(xlim=track.span, ylim=(0, 1))
    axes.set_title(track.name, loc="left", fontsize=9, color=INK, pad=3)


def draw_scores(axes: Axes, track: Track, threshold: float) -> None:
    """Draw the score of a face, with gaps where it was not measured."""
    step = 1 / track.fps
    parts = np.split(np.arange(len(track.seconds)), 1 + np.flatnonzero(np.diff(track.seconds) > LONGEST_STEP * step))
    for part in parts:
        for begin, end in spans(track.speaks[part]):
            seconds = track.seconds[part]
            axes.axvspan(seconds[begin] - step / 2, seconds[end - 1] + step / 2, color=SPEAKING, linewidth=0)
        alone = "." if len(part) == 1 else ""  # which is no line
        axes.plot(track.seconds[part], track.scores[part], color=SCORE, linewidth=1.4, marker=alone, markersize=3)
    axes.axhline(threshold, color=FAINT, linewidth=0.8, linestyle="--")
    axes.set_xlim(track.span)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.locator_params(axis="x", nbins=8)
    axes.locator_params(axis="y", nbins=4)
    axes.tick_params(labelsize=8)
    plain(axes)


def slots_of(seconds: np.ndarray, span: tuple[float, float], slots: int) -> dict[int, int]:
    """The frame closest to the middle of each slot, by number of the slot; slots without a frame are left out.

    Args:
        seconds: (N,) ascending, of the frames.
        span: Second in which the first slot begins, and in which the last one ends.
        slots: How many.
    """
    first, last = span
    width = (last - first) / slots
    slot = np.minimum(((seconds - first) / width).astype(int), slots - 1)
    apart = np.abs(seconds - first - (slot + 0.5) * width)
    return {each: int(np.flatnonzero(slot == each)[apart[slot == each].argmin()]) for each in np.unique(slot).tolist()}
