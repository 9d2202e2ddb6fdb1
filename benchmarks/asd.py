"""Active speakers: coefficients of sound for all rows at once, and training on batches of face tracks.

Each section times two ways to the same result in turn, so that a change of the machine's speed meets both:

- ``mfcc``: the sound under a window of video, all rows at once against the formula applied frame by frame, as it is
  printed (a sum per filter and coefficient) and as a product with a matrix per frame;
- ``training``: whole steps on random tracks of unequal length, batched within a budget of frames against one track at a
  time, in frames per second; and the arithmetic of a batch, without recurrent layers, which nobody counts.

How fast windows are labelled is measured by asd_prepare.py.

    python benchmarks/asd.py                                                        # both, on the CPU
    python benchmarks/asd.py training --model talknet --device cuda --bfloat16 --budget 2500 --tracks 200
"""

import argparse
import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from lightning.fabric.utilities.throughput import get_available_flops
from pretraining_step import seconds
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from core.build import build
from core.command_line.zoo import CONF
from datamodules.frame_budget import FrameBudgetBatchSampler
from datamodules.sound.mfcc import FFT_SIZE, NUM_COEFFICIENTS, NUM_FILTERS, PRE_EMPHASIS, mel_filters, mfcc
from datamodules.sound.reading import SAMPLE_RATE
from models.asd_losses import track_losses

WINDOW_S, FPS = 15.0, 30.0  # of Ego4D
SHORTEST, LONGEST = 25, 250  # frames of the tracks that training is timed with: one to ten seconds
LIFTER = 22
TINY = np.finfo(np.float64).eps

Batch = dict[str, Tensor]


def make_model(name: str) -> nn.Module:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return build(compose(f"model/{name}").model, "model")


def rows_one_by_one(
    bands_of: Callable[[np.ndarray], np.ndarray], cepstrum_of: Callable[[np.ndarray], np.ndarray]
) -> Callable[[np.ndarray, int, float], np.ndarray]:
    """Make `datamodules.sound.mfcc.mfcc` that computes one row after the other, of functions of one row."""

    def compute(samples: np.ndarray, num_frames: int, fps: float) -> np.ndarray:
        window, step = round(SAMPLE_RATE * 0.025 * 25 / fps), SAMPLE_RATE / (4 * fps)
        sound = np.concatenate((samples[:1], samples[1:] - PRE_EMPHASIS * samples[:-1], np.zeros(window)))
        rows = []
        for j in range(4 * num_frames):
            start = int(np.floor(j * step + 0.5))
            power = np.abs(np.fft.rfft(sound[start : start + window], FFT_SIZE)) ** 2 / FFT_SIZE
            row = cepstrum_of(np.log(np.maximum(bands_of(power), TINY)))
            row[0] = np.log(max(power.sum(), TINY))
            rows.append(row)
        return np.stack(rows)

    return compute


ORDER, BAND = np.arange(NUM_COEFFICIENTS)[:, None], np.arange(NUM_FILTERS)
COSINES = np.cos(np.pi * ORDER * (2 * BAND + 1) / (2 * NUM_FILTERS)) * np.sqrt(2 / NUM_FILTERS)
LIFT = 1 + LIFTER / 2 * np.sin(np.pi * ORDER[:, 0] / LIFTER)
BY_FORMULA = rows_one_by_one(  # numpy sums up one filter, one coefficient
    lambda power: np.array([np.sum(weights * power) for weights in mel_filters()]),
    lambda bands: np.array([np.sum(bands * cosines) for cosines in COSINES]) * LIFT,
)
BY_FRAME = rows_one_by_one(lambda power: mel_filters() @ power, lambda bands: COSINES @ bands * LIFT)


def in_turn(ways: dict[str, Callable[[], None]], device: torch.device, count: int) -> dict[str, float]:
    """Median seconds of each way; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(count + 1):
        for name, way in ways.items():
            times[name].append(seconds(way, device))
    return {name: statistics.median(found[1:]) for name, found in times.items()}


def time_mfcc(args: argparse.Namespace) -> None:
    num_frames = round(WINDOW_S * FPS)
    samples = 3000 * np.random.default_rng(0).standard_normal(round(WINDOW_S * SAMPLE_RATE))
    functions = {"all at once": mfcc, "frame by frame, by matrices": BY_FRAME, "frame by frame, by formula": BY_FORMULA}
    ways = {name: partial(function, samples, num_frames, FPS) for name, function in functions.items()}
    differences = {name: np.abs(way() - ways["all at once"]()).max() for name, way in ways.items()}
    times = in_turn(ways, torch.device("cpu"), args.steps)
    print(f"mfcc: {WINDOW_S:g} s under {num_frames} frames, {4 * num_frames} rows, float64, median of {args.steps}")
    for name, time in times.items():
        ratio = f"{time / times['all at once']:5.1f} times as long, rows differ by {differences[name]:.0e}"
        print(f"  {name:28s} {time * 1e3:8.2f} ms, {ratio}")


def make_batch(lengths: list[int], face_size: int, device: torch.device) -> Batch:
    """Tracks of noise that all have the length of the shortest, with the keys that a step reads."""
    draws = torch.Generator().manual_seed(sum(lengths))
    size = (len(lengths), min(lengths))
    batch = {
        "faces": torch.randint(0, 256, (*size, face_size, face_size), generator=draws, dtype=torch.uint8),
        "audio": 10 * torch.randn(size[0], 4 * size[1], NUM_COEFFICIENTS, generator=draws),
        "seconds": (torch.arange(size[1], dtype=torch.float64) / FPS).repeat(size[0], 1),
        "boxes": torch.tensor([0.4, 0.3, 0.6, 0.6]).repeat(*size, 1),
        "target": torch.randint(0, 2, size, generator=draws),
    }
    return {name: value.to(device) for name, value in batch.items()}


def step(model: nn.Module, batch: Batch, precision: Callable[[], AbstractContextManager]) -> None:
    """Forward, loss and backward."""
    model.zero_grad(set_to_none=True)
    with precision():
        output = model(batch["faces"], batch["audio"], seconds=batch["seconds"], boxes=batch["boxes"])
    losses, weights = track_losses(output, batch["target"])
    (losses.sum() / weights.sum()).backward()


def frames_of(batches: list[Batch]) -> int:
    return sum(batch["target"].numel() for batch in batches)


def time_training(args: argparse.Namespace) -> None:
    device = torch.device(args.device)
    torch.manual_seed(0)
    model = make_model(args.model).to(device).train()
    lengths = np.random.default_rng(0).integers(SHORTEST, LONGEST + 1, args.tracks).tolist()
    dealt = FrameBudgetBatchSampler(lengths, args.budget)
    batched = [make_batch([visit.length for visit in visits], model.face_size, device) for visits in dealt]
    single = [make_batch([length], model.face_size, device) for length in lengths]
    precision = partial(torch.autocast, device.type, torch.bfloat16) if args.bfloat16 else nullcontext

    def epoch(batches: list[Batch]) -> None:
        for batch in batches:
            step(model, batch, precision)

    ways = {"batched": partial(epoch, batched), "one at a time": partial(epoch, single)}
    times = in_turn(ways, device, args.steps)
    speeds = {name: frames_of(each) / times[name] for name, each in zip(times, (batched, single), strict=True)}
    kind = "bfloat16" if args.bfloat16 else "float32"
    print(f"training: {args.model} on {device}, {kind}, {args.tracks} tracks, median of {args.steps} epochs")
    for (name, speed), batches in zip(speeds.items(), (batched, single), strict=True):
        print(f"  {name:14s} {len(batches):4d} batches, {frames_of(batches):6d} frames, {speed:8.1f} frames/s")
    print(f"  batched / one at a time: {speeds['batched'] / speeds['one at a time']:.2f}")

    largest = max(batched, key=lambda batch: batch["target"].numel())
    with FlopCounterMode(display=False) as counter:
        step(model, largest, precision)
    flops = counter.get_total_flops()
    seconds_of_step = in_turn({"step": partial(step, model, largest, precision)}, device, args.steps)["step"]
    peak = None
    if device.type == "cuda":
        peak = get_available_flops(device, torch.bfloat16 if args.bfloat16 else torch.float32)
    speed = f"{flops / seconds_of_step / 1e12:.3f} TFLOP/s" + (
        f", MFU {flops / seconds_of_step / peak:.1%}" if peak else ""
    )
    shape = tuple(largest["faces"].shape)
    print(
        f"  step on {shape}: {seconds_of_step * 1e3:.1f} ms, {flops / 1e9:.1f} GFLOPs, "
        f"{flops / frames_of([largest]) / 1e9:.3f} GFLOPs per frame, {speed}"
    )


SECTIONS = {"mfcc": time_mfcc, "training": time_training}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}; all when none is named")
    parser.add_argument("--model", default="talknet_mrope_tiny", help="a config of conf/model for face tracks")
    parser.add_argument("--device", default="cpu", help="of training: cpu, cuda, ...")
    parser.add_argument("--budget", type=int, default=500, help="frames per batch; 2500 as published, for GPUs")
    parser.add_argument("--tracks", type=int, default=12, help="tracks of an epoch")
    parser.add_argument("--bfloat16", action="store_true", help="autocast to bfloat16 in training")
    parser.add_argument("--steps", type=int, default=3, help="timed rounds; the median counts")
    args = parser.parse_args()
    for name in args.sections:
        if name not in SECTIONS:
            parser.error(f"expected {' or '.join(SECTIONS)}, found {name}")
    for name in args.sections or SECTIONS:
        SECTIONS[name](args)


if __name__ == "__main__":
    main()
