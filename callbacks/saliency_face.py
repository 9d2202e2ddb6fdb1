"""Draws why a face is said to speak: its score, where on the face over time, and what is heard."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from callbacks.anomaly_pictures import DPI, FAINT, GRID, INK, SCORE, entitle, plain, png, spans
from callbacks.saliency_pathways import OPACITY, SIGNED
from callbacks.speaker_charts import SPEAKING, slots_of

SLOTS = 12
WAVE = "#757575"
WIDTH, SCORES, SOUND = 9.0, 1.5, 1.1  # in inches
WITHOUT = {"audio": ("#e69f00", "without the sound"), "faces": ("#009e73", "without the face")}


def draw_face(
    title: str,
    seconds: np.ndarray,
    faces: np.ndarray,
    maps: np.ndarray,
    valid: np.ndarray,
    scores: np.ndarray,
    blanked: Mapping[str, np.ndarray],
    speaks: np.ndarray,
    cepstra: np.ndarray,
    heard: np.ndarray,
    explained: str,
    numbers: Mapping[str, float],
) -> bytes:
    """Draw a face over time: crops, maps over them, scores with and without each stream, sound and its evidence.

    Args:
        title: Above everything.
        seconds: (T,) ascending.
        faces: (T, S, S) uint8.
        maps: (T, h, w), signed.
        valid: (T,) bool, whether there is a face.
        scores: (T,), above 0 it speaks.
        blanked: Scores (T,) without a stream, ``faces`` or ``audio``.
        speaks: (T,) bool, as labelled.
        cepstra: (4 T, 13), the first of which is log energy, shown as the outline of the waveform.
        heard: (4 T, 13), signed, what they add.
        explained: What speaks for: red.
        numbers: By title, written below the title.

    Returns:
        A PNG file.
    """
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0
    span = float(seconds[0] - step / 2), float(seconds[-1] + step / 2)
    slots = min(SLOTS, len(seconds))
    strip = WIDTH / slots
    heights = [strip, strip, SCORES, SOUND, SOUND]
    figure = Figure(figsize=(WIDTH + 1.4, sum(heights) + 1.3), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(h_pad=0.03, hspace=0)
    panels = figure.subplots(len(heights), 1, height_ratios=heights, sharex=True)
    shown = np.flatnonzero(valid)
    most = float(np.abs(maps).max()) or 1.0
    for slot, place in slots_of(seconds[shown], span, slots).items():
        left = span[0] + slot * (span[1] - span[0]) / slots
        reach = (left, left + (span[1] - span[0]) / slots, 0, 1)
        for axes in panels[:2]:
            axes.imshow(faces[shown[place]], cmap="gray", vmin=0, vmax=255, extent=reach, aspect="auto")
        look = {"cmap": SIGNED, "vmin": -most, "vmax": most, "alpha": OPACITY, "interpolation": "bilinear"}
        drawn = panels[1].imshow(maps[shown[place]], extent=reach, aspect="auto", **look)
    for axes in panels[:2]:
        axes.set_axis_off()
    panels[0].set_ylim(0, 1)
    panels[1].set_ylim(0, 1)
    figure.colorbar(drawn, ax=panels[1], pad=0.01).ax.tick_params(labelsize=7)
    draw_curves(panels[2], seconds, scores, blanked, np.asarray(speaks) & np.asarray(valid), valid, step)
    rows = (*span, -0.5, cepstra.shape[1] - 0.5)
    times = np.linspace(*span, 2 * len(cepstra) + 1)[1::2]
    level = envelope(cepstra)
    panels[3].fill_between(times, -level, level, color=WAVE, linewidth=0)
    panels[3].set_yticks([])
    plain(panels[3])
    most = float(np.abs(heard).max()) or 1.0
    look = {"cmap": SIGNED, "vmin": -most, "vmax": most}
    drawn = panels[4].imshow(heard.T, extent=rows, aspect="auto", origin="lower", **look)
    figure.colorbar(drawn, ax=panels[4], pad=0.01).ax.tick_params(labelsize=7)
    for axes, label in ((panels[3], "waveform"), (panels[4], "cepstra:\ngradient\nx input")):
        axes.set_ylabel(label, fontsize=8, color=INK)
        axes.tick_params(labelsize=7)
    panels[4].set_xlabel("second", fontsize=9, color=INK)
    panels[4].set_xlim(span)
    facts = "; ".join(f"{name}: {number:.0%}" for name, number in numbers.items() if np.isfinite(number))
    entitle(figure, f"{title} (red speaks for {explained}, blue against; shaded: labelled speech)", facts)
    return png(figure)


def draw_curves(
    axes: Axes,
    seconds: np.ndarray,
    scores: np.ndarray,
    blanked: Mapping[str, np.ndarray],
    speaks: np.ndarray,
    valid: np.ndarray,
    step: float,
) -> None:
    """Draw scores where there is a face, whole and without each of the streams."""
    for begin, stop in spans(speaks):
        axes.axvspan(seconds[begin] - step / 2, seconds[stop - 1] + step / 2, color=SPEAKING, linewidth=0)
    for name, without in blanked.items():
        colour, label = WITHOUT[name]
        axes.plot(seconds, np.where(valid, without, np.nan), color=colour, linewidth=1.1, linestyle="--", label=label)
    axes.plot(seconds, np.where(valid, scores, np.nan), color=SCORE, linewidth=1.7, label="score of speaking")
    axes.axhline(0, color=FAINT, linewidth=0.8)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.legend(loc="upper left", ncols=3, frameon=False, fontsize=7, bbox_to_anchor=(0, 1.16), borderaxespad=0)
    axes.tick_params(labelsize=7)
    axes.set_ylabel("score", fontsize=8, color=INK)
    plain(axes)


def envelope(cepstra: np.ndarray) -> np.ndarray:
    """Height (N,) of the waveform under each of the rows (N, C), in [0, 1]: their first number is log energy."""
    return np.exp((cepstra[:, 0] - cepstra[:, 0].max()) / 2)
