"""Data sets of the zoo whose clips have classes: which of their layouts a folder has, and its videos by part."""

from collections.abc import Callable
from pathlib import Path

from datamodules.labelled_actions import find_actions, is_ava
from datamodules.labelled_campus import find_campus, is_campus
from datamodules.labelled_listing import Labelled
from datamodules.labelled_speech import find_speech, is_ego4d

LAYOUTS: dict[str, Callable[[Path], bool]] = {"anomaly": is_campus, "action": is_ava, "speech": is_ego4d}


def layout_classes(root: Path, classes_by: str) -> str | None:
    """What makes a class in the layout of ``root``, with ``datamodule.classes_by``; None where the layout is none."""
    if classes_by == "auto":
        return next((by for by, is_layout in LAYOUTS.items() if is_layout(root)), None)
    return None if classes_by == "folder" else classes_by


def find_layout(root: Path, by: str, cache: str, num_frames: int) -> dict[str, list[Labelled]]:
    """The videos of a layout by the parts it knows; ``train`` alone holds all of them.

    Args:
        root: Folder of the data set.
        by: What makes a class, see `layout_classes`.
        cache: Folder for what may be deleted.
        num_frames: Frames that a clip reaches over; shorter parts of videos are left out.
    """
    if by == "action":
        return find_actions(root, cache, num_frames)
    if by == "speech":
        return find_speech(root, cache, num_frames)
    return {"train": find_campus(root, by, num_frames)}
