"""Seconds until the command line answers: the zoo, and wrong options.

python benchmarks/startup.py
"""

import subprocess
import sys
from pathlib import Path
from time import perf_counter

REPOSITORY = Path(__file__).resolve().parents[1]
LINES = (
    "",
    "--help",
    "task=focusmea",
    "task=focusmae optim.lrr=1",
    "task=focusmae optim.lr=fast",
    "task=focusmae trainer.precision=16-mixd",
    "task=focusmae model=vit_b",
    "-m task=focusmae optim.lr=1e-3,3e-4,fast",
)
REPEATS = 3


def seconds(arguments: list[str]) -> float:
    """Shortest of a few runs."""
    durations = []
    for _ in range(REPEATS):
        start = perf_counter()
        subprocess.run([sys.executable, "train.py", *arguments], cwd=REPOSITORY, capture_output=True)
        durations.append(perf_counter() - start)
    return min(durations)


def main() -> None:
    """Print one line per command line."""
    for line in LINES:
        print(f"{seconds(line.split()):5.2f} s  python train.py {line}", flush=True)


if __name__ == "__main__":
    main()
