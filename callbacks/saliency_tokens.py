"""Draws what a masked autoencoder makes of a clip: tokens that a sampler shows, attention, and features in colour."""

from collections.abc import Mapping
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure

from callbacks.anomaly_pictures import DPI, INK, entitle, png
from callbacks.saliency_pathways import OPACITY, SIGNED, faint

WIDEST = 8  # frames in a row
LABEL = 14  # characters in a line
CELL = 1.25  # width of a frame, in inches
HIDDEN = 0.2  # brightness of what is hidden
BAR = 0.12  # width of a colour bar, of a frame


def draw_tokens(
    title: str,
    frames: np.ndarray,
    numbers: np.ndarray,
    shown: np.ndarray,
    maps: Mapping[str, np.ndarray],
    features: np.ndarray,
) -> bytes:
    """Draw a clip in rows: frames, the tokens that are shown, maps of tokens, their features in colour.

    Args:
        title: Above everything.
        frames: (T, H, W, 3) uint8.
        numbers: (T,), of the frames.
        shown: (T', h, w) bool, tokens that the encoder sees.
        maps: By title (T', h, w), how much more than an equal share a token has, in powers of two.
        features: (T', h, w, 3) in [0, 1].

    Returns:
        A PNG file.
    """
    steps = len(shown)
    columns = np.unique(np.linspace(0, steps - 1, min(steps, WIDEST)).round().astype(int))
    first = columns * (len(frames) // steps)  # the first frame of each token
    height = CELL * frames.shape[1] / frames.shape[2]
    titles = ["clip", "shown to the encoder", *maps, "features"]
    size = len(columns) * CELL + 3.2, len(titles) * height + 0.9
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(h_pad=0.01, w_pad=0.01, hspace=0.03, wspace=0.02)
    ratios = [1.0] * len(columns) + [BAR]
    grid = figure.subplots(len(titles), len(columns) + 1, squeeze=False, width_ratios=ratios)
    for row, name in enumerate(titles):
        grid[row, 0].set_ylabel(fill(name, LABEL), fontsize=8, color=INK, rotation=0, ha="right", va="center")
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for column, (step, time) in enumerate(zip(columns, first, strict=True)):
        frame = frames[time]
        grid[0, column].imshow(frame)
        grid[0, column].set_title(f"frame {numbers[time]}", fontsize=8, color=INK, pad=2)
        visible = enlarged(shown[step], frame)[..., None]
        grid[1, column].imshow((frame * np.where(visible, 1.0, HIDDEN)).astype(np.uint8))
        grid[-1, column].imshow(features[step], interpolation="nearest")
    for row, found in enumerate(maps.values(), start=2):
        most = float(np.abs(found).max()) or 1.0
        look = {"cmap": SIGNED, "vmin": -most, "vmax": most, "alpha": OPACITY, "interpolation": "nearest"}
        for column, (step, time) in enumerate(zip(columns, first, strict=True)):
            axes, reach = grid[row, column], (-0.5, frames.shape[2] - 0.5, frames.shape[1] - 0.5, -0.5)
            axes.imshow(faint(frames[time]))
            drawn = axes.imshow(found[step], extent=reach, **look)
        bar = figure.colorbar(drawn, cax=grid[row, -1])
        bar.set_label("powers of two", fontsize=7, color=INK)
        bar.ax.tick_params(labelsize=7)
    share = f"{shown.mean():.0%} of the tokens are shown to the encoder in pretraining; attention and features see all"
    entitle(figure, title, f"{share}; maps: above or below an equal share; colours of features: principal components")
    return png(figure)


def enlarged(cells: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Cells (h, w) in the size of a frame (H, W, ...), each as a block."""
    rows, columns = (np.arange(side) * count // side for side, count in zip(frame.shape, cells.shape, strict=False))
    return cells[np.ix_(rows, columns)]
