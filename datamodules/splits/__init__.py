"""Which videos of ShanghaiTech Campus are trained and tested on: the published splits, and those of the sample."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch

from datamodules.loading import seeded
from datamodules.video_lists import NamedVideo, differing_counts, named_video, read_video_list

log = logging.getLogger(__name__)

Sides = tuple[list[NamedVideo], list[NamedVideo]]  # training and test videos

WEAK, ONE_CLASS = "weak", "one_class"
WEAK_FILE = Path(__file__).with_name("shanghaitech_weak.txt")
TESTED_OF_SAMPLE = {0: (2, 1), 1: (3, 2)}  # by label: of how many videos of a scene one is tested, and which of them


def choose(split: str, root: Path | None, train_list: str | None = None, test_list: str | None = None) -> Sides:
    """Choose the training and test videos, and warn of own lists whose counts are not those of the split.

    Args:
        split: ``weak`` or ``one_class``.
        root: Folder of the data set, which may be the generated sample.
        train_list: File that names the training videos instead.
        test_list: The same for test videos.

    Raises:
        PathNotFoundError: When a list does not exist.
        ListFileError: When one cannot be understood.
        ValueError: When a video is on both sides.
    """
    sides = of_sample(split, sample_names(root)) if is_sample(root) else published(split)
    chosen = []
    for key, file, side in zip(("train_list", "test_list"), (train_list, test_list), sides, strict=True):
        own = side if file is None else read_video_list(Path(file), f"datamodule.{key}")
        differing = [] if is_sample(root) else list(differing_counts(own, side))
        if differing:
            log.warning("datamodule.%s=%s is not that of split=%s: %s", key, file, split, ", ".join(differing))
        chosen.append(own)
    train, test = chosen
    both = sorted({video.name for video in train} & {video.name for video in test})
    if both:
        raise ValueError(f"datamodule.train_list, datamodule.test_list: {', '.join(both)} in training and test")
    return train, test


def published(split: str) -> Sides:
    """The published training and test videos.

    Args:
        split: ``weak``: Zhong et al., CVPR 2019, 175 normal and 63 anomalous videos to train on, 155 and 44 to test.
            ``one_class``: the data set's own, 330 normal videos to train on and 107 anomalous ones to test.
    """
    sides: dict[str, list[NamedVideo]] = defaultdict(list)
    for line in WEAK_FILE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            side, scene, *numbers = line.split()
            sides[side] += [named_video(f"{scene}_{number}") for number in numbers]
    if split == WEAK:
        return sides["train"], sides["test"]
    return by_label(sides["train"] + sides["test"])


def is_sample(root: Path | None) -> bool:
    """Whether a data set is the generated one, whose videos are others."""
    return root is not None and (root / "sample.json").is_file()


def sample_names(root: Path) -> Iterator[str]:
    """Find the videos of the generated sample."""
    yield from (path.stem for path in (root / "training" / "videos").glob("*.avi"))
    yield from (path.name for path in (root / "testing" / "frames").iterdir())


def of_sample(split: str, names: Iterable[str]) -> Sides:
    """The training and test videos of the generated sample.

    In the ``weak`` split the second of every two normal and the third of every three anomalous videos of a scene are
    tested. As the kinds of anomalies take turns within a scene and begin with another one in each, all scenes and kinds
    are on both sides.

    Args:
        split: ``weak`` or ``one_class``.
        names: All videos of the sample.
    """
    videos = [named_video(name) for name in sorted(names)]
    if split == ONE_CLASS:
        return by_label(videos)
    sides: Sides = ([], [])
    for video in videos:
        every, tested = TESTED_OF_SAMPLE[video.label]
        sides[(int(video.name.partition("_")[2]) - 1) % every == tested].append(video)
    return sides


def by_label(videos: Sequence[NamedVideo]) -> Sides:
    """Normal videos, and anomalous ones, each in the order of their names."""
    ordered = sorted(videos, key=lambda video: video.name)
    return [video for video in ordered if not video.label], [video for video in ordered if video.label]


def hold_out(videos: Sequence[NamedVideo], share: float, seed: int) -> Sides:
    """Part training videos and held-out ones, so that both have the same share of every scene and label.

    Of each label the share is rounded, at least one where there are two. It is dealt to the scenes by largest
    remainder; which videos of a scene are taken, and which scene is first where remainders are equal, the seed decides.

    Args:
        videos: All that may be trained on.
        share: Of them that is held out, in [0, 1); with 0 nothing is.
        seed: Of the choice.

    Returns:
        Those that are trained on and those that are held out, in the given order.
    """
    held: set[str] = set()
    for label in sorted({video.label for video in videos}) if share else ():
        scenes: dict[int, list[NamedVideo]] = defaultdict(list)
        for video in videos:
            if video.label == label:
                scenes[video.scene].append(video)
        generator = seeded(seed, label + 1)
        counts = dealt({scene: len(group) for scene, group in scenes.items()}, share, generator)
        for scene, group in scenes.items():
            order = torch.randperm(len(group), generator=generator).tolist()
            held |= {group[place].name for place in order[: counts[scene]]}
    return [video for video in videos if video.name not in held], [video for video in videos if video.name in held]


def dealt(sizes: dict[int, int], share: float, generator: torch.Generator) -> dict[int, int]:
    """How many of each group are taken, so that they are together the rounded share of all, and never all."""
    total = sum(sizes.values())
    taken = {group: int(share * size) for group, size in sizes.items()}
    luck = dict(zip(sizes, torch.rand(len(sizes), generator=generator).tolist(), strict=True))
    order = sorted(sizes, key=lambda group: (taken[group] - share * sizes[group], luck[group]))
    left = min(max(1, round(share * total)), total - 1) - sum(taken.values())
    for group in order[: max(left, 0)]:
        taken[group] += 1
    return taken
