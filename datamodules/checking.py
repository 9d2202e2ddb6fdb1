"""What is wrong with a data set: every frame is decoded once, every annotation read, nothing trained."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from datamodules.errors import AmbiguousFramesError, TruncatedVideoError, VideoReadError
from datamodules.listing import Listed
from datamodules.parallel import for_each
from datamodules.reading import VideoFacts, open_video, probe
from datamodules.reading.containers import declared_frames
from datamodules.reading.facts import ranges
from datamodules.reading.frame_folder import list_frames, opened

UNREADABLE = "unreadable"
TRUNCATED = "truncated"
TOO_SHORT = "too short for a clip"
FRAME_COUNT = "wrong frame count"
GAP = "gap in frame numbers"
SIZE = "odd size"
MISSING = "missing annotation"
ORPHAN = "orphan annotation"
BROKEN = "broken annotation"
LABEL_LENGTH = "labels of wrong length"
DUPLICATE_ID = "duplicate id"
DUPLICATE_CONTENT = "same content twice"
LEAK = "leak between splits"
KINDS = (
    *(UNREADABLE, TRUNCATED, TOO_SHORT, FRAME_COUNT, GAP, SIZE, MISSING, ORPHAN, BROKEN, LABEL_LENGTH),
    *(DUPLICATE_ID, DUPLICATE_CONTENT, LEAK),
)

USUAL_SHARE = 0.9  # a size that so many videos of a set have is the one that all are meant to have
CHUNK_BYTES = 32_000_000  # of pixels that are decoded at a time
HASHED_STRIDE = 4  # pixels; a copy differs nowhere, and what is no copy differs everywhere


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong.

    Attributes:
        kind: One of ``KINDS``.
        split: Part of the data set.
        path: The file or folder.
        detail: What was found, and what was expected.
    """

    kind: str
    split: str
    path: str
    detail: str


@dataclass(frozen=True)
class Step:
    """What is added to the report by one video, or by one look at annotations.

    Attributes:
        videos: Videos that were looked at.
        frames: Frames that were decoded.
        defects: What is wrong.
    """

    videos: int = 0
    frames: int = 0
    defects: tuple[Defect, ...] = ()


@dataclass(frozen=True)
class Examined:
    """A video whose every frame was looked at.

    Attributes:
        facts: What the probe says; None when it refuses the video.
        frames: Frames that were decoded.
        content: Hash of the decoded pixels; None when not all could be decoded.
        wrong: Kind, path and detail of what is wrong with the video by itself.
    """

    facts: VideoFacts | None
    frames: int
    content: str | None
    wrong: tuple[tuple[str, Path, str], ...]


def examine(path: Path, fps_of_frames: float, backend: str) -> Iterator[None]:
    """Look at every frame of a video; a generator that yields while it goes on, and returns an ``Examined``."""
    wrong: list[tuple[str, Path, str]] = []
    digest = blake2b(digest_size=16)
    frames, facts = 0, None
    try:
        facts = probe(path, fps_of_frames)
    except VideoReadError as error:
        if not path.is_dir():  # the other images of a folder may be worth a look
            wrong.append(described(error))
    yield
    look = look_at_images(path, wrong) if path.is_dir() else look_at_file(facts, backend, wrong)
    for pixels in look:
        digest.update(pixels[:, ::HASHED_STRIDE, ::HASHED_STRIDE].tobytes())
        frames += len(pixels)
        yield
    complete = facts is not None and frames == facts.frame_count
    return Examined(facts, frames, digest.hexdigest() if complete else None, tuple(wrong))


def look_at_file(facts: VideoFacts | None, backend: str, wrong: list) -> Iterator[np.ndarray]:
    """Decode a video file from its beginning to its end, or to its first broken place."""
    if facts is None:
        return
    declared = declared_frames(facts)
    if declared is not None and declared != facts.frame_count:
        detail = f"its header promises {declared} frames, {facts.frame_count} are there"
        wrong.append((FRAME_COUNT, facts.path, detail))
    chunk = max(1, CHUNK_BYTES // (facts.height * facts.width * 3))
    try:
        with open_video(facts, backend) as reader:
            for start in range(0, facts.frame_count, chunk):
                yield reader.read(range(start, min(start + chunk, facts.frame_count)))
    except VideoReadError as error:
        wrong.append(described(error))


def look_at_images(folder: Path, wrong: list) -> Iterator[np.ndarray]:
    """Decode every image of a frame folder, also behind a broken one."""
    try:
        images = list_frames(folder)
    except VideoReadError as error:
        wrong.append(described(error))
        return
    for (_, stop), (first, _) in zip(runs := ranges(images), runs[1:], strict=False):
        which = f"frame {stop} is" if first - stop == 1 else f"frames {stop} to {first - 1} are"
        wrong.append((GAP, folder, f"{which} missing"))
    usual = None
    for path in images.values():
        try:
            with opened(path) as image:
                pixels = np.asarray(image.convert("RGB"))
        except VideoReadError as error:
            wrong.append(described(error))
            continue
        usual = usual or pixels.shape
        if pixels.shape != usual:
            wrong.append((SIZE, path, f"is {spell(pixels.shape)}, the images before it are {spell(usual)}"))
        yield pixels[None]


def described(error: VideoReadError) -> tuple[str, Path, str]:
    """Sort an error into a kind of defect."""
    kinds = {TruncatedVideoError: TRUNCATED, AmbiguousFramesError: DUPLICATE_ID}
    return kinds.get(type(error), UNREADABLE), error.path, error.reason


def spell(shape: Sequence[int]) -> str:
    """Width and height of (H, W, ...), as people write them."""
    return f"{shape[1]}x{shape[0]}"


def examine_all(
    paths: Iterable[Path], fps_of_frames: float, backend: str, processes: int, timeout_s: float | None
) -> Iterator[tuple[Path, Examined]]:
    """Examine videos in several processes, and show how far it is; leaving early ends the processes.

    Args:
        paths: The videos.
        fps_of_frames: Frame rate in Hz of frame folders.
        backend: How videos are read.
        processes: Videos that are looked at at the same time.
        timeout_s: Seconds without a frame after which a video is given up; None for never.
    """
    calls = {path: (path, fps_of_frames, backend) for path in paths}
    for path, found in for_each(examine, calls, processes, timeout_s):
        stuck = isinstance(found, VideoReadError)  # or crashed
        yield path, Examined(None, 0, None, (described(found),)) if stuck else found


def odd_sizes(split: str, examined: Mapping[Path, Examined]) -> Iterator[Defect]:
    """Name the videos that have another size than nearly all of a split; a set of many sizes has none that is odd."""
    sizes = {path: (found.facts.height, found.facts.width) for path, found in examined.items() if found.facts}
    if not sizes:
        return
    usual, count = Counter(sizes.values()).most_common(1)[0]
    if count < USUAL_SHARE * len(sizes):
        return
    for path, size in sizes.items():
        if size != usual:
            yield Defect(SIZE, split, str(path), f"is {spell(size)}, {count} of {len(sizes)} videos are {spell(usual)}")


def duplicate_ids(split: str, videos: Sequence[Listed], by_last_part: bool) -> Iterator[Defect]:
    """Name videos that are listed twice, or that only their suffix tells apart.

    Args:
        split: Part of the data set.
        videos: Its videos.
        by_last_part: Whether annotations are found by the last part of a video's name, which must then be unique.
    """
    seen: dict[object, Listed] = {}
    for video in videos:
        stem = video.path if video.path.is_dir() else video.path.with_suffix("")
        keys: list[object] = [(stem, video.first, video.count)]
        if by_last_part:
            keys.append((Path(video.name).name, video.first, video.count))
        twin = next((seen[key] for key in keys if key in seen), None)
        if twin is not None:
            yield Defect(DUPLICATE_ID, split, str(video.path), f"{twin.path} has the same id")
        seen |= {key: video for key in keys}


def same_content(splits: Mapping[str, Sequence[Path]], examined: Mapping[Path, Examined]) -> Iterator[Defect]:
    """Name videos whose every pixel is that of another one, in the same split or, worse, in another.

    Finds copies under any name, in any container or lossless format; not what was encoded or cut again.
    """
    first: dict[str, tuple[str, Path]] = {}
    for split, paths in splits.items():
        for path in dict.fromkeys(paths):
            content = examined[path].content if path in examined else None
            if content is None:
                continue
            where, twin = first.setdefault(content, (split, path))
            if where != split:
                yield Defect(LEAK, split, str(path), f"is {twin}, which is in {where}")
            elif twin != path:
                yield Defect(DUPLICATE_CONTENT, split, str(path), f"is {twin}")
