"""The videos of one run: under way, written, failed; on one process, and at the end on all of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from callbacks.feature_files import FeatureFolder
from callbacks.feature_rows import VideoRows, clips_of
from callbacks.pace import Counts, Pace, joint

NEVER_CAME = "no clip of it came"
_OVERFLOW = "; float16 ends at 65504, callbacks.features.dtype=float32 does not"


class FeatureRun:
    """Write every video whose last clip has come, and forget it.

    Args:
        files: Where they go.
        sources: What each video is made from, by name.
        facts: What the sidecars of all videos say (``recipe``, ``versions``).
        skipped: Videos that are there; their clips may come and are not looked at.
    """

    def __init__(
        self, files: FeatureFolder, sources: Mapping[str, dict], facts: Mapping[str, Any], skipped: Collection[str]
    ) -> None:
        self.files, self.sources, self.facts = files, sources, facts
        self.pace = Pace()
        self._skipped = frozenset(skipped)
        self._under_way: dict[str, VideoRows] = {}
        self._done: dict[str, None] = {}
        self._failed: dict[str, tuple[str, str]] = {}  # path and reason by name

    def take(self, batch: Mapping[str, Any], features: Tensor, axes: tuple[str, ...]) -> int:
        """Take in a batch and write what it completes.

        Args:
            batch: Clips, and under ``failed`` the videos that could not be read.
            features: (B, ...) on the CPU, pooled.
            axes: Names of the axes of the features of a clip.

        Raises:
            ValueError: When a clip came twice, or is of a video that nobody expects.

        Returns:
            Number of videos written.
        """
        before = len(self._done)
        for name, path, reason in batch.get("failed", ()):
            self._fail(name, str(path), reason)
        for clip in clips_of(batch, features):
            self.pace.counts.clips += 1
            if clip.video in self._skipped or clip.video in self._failed:
                continue
            if clip.video not in self.sources:
                raise ValueError(f"{clip.video}: in a batch, but not in feature_sources() of the datamodule")
            if clip.video in self._done:
                raise ValueError(f"{clip.video}: row {clip.row} came after the last one; a sampler repeats clips")
            if clip.video not in self._under_way:
                self._under_way[clip.video] = VideoRows(clip)
            video = self._under_way[clip.video]
            video.add(clip)
            if video.count == video.total:
                self._write(clip.video, self._under_way.pop(clip.video), axes)
        return len(self._done) - before

    def outcome(self) -> dict[str, Any]:
        """What became of the videos of this process, as JSON."""
        return {
            "done": list(self._done),
            "failed": self._failed,
            "unfinished": {
                name: f"{video.count} of {video.total} clips came" for name, video in self._under_way.items()
            },
            "counts": asdict(self.pace.counts),
        }

    def _write(self, name: str, video: VideoRows, axes: tuple[str, ...]) -> None:
        array, source = video.array(), self.sources[name]
        if not np.isfinite(array).all():
            hint = _OVERFLOW if array.dtype == np.float16 else ""
            self._fail(name, source["path"], f"features that are NaN or infinite{hint}")
            return
        axes = ("row", *(("view",) if array.ndim > 1 + len(axes) else ()), *axes)
        self.files.write(name, array, axes, {"source": source, "rows": video.spans(), **self.facts})
        self._done[name] = None
        self.pace.counts.videos += 1
        self.pace.counts.frames += source["frames"]

    def _fail(self, name: str, path: str, reason: str) -> None:
        if name not in self._skipped:
            self._under_way.pop(name, None)
            self._failed[name] = (path, reason)


class Conclusion(NamedTuple):
    """What became of all videos.

    Attributes:
        manifest: ``done``, ``skipped`` and ``failed`` videos.
        left: Videos that were not finished because only a part of the run was asked for.
        counts: What was done, on all processes together.
    """

    manifest: dict[str, list]
    left: int
    counts: Counts


def conclude(
    outcomes: Sequence[Mapping[str, Any]],
    sources: Mapping[str, dict],
    skipped: Collection[str],
    in_part: bool,
) -> Conclusion:
    """Put together what all processes did.

    Args:
        outcomes: Of `FeatureRun.outcome`, one per process.
        sources: All videos.
        skipped: Those that were there.
        in_part: Whether the run was told not to go through all batches: then what it did not finish has not failed.
    """
    done = {name for outcome in outcomes for name in outcome["done"]}
    failed = {name: found for outcome in outcomes for name, found in outcome["failed"].items() if name not in done}
    unfinished = {name: why for outcome in outcomes for name, why in outcome["unfinished"].items()}
    rest = [name for name in sources if name not in done and name not in skipped and name not in failed]
    if not in_part:
        failed |= {name: (sources[name]["path"], unfinished.get(name, NEVER_CAME)) for name in rest}
    manifest = {
        "done": sorted(done),
        "skipped": sorted(skipped),
        "failed": [{"video": name, "path": path, "reason": reason} for name, (path, reason) in sorted(failed.items())],
    }
    return Conclusion(manifest, len(rest) if in_part else 0, joint([outcome["counts"] for outcome in outcomes]))
