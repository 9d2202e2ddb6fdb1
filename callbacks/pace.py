"""How fast features come, and whether the model waits for its data."""

from dataclasses import asdict, dataclass
from time import perf_counter


@dataclass
class Counts:
    """What was done.

    Attributes:
        videos: Videos written.
        clips: Clips computed, views counted one by one.
        frames: Frames of the videos written.
        elapsed_s: Seconds since the first batch was asked for.
        wait_s: Of these, spent waiting for a batch.
    """

    videos: int = 0
    clips: int = 0
    frames: int = 0
    elapsed_s: float = 0.0
    wait_s: float = 0.0


class Pace:
    """A clock beside the batches of one process; it starts when it is made."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._began = self._waiting_since = perf_counter()

    def batch_came(self) -> None:
        self.counts.wait_s += perf_counter() - self._waiting_since

    def batch_done(self) -> None:
        self._waiting_since = perf_counter()
        self.counts.elapsed_s = self._waiting_since - self._began


def joint(ranks: list[dict[str, float]]) -> Counts:
    """Counts of all ranks together; they worked at the same time, the slowest one longest."""
    counts = [Counts(**rank) for rank in ranks]
    total = {key: sum(asdict(one)[key] for one in counts) for key in ("videos", "clips", "frames")}
    elapsed_s = max(one.elapsed_s for one in counts)
    worked_s = sum(one.elapsed_s for one in counts)
    share = sum(one.wait_s for one in counts) / worked_s if worked_s else 0.0
    return Counts(**total, elapsed_s=elapsed_s, wait_s=share * elapsed_s)


def speeds(counts: Counts) -> str:
    """``0.85 videos/s, 38.7 clips/s, 620 frames/s, 3 % of the time waiting for data``."""
    if not counts.elapsed_s:
        return "nothing was computed"
    rates = ", ".join(f"{getattr(counts, key) / counts.elapsed_s:.3g} {key}/s" for key in ("videos", "clips", "frames"))
    return f"{rates}, {counts.wait_s / counts.elapsed_s:.0%} of the time waiting for data"
