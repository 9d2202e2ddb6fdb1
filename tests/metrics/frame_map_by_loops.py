"""Frame mAP box by box, written down as the protocol is told: slow, and with nothing of `metrics.ava_precision`."""

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

Row = tuple[int, int, tuple[float, float, float, float], float]
"""Frame, id of the class, box, score."""
Listed = tuple[float, int, tuple[float, float, float, float]]


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def listed(rows: Iterable[Row], ids: set[int], cap: int) -> dict[int, list[Listed]]:
    """Rows by frame as they come out of a heap of at most ``cap`` (0: any number), the highest scores first."""
    heaps = defaultdict(list)
    for frame, label, (x1, y1, x2, y2), score in rows:
        if label not in ids:
            continue
        heap, entry = heaps[frame], (score, label, y1, x1, y2, x2)
        if cap == 0 or len(heap) < cap:
            heapq.heappush(heap, entry)
        elif score > heap[0][0]:
            heapq.heapreplace(heap, entry)
    return {
        frame: [
            (score, label, (x1, y1, x2, y2))
            for score, label, y1, x1, y2, x2 in sorted(heap, key=lambda entry: -entry[0])
        ]
        for frame, heap in heaps.items()
    }


def claimed(detections: list[tuple[float, tuple]], truth: list[tuple]) -> list[tuple[float, bool]]:
    """Scores of the detections of a class in a frame, and whether each is right."""
    taken, found = set(), []
    for score, box in detections:
        if not (box[0] < box[2] and box[1] < box[3]):
            continue
        overlaps = [overlap(box, other) for other in truth]
        best = max(range(len(truth)), key=lambda number: overlaps[number], default=None)  # the first of equal ones
        right = best is not None and overlaps[best] >= 0.5 and best not in taken
        if right:
            taken.add(best)
        found.append((score, right))
    return found


def precision_under_recall(found: list[tuple[float, bool]], count: int) -> float:
    """Sum over true positives of the highest precision from there on, divided by the true boxes."""
    ordered = sorted(enumerate(found), key=lambda pair: (-pair[1][0], -pair[0]))  # of equal scores the last first
    hits, precisions, right_at = 0, [], []
    for place, (_, (_, right)) in enumerate(ordered, start=1):
        hits += right
        precisions.append(hits / place)
        right_at.append(right)
    best = [max(precisions[place:]) for place, right in enumerate(right_at) if right]
    return math.fsum(best) / count


def average_precisions(truth: Iterable[Row], detections: Iterable[Row], ids: Sequence[int], cap: int) -> list[float]:
    true, found = listed(truth, set(ids), 0), listed(detections, set(ids), cap)
    values = []
    for label in ids:
        boxes = {frame: [box for _, each, box in rows if each == label] for frame, rows in true.items()}
        count = sum(map(len, boxes.values()))
        scored = []
        for frame, rows in found.items():
            scored += claimed([(score, box) for score, each, box in rows if each == label], boxes.get(frame, []))
        values.append(precision_under_recall(scored, count) if count else math.nan)
    return values
