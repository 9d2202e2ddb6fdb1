"""Which backend reads a video: the fastest one that is exact on it."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from datamodules.reading.facts import VideoFacts

BACKENDS = ("decord", "torchcodec", "pyav", "frames")


def route(facts: VideoFacts) -> tuple[str, str]:
    """Choose the backend of a video, and say why it is not decord.

    decord is exact on everything but what is listed here; what it gets wrong it gets wrong silently.

    Returns:
        Name of the backend, and the reason; the reason is empty for decord and for frame folders.
    """
    if facts.kind == "frames":
        return "frames", ""
    reasons = (
        (facts.codec == "av1", "AV1"),
        (facts.open_gop, "open GOP"),
        (facts.edit_list, "edit list"),
    )
    for applies, reason in reasons:
        if applies:
            return "pyav", reason
    return "decord", ""


def choose_backend(facts: VideoFacts, backend: str = "auto") -> str:
    """Name the backend that will read a video.

    Args:
        facts: What the probe found out about it.
        backend: ``auto``, or the backend that must be used for video files; a frame folder is always read as one.

    Raises:
        ValueError: When there is no backend of this name.
    """
    if backend != "auto" and backend not in BACKENDS:
        raise ValueError(f"backend: expected one of auto, {', '.join(BACKENDS)}, got {backend!r}")
    return route(facts)[0] if backend == "auto" or facts.kind == "frames" else backend


def describe_routes(facts: Iterable[VideoFacts], backend: str = "auto") -> str:
    """Count what is read with which backend, for the log: ``24 videos: decord 20, pyav 4 (open GOP 3, AV1 1)``."""
    chosen: dict[str, Counter[str]] = defaultdict(Counter)
    for video in facts:
        name = choose_backend(video, backend)
        chosen[name][route(video)[1] if backend == "auto" else ""] += 1
    parts = []
    for name, reasons in sorted(chosen.items(), key=lambda item: -item[1].total()):
        why = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common() if reason)
        parts.append(f"{name} {reasons.total()}" + (f" ({why})" if why else ""))
    total = sum(reasons.total() for reasons in chosen.values())
    return f"{total} video{'s' * (total != 1)}: {', '.join(parts)}"
