"""What is known about every video of a data set, found out once and kept in a cache."""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from core.atomic import write_file
from datamodules.errors import VideoReadError
from datamodules.killable import KillableProcess
from datamodules.reading.facts import VideoFacts
from datamodules.reading.probe import probe

log = logging.getLogger(__name__)

INDEX_FILE = "videos.json"
INDEX_VERSION = 1  # to be raised when VideoFacts or the findings of the probe change
SAVE_INTERVAL_S = 10.0  # work that an interruption may cost
PROGRESS_FROM = 20  # fewer videos are probed before a person has read the message
MAX_THREADS = 8  # the probe waits for the disk more than it computes
MAX_LISTED = 20

# What tells that a file has changed: its size and time of change, or those of a frame folder.
Stamp = tuple[int, int]


def index_videos(
    paths: Mapping[str, Path] | Sequence[Path],
    cache: Path,
    fps_of_frames: float = 25.0,
    threads: int | None = None,
    timeout_s: float | None = None,
) -> dict[str, VideoFacts]:
    """Look at videos as ``look_at_videos`` does, all of which must be readable.

    Raises:
        VideoReadError: When videos cannot be read; all of them are listed, and the others are in the cache.
        ValueError: When two videos of a plain sequence have the same name.
    """
    facts, broken = look_at_videos(paths, cache, fps_of_frames, threads, timeout_s)
    if broken:
        raise broken_videos(broken.values(), len(paths))
    return facts


def look_at_videos(
    paths: Mapping[str, Path] | Sequence[Path],
    cache: Path,
    fps_of_frames: float = 25.0,
    threads: int | None = None,
    timeout_s: float | None = None,
) -> tuple[dict[str, VideoFacts], dict[str, VideoReadError]]:
    """Probe videos, or take from the cache what was found out about them earlier.

    The cache is one JSON file per folder and may serve several data sets; a video is probed again when its size or
    time of change is not what it was. It is written every few seconds, so that an interrupted call can be repeated and
    goes on where it was. Of two processes that write at the same time the later one wins, and nothing but time is lost.

    Args:
        paths: Video files and frame folders by name; a plain sequence is named by file name without suffix.
        cache: Folder of the cache, made when missing; never the folder of the data, which may not be ours to write.
        fps_of_frames: Frame rate in Hz of frame folders, which do not tell theirs.
        threads: Videos probed at the same time; None for one per processor core, at most 8.
        timeout_s: Seconds that one video may take, which is then looked at by a process that can be killed; None for
            no deadline, and no such processes.

    Returns:
        Facts of the readable videos by name, in the order of ``paths``; and what is wrong with the others. The latter
        are not kept in the cache, and looked at again the next time.

    Raises:
        ValueError: When two videos of a plain sequence have the same name.
    """
    named = {name: Path(path) for name, path in (paths if isinstance(paths, Mapping) else by_name(paths)).items()}
    file = Path(cache) / INDEX_FILE
    index = load(file)
    stamps: dict[Path, Stamp] = {}
    broken: dict[Path, VideoReadError] = {}
    for path in dict.fromkeys(named.values()):
        try:
            stamps[path] = stamp(path)
        except OSError as error:
            broken[path] = VideoReadError(path, error.strerror or str(error))
    known = {path for path in stamps if key(path) in index and index[key(path)][0] == stamps[path]}
    unknown = [path for path in stamps if path not in known]
    if unknown:
        log.info("%d of %d videos are looked at once; what is found is kept in %s", len(unknown), len(named), file)
        threads = threads or min(os.cpu_count() or 1, MAX_THREADS)
        look = Look(fps_of_frames, timeout_s)
        try:
            broken |= probe_all({path: stamps[path] for path in unknown}, index, file, look, threads)
        finally:
            look.close()
    facts = {name: index[key(path)][1] for name, path in named.items() if path not in broken}
    facts = {
        name: replace(found, path=named[name], fps=fps_of_frames if found.kind == "frames" else found.fps)
        for name, found in facts.items()
    }
    return facts, {name: broken[path] for name, path in named.items() if path in broken}


class Look:
    """Probes a video, where there is a deadline in a process for each thread that asks.

    Args:
        fps_of_frames: Frame rate in Hz of frame folders.
        timeout_s: The deadline in seconds, or None.
    """

    def __init__(self, fps_of_frames: float, timeout_s: float | None) -> None:
        self.fps_of_frames, self.timeout_s = fps_of_frames, timeout_s
        self._processes: dict[int, KillableProcess] = {}

    def __call__(self, path: Path) -> VideoFacts:
        if self.timeout_s is None:
            return probe(path, self.fps_of_frames)
        thread = threading.get_ident()
        if thread not in self._processes:
            self._processes[thread] = KillableProcess(lambda path: probe(path, self.fps_of_frames), self.timeout_s)
        return self._processes[thread].call(path, path=path)

    def close(self) -> None:
        """End the processes."""
        for process in self._processes.values():
            process.close()


def by_name(paths: Sequence[Path]) -> dict[str, Path]:
    """Name videos after their files, without the suffix.

    Raises:
        ValueError: When two have the same name.
    """
    named: dict[str, Path] = {}
    for path in map(Path, paths):
        twin = named.setdefault(path.name if path.is_dir() else path.stem, path)
        if twin is not path:
            raise ValueError(f"{twin} and {path} have the same name; give names of your own, as a mapping")
    return named


def key(path: Path) -> str:
    """What a video is called in the cache."""
    return str(path.absolute())


def stamp(path: Path) -> Stamp:
    """Size in bytes and time of change in nanoseconds."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def probe_all(
    stamps: Mapping[Path, Stamp],
    index: dict[str, tuple[Stamp, VideoFacts]],
    file: Path,
    look: Callable[[Path], VideoFacts],
    threads: int,
) -> dict[Path, VideoReadError]:
    """Probe videos in parallel into ``index``, saving it every few seconds and at the end, come what may.

    Returns:
        Why a video cannot be read, for those that cannot.
    """
    broken: dict[Path, VideoReadError] = {}
    saved = time.monotonic()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="probe")
    running: dict[Future[VideoFacts], Path] = {}
    try:
        running |= {pool.submit(look, path): path for path in stamps}
        with progress(len(running)) as advance:
            for future in as_completed(running):
                path = running[future]
                try:
                    index[key(path)] = stamps[path], future.result()
                except VideoReadError as error:
                    broken[path] = error
                advance()
                if time.monotonic() - saved > SAVE_INTERVAL_S:
                    save(file, index)
                    saved = time.monotonic()
    finally:
        pool.shutdown(cancel_futures=True)
        for future, path in running.items():  # what was done when the loop was left, which need not have seen it
            if not future.cancelled() and future.exception() is None:
                index[key(path)] = stamps[path], future.result()
        save(file, index)
    return broken


def broken_videos(errors: Iterable[VideoReadError], total: int) -> VideoReadError:
    """Make one error of all videos that cannot be read."""
    broken = {error.path: error for error in errors}
    if len(broken) == 1:
        return next(iter(broken.values()))
    lines = [f"  {path}: {error.reason}" for path, error in sorted(broken.items())]
    if len(lines) > MAX_LISTED:
        lines[MAX_LISTED:] = [f"  and {len(lines) - MAX_LISTED} more"]
    listing = "\n".join([f"{len(broken)} of {total} videos cannot be read:", *lines])
    return VideoReadError(os.path.commonpath(broken), listing)


def load(file: Path) -> dict[str, tuple[Stamp, VideoFacts]]:
    """Read the cache; one that is broken or of another version is left aside with a warning."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["version"] != INDEX_VERSION:
            raise ValueError(f"version {content['version']}, expected {INDEX_VERSION}")
        return {
            path: ((size, changed), VideoFacts.from_json(Path(path), facts))
            for path, (size, changed, facts) in content["videos"].items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("%s cannot be used (%s); all videos are looked at again", file, error)
        return {}


def save(file: Path, index: Mapping[str, tuple[Stamp, VideoFacts]]) -> None:
    """Write the cache so that it appears complete or not at all."""
    videos = {path: [*stamp, facts.to_json()] for path, (stamp, facts) in index.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"version": INDEX_VERSION, "videos": videos}, separators=(",", ":"))
    write_file(file, content.encode())


@contextmanager
def progress(total: int, what: str = "looked at") -> Iterator[Callable[[], None]]:
    """Show how many videos are done: a bar on a terminal, a line for every tenth elsewhere; nothing for a few.

    Args:
        total: Number of videos.
        what: What has been done to a video that is done.
    """
    console = Console(stderr=True)
    if total < PROGRESS_FROM:
        yield lambda: None
    elif console.is_terminal:
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task(f"Videos {what}", total=total)
            yield lambda: bar.advance(task)
    else:
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            if 10 * done // total > 10 * (done - 1) // total:
                log.info("%s %d of %d videos", what, done, total)

        yield advance
