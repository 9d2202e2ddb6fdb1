"""How fast frame mAP is: ``python -m benchmarks.ava_metric`` (its loops are among the tests), ten seconds.

The same detections are measured by `metrics.ava_precision` and box by box in Python
(`tests.metrics.frame_map_by_loops`), in turns. The table gives medians of the processor time; both must agree to 1e-9.
Scores are all distinct, or rounded to three decimals as in logs of ACAR and FBIL, where ties send frames through the
heap. In frames of 4 boxes and 12 classes every row counts; of those of 3 boxes and 60 classes the official evaluator
looks at 50 rows and drops the others at once, which is as fast in a loop.
"""

import argparse
import math
import time
from collections.abc import Callable
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from metrics.ava_order import BoxRows
from metrics.ava_precision import CAPS, average_precisions, mean
from tests.metrics import frame_map_by_loops as loops

SCENES = ((12, 4), (60, 3))  # classes, boxes of a frame
LABELS_PER_BOX = 2
AGREE = 1e-9


def drawn(rows: int, classes: int, boxes_per_frame: int, decimals: int | None) -> tuple[BoxRows, BoxRows]:
    """True boxes, and about ``rows`` detections near them: every box with a score for each of the classes."""
    random = np.random.default_rng(0)
    boxes = rows // classes
    corner = random.random((boxes, 2)) * 0.6
    box = np.concatenate([corner, corner + 0.1 + 0.3 * random.random((boxes, 2))], 1)
    frame = np.arange(boxes) // boxes_per_frame
    label = random.random((boxes, classes)).argsort(1)[:, :LABELS_PER_BOX] + 1
    person = np.arange(boxes).repeat(LABELS_PER_BOX)
    truth = BoxRows(frame[person], label.ravel(), box[person], person.astype(float))
    scores = random.random((boxes, classes)) * 0.8
    np.put_along_axis(scores, label - 1, random.random((boxes, LABELS_PER_BOX)), 1)
    near = (box + (random.random((boxes, 4)) - 0.5) * 0.1).repeat(classes, 0)
    scores = scores.ravel() if decimals is None else scores.ravel().round(decimals)
    return truth, BoxRows(frame.repeat(classes), np.tile(np.arange(1, classes + 1), boxes), near, scores)


def as_rows(rows: BoxRows) -> list[loops.Row]:
    """The same rows, one by one."""
    columns = rows.frame.tolist(), rows.label.tolist(), map(tuple, rows.box.tolist()), rows.score.tolist()
    return list(zip(*columns, strict=True))


def timed(measure: Callable[[], object]) -> tuple[float, object]:
    """Processor time in seconds, and what was found."""
    start = time.process_time()
    found = measure()
    return time.process_time() - start, found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000, help="detections: rows of a box and a class")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    scenes = [(each, digits) for each in SCENES for digits in (None, 3)]
    table = Table("classes", "boxes", "scores", "cap", "mAP", "ms", "ms box by box", "ratio")
    for scene, decimals in scenes:
        truth, detections = drawn(arguments.rows, *scene, decimals)
        ids, title = list(range(1, scene[0] + 1)), "distinct" if decimals is None else f"{decimals} decimals"
        rows = as_rows(truth), as_rows(detections)
        for cap, size in CAPS.items():
            times: tuple[list[float], list[float]] = ([], [])
            for _ in range(arguments.repeats):
                fast, found = timed(lambda: average_precisions(truth, detections, ids, cap))  # noqa: B023
                slow, expected = timed(lambda: loops.average_precisions(*rows, ids, size or 0))  # noqa: B023
                times[0].append(fast)
                times[1].append(slow)
            if not np.allclose(found, expected, rtol=0, atol=AGREE, equal_nan=True):
                raise SystemExit(f"{scene}, {title}, cap {cap}: found {mean(found)}, box by box {np.nanmean(expected)}")
            fast, slow = (median(each) for each in times)
            ratio = slow / fast if fast else math.inf
            numbers = f"{mean(found):.4f}", f"{fast * 1e3:.1f}", f"{slow * 1e3:.0f}", f"{ratio:.0f}"
            table.add_row(*map(str, scene), title, cap, *numbers)
    Console().print(f"{arguments.rows:,} detections", table)


if __name__ == "__main__":
    main()
