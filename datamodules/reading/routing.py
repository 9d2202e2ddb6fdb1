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


def why_inexact(facts: VideoFacts, backend: str) -> str:
    """Say why a backend may return other frames than were asked for; empty when it is exact, as PyAV always is.

    torchcodec is also wrong on intra refresh, which the probe does not tell from an open GOP, where it is exact.
    """
    if facts.kind == "frames" or backend == "pyav":
        return ""
    reasons = {
        f"container {facts.container}": facts.container not in EXACT_CONTAINERS,
        "no presentation times": facts.clock != "pts",
    }
    if backend == "decord":
        reasons |= {
            facts.codec.upper(): facts.codec not in EXACT_CODECS,
            "open GOP": facts.open_gop,
            "edit list": facts.edit_list,
        }
    return next((reason for reason, applies in reasons.items() if applies), "")


def route(facts: VideoFacts, backend: str = "auto") -> tuple[str, str]:
    """Choose the backend of a video, and say what there is to say about the choice.

    Args:
        facts: What the probe found out about it.
        backend: ``auto`` for decord where it is exact and PyAV elsewhere, or the one that must be used for video files;
            a frame folder is read as one in any case.

    Returns:
        Name of the backend, ``frames`` for a frame folder; and why it is not decord (``auto``), or why it may return
        wrong frames (a backend that was asked for), else an empty string.

    Raises:
        ValueError: When there is no backend of this name.
    """
    if backend not in ("auto", *BACKENDS):
        raise ValueError(f"backend: expected one of auto, {', '.join(BACKENDS)}, found {backend!r}")
    if facts.kind == "frames":
        return "frames", ""
    if backend != "auto":
        reason = why_inexact(facts, backend)
        return backend, f"may be wrong: {reason}" if reason else ""
    reason = why_inexact(facts, "decord") or ("" if find_spec("decord") else "decord not installed")
    return ("pyav" if reason else "decord"), reason


def choose_backend(facts: VideoFacts, backend: str = "auto") -> str:
    """Name the backend that will read a video; see ``route``."""
    return route(facts, backend)[0]


def in_order(backend: str) -> str:
    """Name the backend that reads whole videos from beginning to end, where ``auto`` leaves the choice.

    PyAV: it is exact on everything, takes half the processor time of decord there, and no more memory for a long video
    than for a short one; decord keeps some of every frame that it has passed, and decodes on while a model computes.
    """
    return "pyav" if backend == "auto" else backend


def describe_routes(facts: Iterable[VideoFacts], backend: str = "auto") -> str:
    """Count what is read with which backend, for the log: ``24 videos: decord 20, pyav 4 (open GOP 3, AV1 1)``."""
    chosen: dict[str, Counter[str]] = defaultdict(Counter)
    for video in facts:
        name, reason = route(video, backend)
        chosen[name][reason] += 1
    counts = {name: sum(reasons.values()) for name, reasons in chosen.items()}
    parts = []
    for name in sorted(counts, key=counts.__getitem__, reverse=True):
        why = ", ".join(f"{reason} {count}" for reason, count in chosen[name].most_common() if reason)
        parts.append(f"{name} {counts[name]}" + (f" ({why})" if why else ""))
    total = sum(counts.values())
    return f"{total} video{'' if total == 1 else 's'}: {', '.join(parts) or 'nothing to read'}"
