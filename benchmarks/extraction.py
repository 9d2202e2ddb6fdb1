"""Features of whole videos: task=features beside one window at a time, both from mp4 to features in one run.

python benchmarks/extraction.py                                         # a quarter of an hour on two CPU cores
python benchmarks/extraction.py --frames-of 856x480 --strides 4 --clips 28
python benchmarks/extraction.py --size tiny --image-size 112 --precision 32-true bf16-mixed

The naive way is the published one (OpenGVLab/VideoMAEv2, extract_tad_feature.py): for every window its 16 frames are
read by random access from the open file (decord), resized as floats, and passed through the model as a batch of one, in
float32, whose attention holds the whole matrix of weights in memory, as that of the published model does
(modeling_finetune.py; with ``--naive-attention fused`` it is torch's). It is timed on windows spread evenly over the
film, since what a seek costs depends on the distance to the last key frame; before each, the window before it is read
without being timed, so that every seek is the one that a walk through all windows makes there. It has a process of its
own, whose memory is managed as that of any script is.

The fast way is Lightning's prediction with what task=features is made of: the datamodule with its windows, the task,
``trainer.precision``, and memory kept as train.py keeps it. Its time is all of ``Trainer.predict`` with the index of
the videos at hand. ``alone`` is the same prediction of a batch that lies in memory: what the model costs without any
data, and so the largest ratio that any way of the data could reach (``bound``), but for the noise of the machine.
At 32-true the fast way can win decoding and resizing alone, and what batches are worth; what bf16-true has beyond that
comes from the number format.
Largest differences are those of features from equally resized frames, as a share of the largest naive feature.

The film is a drifting patch before a still picture, with the noise of a sensor, in H.264 at the rate of a calm scene
and with x264's distance of key frames. Naive and fast take turns; ``--rounds`` repeats all of it and takes medians.
On a machine that others use, times of the wall say nothing: ``OMP_NUM_THREADS=1`` and ``--clock cpu`` count the seconds
that processors spent instead, in which decoding beside the model is not free.
"""

import argparse
import copy
import functools
import logging
import multiprocessing
import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from statistics import median

import av
import numpy as np
import torch
from lightning import Trainer
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from core.memory import keep_freed_memory
from core.precision import keep_exact
from datamodules.frame_indices import window_starts
from datamodules.normalization import statistics
from datamodules.reading import open_video, probe
from datamodules.videos import Videos
from datamodules.windows import Windows
from models.vit import VisionTransformer
from tasks.features import FeatureExtraction

SIZES = {"tiny": (192, 4, 3), "small": (384, 12, 6), "base": (768, 12, 12)}  # width, blocks, heads
WINDOW = 16
NUM_FRAMES = 512
GOP = 250  # frames between two key frames: what x264 does unless told otherwise
FPS = 24
BITS_PER_PIXEL = 0.07  # of calm scenes; K. Amerasinghe, "H.264 for the rest of us" (Adobe, 2010)
ALONE = 10  # batches that measure the model by itself
SENSOR_NOISE = 4.0  # standard deviation, of 255


def cpu_seconds() -> float:
    """Seconds that all threads of this process and its ended children have computed."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


CLOCKS = {"wall": time.perf_counter, "cpu": cpu_seconds}


def film(path: Path, height: int, width: int) -> None:
    """Write the film."""
    random = np.random.default_rng(0)
    still = random.integers(0, 255, (height // 8, width // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1).astype(np.int16)
    noise = random.normal(0, SENSOR_NOISE, (2 * height, 2 * width, 1)).round().astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"g": str(GOP)})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.bit_rate = round(BITS_PER_PIXEL * height * width * FPS)
        for number in range(NUM_FRAMES):
            frame, left = still.copy(), 4 * number % (width - 64)
            frame[100:228, left : left + 64] = 255 - frame[100:228, left : left + 64]
            top, begin = random.integers(height), random.integers(width)
            frame = (frame + noise[top : top + height, begin : begin + width]).clip(0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


class WholeMatrix(nn.Module):
    """Attention as the published model computes it: the weights of all heads in memory at once."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, *_: object) -> Tensor:
        """Mix values (B, heads, N, d), without dropout."""
        return (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(-1) @ v


def published(model: VisionTransformer) -> VisionTransformer:
    """Copy a model, with the attention of the published one."""
    model = copy.deepcopy(model)
    for block in model.blocks:
        block.attn.dot_product = WholeMatrix()
    return model


@torch.inference_mode()
def naive(
    video: Path, model: VisionTransformer, stride: int, places: Sequence[int], clock: str
) -> tuple[Tensor, list[float]]:
    """Make the features (n, D) of the windows at ``places``; also the seconds of reading, resizing, model for one."""
    facts, rows, seconds = probe(video), [], []
    center, spread = (value.view(3, 1, 1, 1) for value in statistics("imagenet"))
    starts, read_clock = window_starts(facts.frame_count, WINDOW, stride, "drop").tolist(), CLOCKS[clock]
    with open_video(facts, "decord") as reader:
        for place in places:
            if place:
                reader.read(range(starts[place - 1], starts[place - 1] + WINDOW))
            times = [read_clock()]
            decoded = reader.read(range(starts[place], starts[place] + WINDOW))
            times.append(read_clock())
            frames = torch.from_numpy(decoded).permute(0, 3, 1, 2) / 255
            frames = functional.interpolate(frames, model.image_size, mode="bilinear", align_corners=False)
            clip = (frames.transpose(0, 1) - center) / spread
            times.append(read_clock())
            rows.append(model(clip[None]))
            times.append(read_clock())
            seconds.append(np.diff(times))
    return torch.cat(rows), np.mean(seconds, 0).tolist()


def predict(
    model: VisionTransformer, precision: str, clock: Callable[[], float], **data: object
) -> tuple[Tensor, float]:
    """Make features (n, D) as task=features does; also the seconds for one."""
    trainer = Trainer(
        accelerator="cpu",
        precision=precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_predict_batches=data.pop("batches"),
    )
    keep_exact(trainer, getattr(data.get("datamodule"), "exact", ()))
    task = FeatureExtraction(copy.deepcopy(model))  # a half precision converts it
    began = clock()
    rows = torch.cat(trainer.predict(task, **data)).float()
    return rows, (clock() - began) / len(rows)


def fast(
    folder: Path, model: VisionTransformer, precision: str, windows: Windows, options: argparse.Namespace
) -> tuple[Tensor, float]:
    """Make the features (n, D) of the first windows of the film; also the seconds for one."""
    datamodule = Videos(
        *(str(folder), None, str(folder / "cache")),
        num_frames=WINDOW,
        frame_step=1,
        image_size=model.image_size,
        batch_size=options.batch_size,
        num_workers=options.num_workers,
        windows=windows,
    )
    return predict(
        model, precision, CLOCKS[options.clock], datamodule=datamodule, batches=options.clips // options.batch_size
    )


def alone(model: VisionTransformer, precision: str, options: argparse.Namespace) -> float:
    """Seconds for one clip of a batch in memory."""
    batch = {"video": torch.randn(options.batch_size, 3, WINDOW, *model.image_size)}
    return predict(
        model, precision, CLOCKS[options.clock], dataloaders=DataLoader([batch] * ALONE, batch_size=None), batches=ALONE
    )[1]


def compare(folder: Path, model: VisionTransformer, stride: int, other: Executor, options: argparse.Namespace) -> None:
    """Print the lines of one film and stride; the naive way runs in another process."""
    theirs = published(model) if options.naive_attention == "published" else model
    naively = functools.partial(other.submit, naive, folder / "video.mp4", theirs, stride, clock=options.clock)
    count = len(window_starts(NUM_FRAMES, WINDOW, stride, "drop"))
    spread = np.linspace(1, count - 1, options.naive_clips).round().astype(int).tolist()
    first = argparse.Namespace(**vars(options) | {"clips": options.batch_size})
    same, _ = naively(places=range(first.clips)).result()
    apart = {}
    for precision in options.precision:
        rows, _ = fast(folder, model, precision, Windows(stride, "drop", "squash", "float"), first)
        apart[precision] = float((rows - same).abs().max() / same.abs().max())
    slow, quick, still = [], {name: [] for name in options.precision}, {name: [] for name in options.precision}
    for _ in range(options.rounds):
        slow.append(naively(places=spread).result()[1])
        for precision in options.precision:
            quick[precision].append(fast(folder, model, precision, Windows(stride), options)[1])
            still[precision].append(alone(model, precision, options))
    parts = np.median(slow, 0)
    began = f"{folder.name:>9} {stride:>6}"
    shares = "reading {:.2f}, resizing {:.2f}, model {:.2f} s a window".format(*parts)
    print(f"{began} {'naive':>10} {1 / parts.sum():>8.2f} {'':>7} {'':>7} {'':>7}  {shares}", flush=True)
    for precision in options.precision:
        ratios = [total / own for total, own in zip(np.sum(slow, 1), quick[precision], strict=True)]
        bound = median(total / own for total, own in zip(np.sum(slow, 1), still[precision], strict=True))
        speeds = f"{1 / median(quick[precision]):>8.2f} {median(ratios):>6.1f}x"
        speeds = f"{speeds} {1 / median(still[precision]):>7.2f} {bound:>6.1f}x"
        found = f"ratios {min(ratios):.1f} to {max(ratios):.1f}, largest difference {apart[precision]:.0e}"
        print(f"{began} {precision:>10} {speeds}  {found}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--frames-of", nargs="+", default=["856x480", "1920x1080"], help="width x height of the films")
    parser.add_argument("--strides", type=int, nargs="+", default=[16, 4])
    parser.add_argument("--precision", nargs="+", default=["32-true", "bf16-true"], help="as trainer.precision")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--num-workers", type=int, default=0, help="two cores have none to spare for a loader")
    parser.add_argument("--clips", type=int, default=120, help="of the fast way, if the film has as many")
    parser.add_argument("--naive-clips", type=int, default=8, help="of each measurement of the naive way")
    parser.add_argument("--naive-attention", choices=("published", "fused"), default="published", help="fused: torch's")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: where others use the same cores")
    options = parser.parse_args()
    keep_freed_memory()  # as train.py does
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    dim, depth, num_heads = SIZES[options.size]
    torch.manual_seed(0)
    model = VisionTransformer(image_size=options.image_size, dim=dim, depth=depth, num_heads=num_heads).eval()
    print(f"ViT of width {dim} and depth {depth}, {options.image_size} pixels, {torch.get_num_threads()} threads")
    print(f"{'film':>9} {'stride':>6} {'precision':>10} {'clips/s':>8} {'ratio':>7} {'alone':>7} {'bound':>7}")
    apart = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    with tempfile.TemporaryDirectory() as name, apart as other:
        for size in options.frames_of:
            folder = Path(name) / size
            folder.mkdir()
            film(folder / "video.mp4", *(int(side) for side in reversed(size.split("x"))))
            for stride in options.strides:
                compare(folder, model, stride, other, options)


if __name__ == "__main__":
    main()
