"""Features of whole videos: the data path of task=features beside one window at a time, from mp4 to features.

python benchmarks/extraction.py                               # ViT-S, 224 pixels, strides 16 and 4, 856x480
python benchmarks/extraction.py --size small --image-size 112 --strides 4 --precision bf16

The naive way is the published one (OpenGVLab/VideoMAEv2, extract_tad_feature.py): for every window its 16 frames are
decoded by random access into the open file, resized as floats, and passed through the model as a batch of one. Both
ways run in turn in this process and use the same model; the first rows of both are compared, with equal resizing.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from datamodules.frame_indices import window_starts
from datamodules.normalization import normalize, statistics
from datamodules.reading import open_video, probe
from datamodules.videos import Videos
from datamodules.windows import Windows
from models.vit import VisionTransformer

SIZES = {"tiny": (192, 4, 3), "small": (384, 12, 6), "base": (768, 12, 12)}  # width, blocks, heads
WINDOW = 16
GOP = 250  # frames between two key frames: what x264 does unless told otherwise
FPS = 24


def film(path: Path, num_frames: int, height: int, width: int) -> None:
    """Write a video of noise that drifts over a still picture, as H.264."""
    random = np.random.default_rng(0)
    still = random.integers(0, 255, (height // 8, width // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"g": str(GOP)})
        stream.height, stream.width, stream.pix_fmt = still.shape[0], still.shape[1], "yuv420p"
        for number in range(num_frames):
            frame = still.copy()
            left = 4 * number % (still.shape[1] - 64)
            frame[100:228, left : left + 64] = 255 - frame[100:228, left : left + 64]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def naive(video: Path, model: VisionTransformer, stride: int) -> Iterator[Tensor]:
    """Yield the features (1, D) of one window after the other."""
    facts = probe(video)
    mean, std = statistics("imagenet")
    with open_video(facts) as reader:
        for start in window_starts(facts.frame_count, WINDOW, stride, "drop").tolist():
            frames = torch.from_numpy(reader.read(range(start, start + WINDOW))).permute(0, 3, 1, 2) / 255
            frames = functional.interpolate(frames, model.image_size, mode="bilinear", align_corners=False)
            clip = (frames.transpose(0, 1) - mean.view(3, 1, 1, 1)) / std.view(3, 1, 1, 1)
            yield model(clip[None])


def fast(folder: Path, model: VisionTransformer, windows: Windows, options: argparse.Namespace) -> Iterator[Tensor]:
    """Yield the features (B, D) of one batch of windows after the other, without what fills up batches."""
    datamodule = Videos(
        *(str(folder), None, str(folder / "cache")),
        num_frames=WINDOW,
        frame_step=1,
        image_size=model.image_size,
        batch_size=options.batch_size,
        num_workers=options.num_workers,
        windows=windows,
    )
    datamodule.prepare_data()
    datamodule.setup("predict")
    for batch in datamodule.predict_dataloader():
        batch = windows.cut(batch, model.image_size)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            yield model(normalize(batch["video"], datamodule.mean, datamodule.std))[batch["row"] >= 0].float()


def clips_per_second(features: Iterator[Tensor], limit_s: float) -> float:
    """Clips per second, from the first result on, until the end or the limit."""
    next(features)
    began, clips = time.perf_counter(), 0
    for rows in features:
        clips += len(rows)
        if time.perf_counter() - began > limit_s:
            break
    return clips / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--strides", type=int, nargs="+", default=[16, 4])
    parser.add_argument("--precision", choices=("fp32", "bf16"), nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--num-frames", type=int, default=480)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=856)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--num-workers", type=int, default=1)
    parser.add_argument("--limit-s", type=float, default=40.0, help="of each measurement")
    options = parser.parse_args()
    dim, depth, num_heads = SIZES[options.size]
    torch.manual_seed(0)
    model = VisionTransformer(image_size=options.image_size, dim=dim, depth=depth, num_heads=num_heads).eval()
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        folder, precisions = Path(name), options.precision
        film(folder / "video.mp4", options.num_frames, options.height, options.width)
        for stride in options.strides:
            equal = Windows(stride, "drop", "squash", "float")
            options.precision = "fp32"
            rows = torch.cat(list(islice(fast(folder, model, equal, options), 1)))
            same = torch.cat(list(islice(naive(folder / "video.mp4", model, stride), len(rows))))
            print(f"stride {stride}: largest difference of features {(rows - same).abs().max() / same.abs().max():.1e}")
            slow = clips_per_second(naive(folder / "video.mp4", model, stride), options.limit_s)
            print(f"stride {stride}: {slow:6.2f} clips/s one window at a time, fp32", flush=True)
            for options.precision in precisions:
                quick = clips_per_second(fast(folder, model, Windows(stride), options), options.limit_s)
                print(f"stride {stride}: {quick:6.2f} clips/s, {options.precision}: {quick / slow:.1f} x", flush=True)


if __name__ == "__main__":
    main()
