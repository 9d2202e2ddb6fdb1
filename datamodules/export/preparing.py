"""What ``mode=prepare`` makes of a data set of videos, in order."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.errors import LabelFileError, VideoReadError
from datamodules.export.frames import IMAGE, place, write_frames
from datamodules.export.lists import Labelled, write_label_lists, write_video_list
from datamodules.export.product import LABEL_LISTS, VIDEOS, Product, failed
from datamodules.listing import Listed
from datamodules.reading import VideoFacts
from datamodules.reading.frame_folder import list_frames


def prepare_videos(data: Any) -> Iterator[Product]:
    """Make what the options of a datamodule name: ``frames``, ``video_list``, ``label_lists``.

    Args:
        data: A ``datamodules.video_set.VideoSet``.

    Yields:
        A product for each thing that was to be made, and for each video that cannot be read.

    Raises:
        ValueError: When the options name nothing, or two videos have one name.
    """
    options = data.hparams
    require_any(options, data.prepares)
    splits = data.splits()
    videos = by_name(splits)
    if options.video_list is not None:
        yield write_video_list(list(videos), Path(options.video_list))
    if options.frames is None and options.label_lists is None:
        return
    facts, broken = data.look(list(videos.values()))
    yield from (failed(VIDEOS, error.path, error.reason) for error in broken.values())
    readable = {name: facts[str(video.path)] for name, video in videos.items() if str(video.path) in facts}
    if options.frames is not None:
        folder, workers, timeout_s = Path(options.frames), options.num_workers, options.decode_timeout_s
        for product in write_frames(readable, folder, options.frame_quality, options.reader, workers, timeout_s):
            yield product
            if product.state == "failed":
                readable = {name: known for name, known in readable.items() if str(place(folder, name)) != product.path}
    if options.label_lists is not None:
        labelled = []
        for split, video in ((split, video) for split, members in splits.items() for video in members):
            try:
                if video.name in readable:
                    labelled.append(describe(data, split, video, readable[video.name]))
            except (LabelFileError, VideoReadError) as error:
                yield failed(LABEL_LISTS, error.path, error.reason)
        yield from write_label_lists(labelled, Path(options.label_lists))


def require_any(options: Mapping[str, Any], products: Sequence[str]) -> None:
    """Refuse to prepare nothing.

    Raises:
        ValueError: When none of the options that name a product is set.
    """
    if all(options[name] is None for name in products):
        names = " or ".join(f"datamodule.{name}" for name in products)
        raise ValueError(f"mode=prepare: nothing to make is named; expected a value for {names}")


def by_name(splits: Mapping[str, Sequence[Listed]]) -> dict[str, Listed]:
    """All videos by name, in the order of the splits.

    Raises:
        ValueError: When two have the same one: what is made of them would have one name as well.
    """
    videos: dict[str, Listed] = {}
    for video in (video for members in splits.values() for video in members):
        twin = videos.setdefault(video.name, video)
        if twin.path != video.path:
            raise ValueError(f"{twin.path} and {video.path} have the same name, {video.name}; rename one of them")
    return videos


def describe(data: Any, split: str, video: Listed, facts: VideoFacts) -> Labelled:
    """Say where the frames of a video are, and what their labels are.

    Raises:
        VideoReadError: When its frames are no images.
        LabelFileError: When its labels do not fit.
    """
    if data.hparams.frames is not None:
        folder = place(Path(data.hparams.frames), video.name)
        frames = [folder / IMAGE.format(number) for number in range(1, facts.frame_count + 1)]
    elif facts.kind == "frames":
        frames = list(list_frames(facts.path).values())
    else:
        reason = "its frames are no images that a list could name; make them with datamodule.frames=<folder>"
        raise VideoReadError(facts.path, reason)
    labels = data.labels(video, facts)
    if labels is None and split in data.normal_splits:
        labels = np.zeros(facts.frame_count, np.int64)
    return Labelled(video.name, split, frames, labels)
