"""Whether the maps of a run are right: numbers of every answer, means by method as a table, and one plot."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from callbacks.anomaly_pictures import FAINT, GRID, entitle, plain, png
from callbacks.saliency_faithfulness import RANDOM
from core.atomic import replace_file

REPORT = "faithfulness"  # the files of it: .json, .csv, .png
NUMBERS = {
    "deletion_area": "deletion",
    "insertion_area": "insertion",
    "inside": "inside",
    "shuffled": "shuffled",
    "completeness_error": "completeness error",
}
COLOURS = ("#1f4e79", "#b3541e", "#1a7f37", "#7b3294", "#c0271b", "#0072b2", "#8a6d00", "#444444")
STYLES = ("-", "--", ":", "-.")
DPI = 110


def write_report(folder: Path, measured: Sequence[Mapping[str, Any]]) -> None:
    """Write ``faithfulness.json`` with all numbers, ``.csv`` with means by method, ``.png`` with all of it drawn.

    Args:
        folder: Where; must exist.
        measured: Of each answer and method: ``sample``, ``name``, ``target``, ``method``, and what
            `callbacks.saliency_faithfulness` says of it; at least one.
    """
    lines = table(measured)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    contents = {
        "json": f"{json.dumps(list(measured), indent=1)}\n".encode(),
        "csv": text.getvalue().encode(),
        "png": draw(measured),
    }
    for suffix, content in contents.items():
        replace_file(folder / f"{REPORT}.{suffix}", lambda file, content=content: file.write(content))


def by_method(measured: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """What was measured of each method, the one that knows nothing last."""
    methods = sorted(dict.fromkeys(each["method"] for each in measured), key=lambda name: name == RANDOM)
    return {name: [each for each in measured if each["method"] == name] for name in methods}


def values(rows: Sequence[Mapping[str, Any]], number: str) -> list[float]:
    """A number of all answers that have it; ``shuffled`` is the size of the correlation without any weights."""
    found = [_shuffled(row) if number == "shuffled" else row.get(number) for row in rows]
    return [value for value in found if value is not None and np.isfinite(value)]


def table(measured: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Mean and sample standard deviation over answers, by method; the first line is the head.

    ``deletion``: the lower the better; ``insertion``: the higher; ``inside``: the share of positive evidence within the
    regions, of ``random`` their share of the clip; ``shuffled``: near 0 for maps that depend on the weights.
    """
    lines = [["method", "samples", *(part for name in NUMBERS.values() for part in (name, f"{name} std"))]]
    for method, rows in by_method(measured).items():
        cells = []
        for number in NUMBERS:
            found = values(rows, number)
            cells.append(f"{fmean(found):.4g}" if found else "")
            cells.append(f"{stdev(found):.2g}" if len(found) > 1 else "")
        lines.append([method, str(len(rows)), *cells])
    return lines


def spoken(measured: Sequence[Mapping[str, Any]]) -> str:
    """The means of the table, with columns below each other."""
    rows = [[line[0], line[1], *line[2::2]] for line in table(measured)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def draw(measured: Sequence[Mapping[str, Any]]) -> bytes:
    """Draw mean curves of deletion and insertion, the share of evidence inside, and correlations, as a PNG file."""
    figure = Figure(figsize=(12.5, 4.4), dpi=DPI, layout="constrained")
    deletion, insertion, regions, shuffled = figure.subplots(1, 4)
    insertion.sharey(deletion)
    methods = by_method(measured)
    for place, (method, rows) in enumerate(methods.items()):
        look = {"color": COLOURS[place % len(COLOURS)], "linestyle": STYLES[place // len(COLOURS) % len(STYLES)]}
        look = {"color": FAINT, "linestyle": "--"} if method == RANDOM else look
        for axes, name in ((deletion, "deletion"), (insertion, "insertion")):
            mean = np.mean([row[name] for row in rows], axis=0)
            axes.plot(rows[0]["fractions"], mean, linewidth=1.8, label=method, **look)
        for row in rows:
            if row["inside"] is not None:
                regions.plot(place, row["inside"], "o", color=look["color"], alpha=0.5, markersize=4)
        if inside := values(rows, "inside"):
            regions.plot((place - 0.3, place + 0.3), (fmean(inside),) * 2, color=look["color"], linewidth=2)
        if method != RANDOM:
            lost = np.array([[np.nan if value is None else value for value in row["correlations"]] for row in rows])
            shares = np.arange(lost.shape[1] + 1) / lost.shape[1]
            shuffled.plot(shares, [1.0, *mean_of_known(lost)], linewidth=1.8, marker="o", markersize=3, **look)
    entitle(figure, f"Are the maps right? Means of {max(map(len, methods.values()))} answers")
    dress(deletion, "deletion: lower is better", "share of the clip deleted", "probability")
    dress(insertion, "insertion: higher is better", "share of the clip inserted", "")
    dress(regions, "positive evidence in the region", "", "share", (-0.02, 1.02))
    dress(shuffled, "weights lost, from the head down", "share of the layers", "rank correlation", (-1.05, 1.05))
    regions.set_xticks(range(len(methods)), methods, rotation=90, fontsize=8)
    regions.set_xlim(-0.6, len(methods) - 0.4)
    if not any(values(rows, "inside") for rows in methods.values()):
        regions.text(0.5, 0.5, "no region is known", ha="center", color=FAINT, transform=regions.transAxes)
    shuffled.axhline(0, color=FAINT, linewidth=1)
    figure.legend(*deletion.get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False, fontsize=8)
    return png(figure)


def dress(axes: Axes, title: str, across: str, up: str, limits: tuple[float, float] | None = None) -> None:
    """Write at the axes what they are."""
    axes.set_title(title, loc="left", fontsize=9)
    axes.set_xlabel(across, fontsize=9)
    axes.set_ylabel(up, fontsize=9)
    if limits is not None:
        axes.set_ylim(*limits)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.tick_params(labelsize=8)
    plain(axes)


def mean_of_known(rows: np.ndarray) -> list[float]:
    """Means over rows, of what is known in each column; nan where nothing is."""
    return [float(column[~np.isnan(column)].mean()) if (~np.isnan(column)).any() else np.nan for column in rows.T]


def _shuffled(row: Mapping[str, Any]) -> float | None:
    found = (row.get("correlations") or [None])[-1]
    return None if found is None else abs(found)
