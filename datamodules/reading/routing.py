"""Which backend reads a video: the fastest one that is exact on it."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from importlib.util import find_spec

from datamodules.reading.facts import VideoFacts

BACKENDS = ("decord", "torchcodec", "pyav")

# Where decord 0.6 returned the right frame at every random access to files with burnt-in counters (tests/datamodules/
# test_reading_exactness.py). Elsewhere it is wrong without an error: MPEG-TS, MPEG-PS, ASF, AVI with B frames.
EXACT_CONTAINERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"})
EXACT_CODECS = frozenset({"h264", "hevc", "mjpeg", "mpeg4", "vp9"})


def route(facts: VideoFacts) -> tuple[str, str]:
    """Choose the backend of a video, and say why it is not decord.

    Returns:
        Name of the backend (``frames`` for a frame folder), and the reason; it is empty for decord and frame folders.
    """
    if facts.kind == "frames":
        return "frames", ""
    reasons = {
        f"{facts.codec.upper()}": facts.codec not in EXACT_CODECS,
        f"container {facts.container}": facts.container not in EXACT_CONTAINERS,
        "open GOP": facts.open_gop,
        "edit list": facts.edit_list,
        "no presentation times": facts.clock != "pts",
        "decord not installed": find_spec("decord") is None,
    }
    reason = next((reason for reason, applies in reasons.items() if applies), "")
    return ("pyav" if reason else "decord"), reason


def choose_backend(facts: VideoFacts, backend: str = "auto") -> str:
    """Name the backend that will read a video.

    Args:
        facts: What the probe found out about it.
        backend: ``auto`` for the fastest that is exact on it, or the one that must be used for video files; a frame
            folder is read as one in any case.

    Raises:
        ValueError: When there is no backend of this name.
    """
    if backend not in ("auto", *BACKENDS):
        raise ValueError(f"backend: expected one of auto, {', '.join(BACKENDS)}, got {backend!r}")
    return route(facts)[0] if backend == "auto" or facts.kind == "frames" else backend


def describe_routes(facts: Iterable[VideoFacts], backend: str = "auto") -> str:
    """Count what is read with which backend, for the log: ``24 videos: decord 20, pyav 4 (open GOP 3, AV1 1)``."""
    chosen: dict[str, Counter[str]] = defaultdict(Counter)
    for video in facts:
        reason = route(video)[1] if backend == "auto" else ""
        chosen[choose_backend(video, backend)][reason] += 1
    parts = []
    for name, reasons in sorted(chosen.items(), key=lambda item: -sum(item[1].values())):
        why = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common() if reason)
        parts.append(f"{name} {sum(reasons.values())}" + (f" ({why})" if why else ""))
    total = sum(sum(reasons.values()) for reasons in chosen.values())
    return f"{total} video{'s' if total != 1 else ''}: {', '.join(parts) or 'nothing to read'}"
