"""Training goes on without the few videos that cannot be read, and says which they are."""

import json
import logging
import os
import time
import traceback
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch.utils.data import Dataset

from datamodules.clips import Clips, UnreadableSource
from datamodules.errors import BadDataError, VideoReadError
from datamodules.loading import Visit, seeded

log = logging.getLogger(__name__)

BAD_SAMPLES_FILE = "bad_samples.jsonl"
REPLACEMENT = 1  # tells the stream that chooses a replacement from the one that makes the sample
MAX_LISTED = 20


@dataclass(frozen=True)
class BadSample:
    """A visit of a video that could not be read.

    Attributes:
        video: Name of the video.
        path: The file that is broken: the video, or one image of a frame folder.
        reason: What was found.
        traceback: Where, also in the process that decoded.
        epoch: Epoch of the visit; None when the video was found broken before training.
        index: Index of the visit; None as above.
    """

    video: str
    path: str
    reason: str
    traceback: str
    epoch: int | None = None
    index: int | None = None

    @classmethod
    def of(cls, error: VideoReadError, video: str, epoch: int | None = None, index: int | None = None) -> "BadSample":
        """Describe what was raised when a video was read."""
        trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        return cls(video, str(error.path or video), error.reason, trace, epoch, index)


def max_bad(share: float, count: int) -> int:
    """How many of ``count`` samples may be bad: a share of them, at least one."""
    return max(1, int(share * count))


class ReplacingClips(Dataset[dict[str, Any]]):
    """Clips among which another visit of the same epoch takes the place of one that cannot be read.

    Which one is a function of ``(seed, epoch, index)`` and of what is broken, not of workers, ranks or what happened
    before: the visits are tried in an order drawn for this sample. The sample is wholly that of the other visit, its
    name, label and index included. A sample that took the place of others has their ``BadSample`` in a list ``bad``.

    Args:
        clips: The data set.
        max_tries: Videos in a row that may be bad.

    Raises:
        BadDataError: When more are.
    """

    def __init__(self, clips: Clips, max_tries: int) -> None:
        self.clips, self.max_tries = clips, max_tries

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, visit: Visit | int) -> dict[str, Any]:
        epoch, index = visit if isinstance(visit, tuple) else (0, visit)
        bad: list[BadSample] = []
        for other in self.candidates(epoch, index):
            try:
                sample = self.clips[epoch, other]
            except VideoReadError as error:
                bad.append(BadSample.of(error, self.clips.source(other).name, epoch, other))
                if len(bad) > self.max_tries:
                    break
            else:
                return sample | {"bad": bad} if bad else sample
        raise BadDataError(f"sample {index} of epoch {epoch} cannot be replaced, {listing(bad)}")

    def candidates(self, epoch: int, index: int) -> Iterator[int]:
        """Yield the sample itself, then a visit of every other video."""
        yield index
        repeat = self.clips.sampling.repeat
        place, visit = divmod(index, repeat)
        generator = seeded(self.clips.seed, epoch, index, REPLACEMENT)
        for other in torch.randperm(len(self.clips.sources), generator=generator).tolist():
            if other != place:
                yield other * repeat + visit


class Quarantine:
    """The videos of a training that cannot be read: counted, written down and, when they are too many, an error.

    Every process has one, in which workers take no part: what they found comes with the batch. All processes of a run,
    also those before and after a restart, share the file, one JSON object per broken file. An entry counts as long as
    the size and the time of change of the file are what they were, so that a repaired one does not.

    Args:
        file: Where bad samples are listed; None for nowhere.
        videos: Name of the video of every source.
        max_share: Share of the sources that may be bad; one video may always be.

    Attributes:
        replaced: Visits that others took the place of, in this process.
    """

    def __init__(self, file: Path | None, videos: Sequence[str], max_share: float) -> None:
        self.file, self.videos, self.max_share = file, list(videos), max_share
        self.bad: dict[str, dict[str, Any]] = {}
        self.replaced = 0

    def report(self, samples: Collection[BadSample]) -> None:
        """Write down and say what is new.

        Raises:
            BadDataError: When more videos are bad than may be.
        """
        self.replaced += sum(sample.index is not None for sample in samples)
        entries = {sample.path: asdict(sample) | {"stamp": stamp(sample.path)} for sample in samples}
        entries = {path: entry for path, entry in entries.items() if path not in self.bad}
        if not entries:
            return
        known = {} if self.file is None else share(self.file, entries)
        self.bad |= {path: entry for path, entry in known.items() if self.counts(entry)} | entries
        for path in entries.keys() - known.keys():
            log.warning("%s cannot be read; other samples take its place. %s", path, entries[path]["reason"])
        self.check()

    def counts(self, entry: dict[str, Any]) -> bool:
        """Whether an entry of the file is about a video of this training, as it is now."""
        return entry["video"] in self.videos and stamp(entry["path"]) == entry["stamp"]

    def check(self) -> None:
        """Refuse to go on when too many videos are bad."""
        names = {entry["video"] for entry in self.bad.values()}
        count = sum(video in names for video in self.videos)
        if len(names) > 1 and count > max_bad(self.max_share, len(self.videos)):
            share = 100 * count / len(self.videos)
            where = "" if self.file is None else f" ({self.file} says more)"
            raise BadDataError(
                f"{share:.3g} % of the training data cannot be read, more than datamodule.max_bad_share="
                f"{self.max_share:g} allows; {listing([BadSample(**without_stamp(bad)) for bad in self.bad.values()])}"
                f"\nRepair or remove them{where}, or raise datamodule.max_bad_share; mode=check looks at all data"
            )


def unreadable(sources: Sequence[Any]) -> list[BadSample]:
    """Describe the sources that were found broken before training."""
    broken = [source for source in sources if isinstance(source, UnreadableSource)]
    return [BadSample.of(VideoReadError(source.path, source.reason), source.name) for source in broken]


def listing(bad: Collection[BadSample]) -> str:
    """Name bad files, one per line."""
    lines = sorted({f"  {sample.path}: {sample.reason}" for sample in bad})
    lines[MAX_LISTED:] = [f"  and {len(lines) - MAX_LISTED} more"] if len(lines) > MAX_LISTED else []
    return "\n".join(["these cannot be read:", *lines])


def stamp(path: str) -> list[int] | None:
    """Size in bytes and time of change in nanoseconds of a file; None when it cannot be looked at."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def without_stamp(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: entry[name] for name in BadSample.__dataclass_fields__}


def share(file: Path, entries: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Append entries to the file unless they are there, while no other process does; half a line is left aside.

    Returns:
        What was in the file before, by path; the latest entry of each.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+b") as stream:
        lock(stream)
        stream.seek(0)
        content = stream.read()
        known = dict(parse(content))
        new = [entry for path, entry in entries.items() if known.get(path, {}).get("stamp", ...) != entry["stamp"]]
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        lines = [json.dumps(entry | {"time": now}).encode() + b"\n" for entry in new]
        stream.write((b"" if content.endswith(b"\n") or not content else b"\n") + b"".join(lines))
        stream.flush()
        os.fsync(stream.fileno())
    return {path: entry for path, entry in known.items() if path not in {entry["path"] for entry in new}}


def lock(stream: BinaryIO) -> None:
    """Wait until no other process has the file locked, and lock it until it is closed."""
    if os.name == "nt":
        import msvcrt

        stream.seek(0)
        msvcrt.locking(stream.fileno(), msvcrt.LK_LOCK, 1)
    else:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX)


def parse(content: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read the entries of the file; a line that a killed process left half written is none."""
    for line in content.splitlines():
        try:
            entry = json.loads(line)
            yield entry["path"], entry
        except (ValueError, TypeError, KeyError):
            continue
