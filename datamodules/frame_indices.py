"""Which frames a clip is made of: pure functions of the video's length and of numbers drawn elsewhere.

Frames are counted from zero; data sets of numbered images that start at one pass ``first=1``. The functions for
fine-tuning and evaluation choose exactly what the data sets of VideoMAE V2 (Wang et al., 2023; OpenGVLab/VideoMAEv2)
choose, so that published numbers can be reproduced.
"""

from collections.abc import Sequence

import numpy as np

# The rounding of a container's clock must not push a frame past the moment at which it is asked for.
CLOCK_SLACK_S = 1e-4

# What becomes of the frames behind the last sliding window that lies wholly inside a video.
TAILS = ("pad", "drop", "overlap")


def count_starts(frame_count: int, num_frames: int, step: int) -> int:
    """Count the frames at which a pretraining clip may start (0, 1, ...); one is drawn uniformly in training.

    A clip takes up ``num_frames * step`` frames, with the gap behind its last frame. A shorter video has one start.
    """
    return max(frame_count - num_frames * step, 0) + 1


def count_timed_starts(times: Sequence[float] | np.ndarray, num_frames: int, step_s: float) -> int:
    """Count the frames at which a clip of ``num_frames * step_s`` seconds may start; ``count_starts`` in seconds.

    Args:
        times: Presentation time of every frame in seconds, increasing; the last frame is taken to last as long as the
            mean one.
        num_frames: T, frames of the clip.
        step_s: Seconds between two frames of the clip.
    """
    times = np.asarray(times, dtype=np.float64)
    end = times[-1] + (times[-1] - times[0]) / max(len(times) - 1, 1)
    return max(int(np.searchsorted(times, end - num_frames * step_s + CLOCK_SLACK_S, side="right")), 1)


def strided_clip(start: int, frame_count: int, num_frames: int, step: int) -> np.ndarray:
    """Take every ``step``-th frame from ``start``; behind the end, repeat the last frame that was reached.

    Args:
        start: Index of the first frame.
        frame_count: Frames of the video.
        num_frames: T, frames of the clip.
        step: Distance between two frames of the clip.

    Returns:
        int64 (T,), indices in [0, frame_count).
    """
    check(frame_count, num_frames, step)
    reachable = (frame_count - 1 - start) // step
    return start + step * np.minimum(np.arange(num_frames), reachable)


def timed_clip(start: int, times: Sequence[float] | np.ndarray, num_frames: int, step_s: float) -> np.ndarray:
    """Take the frames that are on screen every ``step_s`` seconds from frame ``start``; behind the end, the last one.

    Args:
        start: Index of the first frame.
        times: Presentation time of every frame in seconds, increasing; the rate may vary.
        num_frames: T, frames of the clip.
        step_s: Seconds between two frames of the clip. Below the distance of the video's frames, frames repeat.

    Returns:
        int64 (T,), indices in [0, len(times)).
    """
    check(len(times), num_frames, step_s)
    times = np.asarray(times, dtype=np.float64)
    moments = times[start] + step_s * np.arange(num_frames)
    return np.searchsorted(times, moments + CLOCK_SLACK_S, side="right") - 1


def centred_clip(at_s: float, times: Sequence[float] | np.ndarray, num_frames: int, step_s: float) -> np.ndarray:
    """Take the frames that are on screen every ``step_s`` seconds around a moment, which frame T // 2 shows.

    Before the first frame of the video it is that one, and behind the last one that one, as in facebookresearch/
    SlowFast; Siyu-C/ACAR-Net begins again at the first frame of its excerpt instead, which no key frame of AVA needs.

    Args:
        at_s: The moment, on the clock of ``times``.
        times: Time of every frame in seconds, increasing; the rate may vary.
        num_frames: T, frames of the clip.
        step_s: Seconds between two frames of the clip.

    Returns:
        int64 (T,), indices in [0, len(times)).
    """
    check(len(times), num_frames, step_s)
    moments = at_s + step_s * (np.arange(num_frames) - num_frames // 2)
    shown = np.searchsorted(np.asarray(times, dtype=np.float64), moments + CLOCK_SLACK_S, side="right") - 1
    return shown.clip(0, len(times) - 1)


def even_starts(num_starts: int, num_clips: int) -> np.ndarray:
    """Spread the starts of evaluation clips over the possible ones: the middles of ``num_clips`` equal parts.

    Args:
        num_starts: Possible starts, 0 to ``num_starts - 1``.
        num_clips: K, clips per video.

    Returns:
        int64 (K,), increasing.
    """
    return (2 * np.arange(num_clips) + 1) * (num_starts - 1) // (2 * num_clips)


def dense_clip(frame_count: int, num_frames: int, step: int, start: int | None = None) -> np.ndarray:
    """Choose the frames of a fine-tuning clip: T frames spread evenly over ``num_frames * step`` of the video.

    The frames come from a linear spacing, so that gaps vary by one. A video that is not longer than the clip gives
    ``frame_count // step`` frames over its whole length, then its last frame.

    Args:
        frame_count: Frames of the video.
        num_frames: T, frames of the clip.
        step: Mean distance of two frames.
        start: First frame, in [0, frame_count - num_frames * step), drawn by the caller in training; None takes the
            middle of the video, as in validation.

    Returns:
        int64 (T,), indices in [0, frame_count).
    """
    check(frame_count, num_frames, step)
    span = num_frames * step
    if frame_count <= span:
        spread = np.linspace(0, frame_count, frame_count // step)
        indices = np.concatenate((spread, np.full(num_frames - len(spread), frame_count)))
        return np.clip(indices, 0, frame_count - 1).astype(np.int64)
    start = (frame_count + span) // 2 - span if start is None else start
    return np.clip(np.linspace(start, start + span, num_frames), start, start + span - 1).astype(np.int64)


def dense_grid(frame_count: int, num_frames: int, step: int) -> np.ndarray:
    """Choose the frames that the temporal views of a test video share: every ``step``-th one of the whole video.

    Args:
        frame_count: Frames of the video.
        num_frames: T, frames of a clip; a shorter grid is continued by its last frame.
        step: Distance of two frames.

    Returns:
        int64 (n,) with n >= T, indices in [0, frame_count).
    """
    check(frame_count, num_frames, step)
    grid = np.arange(0, frame_count, step)
    return np.pad(grid, (0, max(num_frames - len(grid), 0)), mode="edge")


def dense_views(frame_count: int, num_frames: int, step: int, num_views: int) -> np.ndarray:
    """Choose the frames of the temporal views of a test video, spread evenly from its first to its last clip.

    Args:
        frame_count: Frames of the video.
        num_frames: T, frames of a clip.
        step: Distance of two frames, see `dense_grid`.
        num_views: K, clips per video.

    Returns:
        int64 (K, T), indices in [0, frame_count).
    """
    grid = dense_grid(frame_count, num_frames, step)
    between = (len(grid) - num_frames) / (num_views - 1) if num_views > 1 else 0.0
    starts = [int(view * between) for view in range(num_views)]
    return np.stack([grid[start : start + num_frames] for start in starts])


def segment_clip(
    frame_count: int, num_frames: int, offsets: Sequence[int] | np.ndarray | None = None, first: int = 0
) -> np.ndarray:
    """Choose one frame from each of T equal segments of the whole video (sparse sampling, Wang et al., TSN 2016).

    Args:
        frame_count: Frames of the video. With fewer than T, the first frame is repeated in front.
        num_frames: T, frames of the clip.
        offsets: Place of each frame within its segment, (T,) in [0, frame_count // num_frames), drawn by the caller
            in training; None takes the middle of each segment, as in validation.
        first: Number of the first frame.

    Returns:
        int64 (T,), frame numbers in [first, first + frame_count).
    """
    check(frame_count, num_frames, 1)
    if frame_count < num_frames:
        return first + np.maximum(np.arange(frame_count - num_frames, frame_count), 0)
    length = frame_count // num_frames
    within = length // 2 if offsets is None else np.asarray(offsets, dtype=np.int64)
    return first + length * np.arange(num_frames) + within


def segment_views(frame_count: int, num_frames: int, num_views: int, first: int = 0) -> np.ndarray:
    """Choose the frames of the temporal views of sparse sampling at test time: K interleaved clips of T frames.

    Args:
        frame_count: Frames of the video.
        num_frames: T, frames of a clip.
        num_views: K, clips per video.
        first: Number of the first frame.

    Returns:
        int64 (K, T), frame numbers in [first, first + frame_count).
    """
    check(frame_count, num_frames, 1)
    length = frame_count / num_frames
    ticks = [
        int(view * length / num_views + length * place) for view in range(num_views) for place in range(num_frames)
    ]
    return first + np.sort(np.asarray(ticks, dtype=np.int64)).reshape(num_frames, num_views).T


def window_starts(frame_count: int, window: int, stride: int, tail: str = "drop") -> np.ndarray:
    """List the starts of the sliding windows of a video, as feature extractors take them.

    Args:
        frame_count: N, frames of the video.
        window: L, consecutive frames of a window.
        stride: s, frames between two starts.
        tail: What becomes of frames behind the last window that fits. ``drop``: nothing, and a video that is shorter
            than a window has none. ``pad``: one more window begins s frames on and lacks frames, which the caller
            completes (``strided_clip``). ``overlap``: it begins at N - L instead and lacks none, unless N < L.

    Returns:
        int64 (n,), increasing, empty for a video without frames. Else n is max(floor((N - L) / s) + 1, 0) for ``drop``
        and max(ceil((N - L) / s), 0) + 1 for the others.

    Raises:
        ValueError: When there is no such rule.
    """
    if tail not in TAILS:
        raise ValueError(f"tail: expected one of {', '.join(TAILS)}, found {tail!r}")
    if tail == "drop" or frame_count < 1:
        return np.arange(0, max(frame_count - window + 1, 0), stride)
    last = max(frame_count - window, 0)
    starts = np.arange(0, last + stride, stride)
    return starts if tail == "pad" else np.minimum(starts, last)


def check(frame_count: int, num_frames: int, step: float) -> None:
    """Refuse numbers for which no clip exists.

    Raises:
        ValueError: When a video has no frames, or a clip has none, or does not move forward.
    """
    if frame_count < 1 or num_frames < 1 or step <= 0:
        raise ValueError(f"no clip of {num_frames} frames at step {step} exists in a video of {frame_count} frames")
