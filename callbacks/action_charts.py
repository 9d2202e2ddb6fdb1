"""Draws how well each action is found, and which are taken for which."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from callbacks.anomaly_pictures import DPI, FAINT, GRID, INK, entitle, plain, png

# Colours that also colour-blind people tell apart (Okabe and Ito, 2008), by group of actions in order of appearance.
GROUP_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")
BAR = 0.22  # height of a bar with its gap, in inches
CELL = 0.5  # side of a cell of a confusion, in inches
DARK = 0.55  # share of a row from which its number is written in white
NOT_FOUND = "no box"


def draw_precisions(
    classes: Sequence[tuple[int, str, str]], precisions: np.ndarray, true_boxes: np.ndarray, note: str = ""
) -> bytes | None:
    """Draw the average precision of each class as a bar, group by group, the best first.

    Args:
        classes: Id, name and group of each.
        precisions: (C,), NaN for a class without a true box, which has no bar.
        true_boxes: (C,), how many each class has.
        note: A sentence below the title.

    Returns:
        A PNG file; None where no class has a true box.
    """
    groups = list(dict.fromkeys(group for _, _, group in classes))
    shown = [number for number in range(len(classes)) if not np.isnan(precisions[number])]
    if not shown:
        return None
    shown.sort(key=lambda number: (groups.index(classes[number][2]), -precisions[number]))
    figure = Figure(figsize=(7.5, BAR * len(shown) + 1.9), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    for group, colour in zip(groups, np.resize(GROUP_COLOURS, len(groups)), strict=True):
        rows = [row for row, number in enumerate(shown) if classes[number][2] == group]
        if rows:
            values = precisions[[shown[row] for row in rows]]
            label = f"{group or 'others'}: mean {values.mean():.3f} of {len(rows)}"
            axes.barh(rows, values, height=0.72, color=colour, label=label)
    for row, number in enumerate(shown):
        axes.text(precisions[number] + 0.008, row, f"{precisions[number]:.3f}", va="center", fontsize=8, color=INK)
    axes.set_yticks(range(len(shown)), [f"{classes[each][1]} ({true_boxes[each]:,})" for each in shown], fontsize=8)
    axes.set(xlim=(0, 1.08), ylim=(len(shown) - 0.4, -0.6), xlabel="average precision")
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    if len(groups) > 1:
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    left_out = len(classes) - len(shown)
    facts = f"mAP {precisions[shown].mean():.4f}; in brackets: true boxes"
    facts += f"; {left_out} classes without any are left out" if left_out else ""
    entitle(figure, "Average precision of each action", facts, note)
    plain(axes)
    return png(figure)


def draw_confusion(names: Sequence[str], counts: np.ndarray, note: str = "") -> bytes | None:
    """Draw which class is found on the true boxes of each.

    Args:
        names: K classes.
        counts: int (K, K + 1), by true and by found class, the last column for boxes that were not found at all.
        note: A sentence below the title.

    Returns:
        A PNG file with classes that occur; None where there are no counts.
    """
    rows = np.flatnonzero(counts.sum(1))
    if not len(rows):
        return None
    columns = np.flatnonzero(counts.sum(0) + np.append(counts.sum(1), 1))  # and the last one always
    some = counts[np.ix_(rows, columns)]
    shares = some / some.sum(1, keepdims=True)
    figure = Figure(figsize=(CELL * len(columns) + 3.2, CELL * len(rows) + 2.6), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(some):
        if count:
            colour = "white" if shares[row, column] > DARK else INK
            axes.text(column, row, f"{count}", ha="center", va="center", fontsize=8, color=colour)
    found = [*names, NOT_FOUND]
    axes.set_xticks(range(len(columns)), [found[each] for each in columns], rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(rows)), [names[each] for each in rows], fontsize=8)
    axes.set_xlabel("found: highest score on the closest box", fontsize=9)
    axes.set_ylabel("true", fontsize=9)
    axes.axvline(len(columns) - 1.5, color=FAINT, linewidth=1)
    axes.tick_params(length=0)
    right = int(np.trace(counts[:, : len(names)]))
    facts = f"{right} of {counts.sum()} true boxes with one label of this kind are right; colour: share of a row"
    entitle(figure, "What is taken for what", facts, note)
    return png(figure)
