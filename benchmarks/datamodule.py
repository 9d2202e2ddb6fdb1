"""Clips per second of a datamodule, by number of workers and of clips that share a decoding.

python benchmarks/datamodule.py                          # the sample, made when it is not there
python benchmarks/datamodule.py --root FOLDER --image-size 224 --workers 0 4 8
"""

import argparse
import itertools
import os
import time
from collections.abc import Sequence

import torch

from datamodules.videos import Videos


def clips_per_second(datamodule: Videos, seconds: float) -> float:
    """Take batches for some seconds, after a first one that starts the workers and is not counted."""
    loader = datamodule.train_dataloader()
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    next(batches)
    began, clips = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        clips += len(next(batches)["video"])
    return clips / (time.perf_counter() - began)


def make(options: argparse.Namespace, workers: int, clips: int) -> Videos:
    """Make the datamodule of one measurement."""
    return Videos(
        root=options.root,
        cache=options.cache,
        num_frames=options.num_frames,
        frame_step=options.frame_step,
        image_size=options.image_size,
        batch_size=options.batch_size,
        clips_per_video=clips,
        num_workers=workers,
    )


def measure(options: argparse.Namespace) -> dict[tuple[int, int], float]:
    """Measure every pair of workers and clips per video, and print it."""
    make(options, 0, 1).prepare_data()
    print(f"{'workers':>7}  {'clips per video':>15}  {'clips/s':>8}  {'ratio':>6}")
    measured: dict[tuple[int, int], float] = {}
    for workers, clips in itertools.product(options.workers, options.clips):
        datamodule = make(options, workers, clips)
        datamodule.setup("fit")
        measured[workers, clips] = clips_per_second(datamodule, options.seconds)
        ratio = measured[workers, clips] / measured[workers, options.clips[0]]
        print(f"{workers:>7}  {clips:>15}  {measured[workers, clips]:>8.1f}  {ratio:>5.2f}x", flush=True)
    return measured


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="sample", help="folder of videos")
    parser.add_argument("--cache", default=os.environ.get("VIDZOO_DATA", "data"), help="folder of the index and sample")
    parser.add_argument("--num-frames", type=int, default=16)
    parser.add_argument("--frame-step", type=int, default=2)
    parser.add_argument("--image-size", type=int, default=112)
    parser.add_argument("--batch-size", type=int, default=4, help="videos per batch")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--clips", type=int, nargs="+", default=[1, 4], help="clips per video")
    parser.add_argument("--seconds", type=float, default=5.0, help="per measurement")
    options = parser.parse_args(arguments)
    print(f"{os.cpu_count()} CPU cores, torch {torch.__version__}, {options}")
    measure(options)


if __name__ == "__main__":
    main()
