"""What it costs that a decoder can be killed: milliseconds per clip, in the process itself and in one that is kept.

python benchmarks/deadline.py                            # the sample, made when it is not there
python benchmarks/deadline.py --root FOLDER --num-frames 32
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from datamodules.killable import KillableProcess
from datamodules.videos import Videos

NO_DEADLINE_S = 600.0


def milliseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - began)


def show(title: str, times: Sequence[float]) -> None:
    least, quarter, half = np.quantile(times, (0, 0.25, 0.5))
    print(f"{title:<40} least {least:7.2f}  quartile {quarter:7.2f}  median {half:7.2f} ms", flush=True)


def measure(options: argparse.Namespace) -> None:
    """Read clips in turn with and without the process, then let it return frames that need no reading."""
    datamodule = Videos(options.root, cache=options.cache, num_frames=options.num_frames, num_workers=0)
    datamodule.prepare_data()
    datamodule.setup("fit")
    data = datamodule.train_data
    process = KillableProcess(data.decode, NO_DEADLINE_S)
    here, there = [], []
    for visit in range(options.clips):
        place = visit % len(data.sources)
        facts = data.sources[place].facts
        frames = np.arange(min(options.num_frames, facts.frame_count))
        size = len(frames) * facts.height * facts.width * 3
        here.append(milliseconds(lambda: data.decode(place, frames)))  # noqa: B023 - called at once
        there.append(milliseconds(lambda: process.call(place, frames, path=facts.path, nbytes=size)))  # noqa: B023
    show("read in this process", here)
    show("read in a process that can be killed", there)
    for height, width in ((160, 240), (480, 856)):
        clip = np.zeros((options.num_frames, height, width, 3), dtype=np.uint8)
        alone = KillableProcess(lambda: clip, NO_DEADLINE_S)  # noqa: B023 - forked before the next clip
        times = [milliseconds(lambda: alone.call(path=Path("clip"), nbytes=clip.nbytes)) for _ in range(options.clips)]  # noqa: B023
        show(f"the way back alone, {options.num_frames}x{height}x{width}", times)
        alone.close()
    process.close()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="sample", help="folder of videos")
    parser.add_argument("--cache", default=os.environ.get("VIDZOO_DATA", "data"), help="folder of the index and sample")
    parser.add_argument("--num-frames", type=int, default=16)
    parser.add_argument("--clips", type=int, default=300, help="clips to read each way")
    measure(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
