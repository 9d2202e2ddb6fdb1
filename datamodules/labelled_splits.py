"""How labelled videos are parted: held-out shares, folds, a few labels per class; parts of one file stay together."""

from collections.abc import Sequence
from pathlib import Path

import torch

from datamodules.labelled_listing import Labelled
from datamodules.loading import seeded

FOLDS, FEW = 1, 2  # streams of draws


def hold_out(videos: Sequence[Labelled], share: float, seed: int) -> tuple[list[Labelled], list[Labelled]]:
    """Part videos to train on and a share that is held out, of every class about alike, at least one file.

    Args:
        videos: All of them, of two files or more.
        share: In (0, 1), counted in files.
        seed: Decides which.
    """
    files = by_class(videos, seed)
    held = min(max(1, round(share * len(files))), len(files) - 1)
    return parted(videos, {files[(2 * place + 1) * len(files) // (2 * held)] for place in range(held)})


def take_fold(videos: Sequence[Labelled], folds: int, fold: int, seed: int) -> tuple[list[Labelled], list[Labelled]]:
    """Part videos to train on and those of one fold; the folds of a seed share nothing and are all videos together.

    Raises:
        ValueError: When there are fewer files than folds.
    """
    files = by_class(videos, seed)
    if len(files) < folds:
        raise ValueError(f"datamodule.folds={folds}: expected as many files at least, found {len(files)}")
    return parted(videos, set(files[fold::folds]))


def take_few(videos: Sequence[Labelled], per_class: int, seed: int) -> list[Labelled]:
    """Take as many videos of each class, from the same files where a file has several classes.

    Raises:
        ValueError: When a class has fewer.
    """
    files = shuffled({each.video.path for each in videos}, seed, FEW)
    order = sorted(videos, key=lambda each: files.index(each.video.path))
    taken = []
    for label in sorted({each.label for each in videos}):
        mine = [each for each in order if each.label == label]
        if len(mine) < per_class:
            found = f"class {label} has {len(mine)} for training"
            raise ValueError(f"datamodule.labels_per_class={per_class}: expected as many videos, found {found}")
        taken += mine[:per_class]
    return [each for each in videos if each in taken]


def by_class(videos: Sequence[Labelled], seed: int) -> list[Path]:
    """All files, those with the same classes one after the other, in an order drawn by ``seed`` within these."""
    classes: dict[Path, set[str]] = {}
    for each in videos:
        classes.setdefault(each.video.path, set()).add(each.label)
    return sorted(shuffled(classes, seed, FOLDS), key=lambda path: sorted(classes[path]))


def shuffled(files: Sequence[Path] | set[Path] | dict[Path, set[str]], seed: int, stream: int) -> list[Path]:
    """Files in an order that depends on their names and the seed alone."""
    ordered = sorted(files)
    return [ordered[place] for place in torch.randperm(len(ordered), generator=seeded(seed, stream)).tolist()]


def parted(videos: Sequence[Labelled], held: set[Path]) -> tuple[list[Labelled], list[Labelled]]:
    """Videos whose files are not held out, and those whose files are."""
    return [each for each in videos if each.video.path not in held], [
        each for each in videos if each.video.path in held
    ]
