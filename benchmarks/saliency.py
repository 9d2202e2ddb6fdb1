"""How fast saliency tubes are: ``python benchmarks/saliency.py``, about a minute.

Maps of several classes of one clip, from the features and the linear head of the published MFNet to the size of the
clip, in turns: by a loop over filters and a spline of scipy for each map, as in
alexandrosstergiou/Saliency-Tubes-Visual-Explanations-for-Spatio-Temporal-Convolutions, and by matrices for all maps at
once. The table gives medians of the processor time per map; all maps must agree. Needs scipy.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.ndimage import zoom as scipy_zoom
from torch import Tensor

from models.saliency.evidence import Evidence
from models.saliency.exact import pooled_linear

AGREE = 1e-4


def filter_by_filter(features: np.ndarray, weight: np.ndarray, factors: tuple[float, ...]) -> np.ndarray:
    """Tubes (K, T, H, W) of features (C, T', H', W') under weights (K, C), one after the other."""
    tubes = []
    for row in weight:
        raw = np.zeros(features.shape[1:], dtype=np.float32)
        for scale, channel in zip(row, features, strict=True):
            raw += scale * channel
        zoomed = scipy_zoom(raw, factors)
        tubes.append((zoomed - zoomed.min()) / (zoomed.max() - zoomed.min()))
    return np.stack(tubes)


def by_matrices(features: Tensor, weight: Tensor, size: tuple[int, int, int]) -> Tensor:
    """The same of all classes at once."""
    maps = {name: raw.float() for name, raw in pooled_linear({"clip": features.unsqueeze(0)}, weight).items()}
    zeros = torch.zeros(len(weight))
    return Evidence(maps, zeros, zeros, size, "tube").tubes().total()


def timed(make: Callable[[], object]) -> tuple[float, object]:
    """Processor time in seconds, and what was made."""
    start = time.process_time()
    made = make()
    return time.process_time() - start, made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--maps", type=int, default=20, help="classes that are explained")
    parser.add_argument("--channels", type=int, default=768)
    parser.add_argument("--grid", type=int, nargs=3, default=(8, 7, 7))
    parser.add_argument("--factors", type=int, nargs=3, default=(2, 32, 32))
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(arguments.channels, *arguments.grid, generator=generator).clamp(min=0)
    weight = torch.randn(arguments.maps, arguments.channels, generator=generator)
    factors = tuple(arguments.factors)
    size = tuple(cells * factor for cells, factor in zip(arguments.grid, factors, strict=True))
    times: tuple[list[float], list[float]] = ([], [])
    by_matrices(features, weight, size)  # makes the matrices, once for all clips of a size
    for _ in range(arguments.repeats):
        fast, found = timed(lambda: by_matrices(features, weight, size))
        slow, expected = timed(lambda: filter_by_filter(features.numpy(), weight.numpy(), factors))
        difference = float(np.abs(found.numpy() - expected).max())
        if difference > AGREE:
            raise SystemExit(f"maps differ by {difference:.2g}")
        times[0].append(fast / arguments.maps)
        times[1].append(slow / arguments.maps)
    fast, slow = (median(each) for each in times)
    table = Table("grid", "clip", "maps", "ms per map", "ms filter by filter", "ratio", "apart")
    shapes = ("x".join(map(str, shape)) for shape in (arguments.grid, size))
    numbers = f"{fast * 1e3:.2f}", f"{slow * 1e3:.0f}", f"{slow / fast:.0f}", f"{difference:.0e}"
    table.add_row(*shapes, str(arguments.maps), *numbers)
    Console().print(f"{arguments.channels} channels, {torch.get_num_threads()} thread(s)", table)


if __name__ == "__main__":
    main()
