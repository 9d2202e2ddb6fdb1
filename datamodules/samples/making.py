"""Make the folder of a sample: once, whole or not at all, with the help of a second process."""

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from datamodules.samples.encoding import write_json

log = logging.getLogger(__name__)

REPOSITORY = Path(__file__).resolve().parents[2]
ALONE = 1000  # frames; fewer are made by one process, because a second one takes a second to start
REPORT_EVERY = 5.0  # seconds between two lines of progress


class Video(Protocol):
    """A video of a sample; those of one ``scene`` are made by one process, since the place is set up once for each."""

    scene: int
    num_frames: int


class Settings(ABC):
    """What a sample is made from: the base of dataclasses with a field ``size``, height and width in pixels."""

    size: tuple[int, int]

    def plain(self) -> dict:
        """The settings as JSON knows them."""
        return {**asdict(self), "size": list(self.size)}

    @classmethod
    def read(cls, plain: dict) -> "Settings":
        """The settings that `plain` gave."""
        return cls(**{**plain, "size": tuple(plain["size"])})

    @abstractmethod
    def videos(self) -> list:
        """All its videos, each a `Video`."""


Record = Callable[[Path, Video, Settings], object]
"""Films a video and writes all that belongs to it into the folder."""


def make(
    folder: Path | str,
    settings: Settings,
    *,
    data_set: str,
    module: str,
    begin: Callable[[Path], object],
    record: Record,
    finish: Callable[[Path], object],
) -> Path:
    """Make a sample unless it is there; any number of processes may call this at the same time.

    Args:
        folder: Where it goes. Appears complete or not at all.
        settings: What it is made from; also written into ``sample.json``.
        data_set: Name of the data set whose layout it has.
        module: Module whose main program is `help_out`, for the second process.
        begin: Makes the folders within a new folder.
        record: Makes one video.
        finish: Writes what needs all videos.

    Returns:
        ``folder``.

    Raises:
        ValueError: When ``folder`` holds something else.
    """
    folder = Path(folder)
    if folder.exists():
        _check(folder, settings)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    log.info("Making the sample in %s (once; about a minute)", folder)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", suffix=".part", dir=folder.parent))
    try:
        begin(unfinished)
        _record_all(unfinished, settings, module, record)
        finish(unfinished)
        write_json(unfinished / "sample.json", settings.plain())
        unfinished.chmod(0o755)  # temporary folders are private
        try:
            unfinished.rename(folder)
        except OSError:  # a folder that is not empty is never replaced: another process was faster
            _check(folder, settings)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    log.info("The sample took %.0f s. Its pictures are GENERATED, not %s", time.monotonic() - began, data_set)
    return folder


def _check(folder: Path, settings: Settings) -> None:
    """Fail unless ``folder`` is the sample that ``settings`` describe."""
    path = folder / "sample.json"
    if not path.is_file():
        raise ValueError(
            f"{folder} is no generated sample (it lacks sample.json); choose another folder for the sample"
        )
    found = json.loads(path.read_text(encoding="utf-8"))
    if found != settings.plain():
        raise ValueError(
            f"{folder} holds a sample made with {found}, but {settings.plain()} was asked for; "
            "delete the folder or choose another"
        )


def _record_all(folder: Path, settings: Settings, module: str, record: Record) -> None:
    scenes = {video.scene for video in settings.videos()}
    theirs: set[int] = set()
    if _cores() > 1 and sum(video.num_frames for video in settings.videos()) > ALONE:
        theirs = {scene for scene in scenes if scene % 2}
    helper = _start_helper(folder, settings, module, theirs) if theirs else None
    try:
        _record_scenes(folder, settings, record, scenes - theirs, report=True)
        if helper is not None and helper.wait():
            raise RuntimeError(f"the second process that makes the sample failed with exit code {helper.returncode}")
    finally:
        if helper is not None:
            helper.kill()
            helper.wait()


def _record_scenes(folder: Path, settings: Settings, record: Record, scenes: set[int], *, report: bool = False) -> None:
    """Make the videos of ``scenes``, scene by scene, since the place is set up once for each."""
    videos = sorted((video for video in settings.videos() if video.scene in scenes), key=lambda video: video.scene)
    last = time.monotonic()
    for done, video in enumerate(videos, 1):
        record(folder, video, settings)
        if report and time.monotonic() - last > REPORT_EVERY:
            last = time.monotonic()
            log.info("Making the sample: %d %%", 100 * done // len(videos))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_helper(folder: Path, settings: Settings, module: str, scenes: set[int]) -> subprocess.Popen:
    """Make ``scenes`` in a second process.

    Not with multiprocessing: fork is unsafe in a process that has run torch, and spawn would run the user's script.
    """
    command = [sys.executable, "-m", module, str(folder.resolve())]
    command += [json.dumps(settings.plain()), json.dumps(sorted(scenes))]
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stdin=subprocess.DEVNULL)


def help_out(read: Callable[[dict], Settings], record: Record) -> None:
    """Make some scenes of a sample in a folder that another process has prepared: the second process.

    Args:
        read: Makes settings of what their ``plain`` gave.
        record: Makes one video.
    """
    parser = argparse.ArgumentParser(description="Make some scenes of a sample in a folder that is being made.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("settings", type=json.loads)
    parser.add_argument("scenes", type=json.loads)
    asked = parser.parse_args()
    _record_scenes(asked.folder, read(asked.settings), record, set(asked.scenes))
