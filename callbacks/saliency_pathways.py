"""Draws where both pathways of a detector see what a person does, inside and outside the box."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from callbacks.anomaly_pictures import DPI, INK, entitle, png

SIGNED = "coolwarm"  # blue: against, grey: nothing, red: for
HEIGHT = 2.6  # of a frame, in inches
OPACITY = 0.6
BOX = "#111111"


def draw_pathways(
    title: str,
    frame: np.ndarray,
    box: np.ndarray,
    maps: Mapping[str, np.ndarray],
    extent: tuple[float, float],
    inside: Mapping[str, float],
    shares: Mapping[str, float],
    method: str,
    error: float | None,
) -> bytes:
    """Draw the maps of all pathways over a frame, with a box.

    Args:
        title: Above everything.
        frame: (H, W, 3) uint8.
        box: (4,) xyxy in [0, 1] of the frame.
        maps: Of each pathway (h, w), signed, means over its frames.
        extent: Width and height of the maps over those of the frame.
        inside: Share of what speaks for it that is in the box, of each pathway; nan where nothing does.
        shares: Of all evidence, of each pathway.
        method: How they were found.
        error: By how much an exact method misses the logit; None for one that does not add up.

    Returns:
        A PNG file.
    """
    height, width = frame.shape[:2]
    columns = 1 + len(maps)
    side = HEIGHT * width / height
    figure = Figure(figsize=(columns * side + 1.2, HEIGHT + 1.1), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, columns, squeeze=False)[0]
    most = max(float(np.abs(each).max()) for each in maps.values()) or 1.0
    panels[0].set_title("key frame", loc="left", fontsize=9, color=INK)
    for axes in panels:
        axes.imshow(frame if axes is panels[0] else faint(frame))
        axes.set_axis_off()
    for axes, (path, found) in zip(panels[1:], maps.items(), strict=True):
        reach = (-0.5, width * extent[0] - 0.5, height * extent[1] - 0.5, -0.5)
        look = {"cmap": SIGNED, "vmin": -most, "vmax": most, "interpolation": "bilinear", "alpha": OPACITY}
        drawn = axes.imshow(found, extent=reach, **look)
        where = "nothing speaks for it" if np.isnan(inside[path]) else f"{inside[path]:.0%} inside the box"
        axes.set_title(f"{path}, {shares[path]:.0%} of all evidence: {where}", loc="left", fontsize=9, color=INK)
    for axes in panels:
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        x1, y1, x2, y2 = np.clip(box, 0, 1) * np.tile((width - 1, height - 1), 2)
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor="white", linewidth=2.4))
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=BOX, linewidth=1.2))
    bar = figure.colorbar(drawn, ax=panels, shrink=0.9, pad=0.01)
    bar.set_label("against                for", fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=7)
    adds_up = "approximate" if error is None else f"adds up to the logit within {error:.0e}"
    entitle(figure, title, f"{method}, {adds_up}; both pathways on one scale, means over their frames")
    return png(figure)


def faint(frame: np.ndarray) -> np.ndarray:
    """A frame (H, W, 3) uint8 in grey, so that colours are those of what lies above."""
    return np.repeat(frame.mean(2, keepdims=True), 3, 2).astype(np.uint8)
