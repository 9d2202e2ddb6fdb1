"""What is wrong with a data set of actions as a whole, for ``mode=check`` and before a training begins."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datamodules.ava_files import MALFORMED, NO_BOX, NOT_FINITE
from datamodules.ava_index import Index
from datamodules.ava_rows import DUPLICATE_ROW
from datamodules.ava_rows import KINDS as KINDS_OF_ROWS
from datamodules.checking import DUPLICATE_CONTENT as SAME_CONTENT
from datamodules.checking import (
    DUPLICATE_ID,
    FRAME_COUNT,
    GAP,
    LEAK,
    SIZE,
    TOO_SHORT,
    TRUNCATED,
    UNREADABLE,
    Defect,
    Examined,
    duplicate_ids,
    odd_sizes,
    same_content,
)
from datamodules.clips import UnreadableSource
from datamodules.errors import DataFileError, VideoReadError
from datamodules.label_map import BROKEN_MAP, DUPLICATE_CLASS, LabelMap
from datamodules.listing import Listed

if TYPE_CHECKING:
    from datamodules.action_set import ActionSet

UNTRAINED = "class without training boxes"
NO_PROPOSAL = "annotated second without proposals"
UNKNOWN_EXCLUDED = "excluded timestamp of no video"
MISPLACED = "time of its first frame unknown"
KINDS = (
    *(UNREADABLE, TRUNCATED, TOO_SHORT, FRAME_COUNT, GAP, SIZE, DUPLICATE_ID, SAME_CONTENT, LEAK, MISPLACED),
    *(BROKEN_MAP, DUPLICATE_CLASS, MALFORMED, NOT_FINITE, NO_BOX, *KINDS_OF_ROWS),
    *(UNTRAINED, NO_PROPOSAL, UNKNOWN_EXCLUDED),
)
HARMLESS = (DUPLICATE_ROW, NO_BOX)  # nothing is lost by them
MAX_LISTED = 20


class AnnotationError(DataFileError):
    """More rows of a file cannot be used than may be left out."""


def require_usable(defects: Sequence[Defect], num_boxes: int, max_share: float | None) -> list[Defect]:
    """Refuse files of which too many rows cannot be used.

    Args:
        defects: What is wrong with the rows.
        num_boxes: Boxes that are left.
        max_share: Share of the rows that may be left out, one in any case; None for none at all.

    Returns:
        The rows that are left out.

    Raises:
        AnnotationError: With the first ones.
    """
    lost = [defect for defect in defects if defect.kind not in HARMLESS]
    allowed = 0 if max_share is None else max(1, int(max_share * (num_boxes + len(lost))))
    if len(lost) <= allowed:
        return lost
    lines = [f"  {defect.path}, {defect.detail} ({defect.kind})" for defect in lost]
    lines[MAX_LISTED:] = [f"  and {len(lines) - MAX_LISTED} more"] if len(lines) > MAX_LISTED else []
    allows = "datamodule.on_error=error" if max_share is None else f"datamodule.max_bad_share={max_share:g}"
    reason = f"{len(lost)} rows cannot be used, and {num_boxes} boxes are left ({allows}):"
    raise AnnotationError(Path(lost[0].path), "\n".join([reason, *lines]))


def check_annotations(
    data: "ActionSet", splits: Mapping[str, Sequence[Listed]], examined: Mapping[Path, Examined]
) -> Iterator[Defect]:
    """Say what is wrong with the videos as a set, with the list of classes, and with the rows of every split."""
    movies = {}
    for split, videos in splits.items():
        own = {video.path: examined[video.path] for video in videos}
        yield from duplicate_ids(split, videos, by_last_part=True)
        yield from odd_sizes(split, own)
        for video in videos:
            facts = own[video.path].facts
            try:
                if facts is None:
                    raise VideoReadError(video.path, "cannot be read")
                movies[video.name] = data.movie(video.name, facts)
                if facts.frame_count < (least := data.frames_needed(facts)):
                    detail = f"has {facts.frame_count} frames, a clip takes up {least}"
                    yield Defect(TOO_SHORT, split, str(video.path), detail)
            except VideoReadError as error:
                movies[video.name] = UnreadableSource(video.name, video.path, error.reason)
                if facts is not None:
                    yield Defect(MISPLACED, split, str(video.path), error.reason)
    first = next(iter(splits))
    yield from same_content({split: [video.path for video in videos] for split, videos in splits.items()}, examined)
    classes, defects = data.read_label_map()
    yield from defects
    indices: dict[str, Index] = {}
    for split in splits:
        indices[split], defects = data.build(data.tables(split), classes, data.extents(movies))
        yield from (replace(defect, split=split) for defect in defects)
        yield from missed(split, data, indices[split]) if split != first else ()
        yield from unknown_excluded(split, data)
    yield from untrained(classes, indices, str(data.tables(first).annotated), first)


def missed(split: str, data: "ActionSet", index: Index) -> Iterator[Defect]:
    """Name the annotated key frames of which a detector, where there is one, says nothing."""
    proposed = data.tables(split).proposed
    if proposed is None:
        return
    for k in np.flatnonzero(index.count(~index.annotated) == 0):
        detail = f"there is no box of {index.name(k)} at {index.second[k]:g} s, where someone is annotated"
        yield Defect(NO_PROPOSAL, split, str(proposed), detail)


def unknown_excluded(split: str, data: "ActionSet") -> Iterator[Defect]:
    """Name the excluded timestamps of videos that are not there."""
    path = data.tables(split).excluded
    media = data.media()
    for video, second in sorted(data.excluded(path)):
        if video not in media:
            yield Defect(UNKNOWN_EXCLUDED, split, str(path), f"there is no media of {video}, excluded at {second:g} s")


def untrained(classes: LabelMap, indices: Mapping[str, Index], path: str, first: str) -> Iterator[Defect]:
    """Name the classes that are evaluated, and of which training has no box."""
    used = {split: index.labels[index.annotated].any(0) for split, index in indices.items()}
    for channel, action in enumerate(classes.actions):
        if not used[first][channel] and any(seen[channel] for seen in used.values()):
            yield Defect(UNTRAINED, first, path, f"class {action.id} ({action.name}) is evaluated and never trained")
