"""Where a face crop looks along a track: centre and size, with the jitter of the boxes taken out."""

import numpy as np
from numpy.typing import NDArray

KERNEL = 13  # frames; TaoRuijie/TalkNet-ASD
LAG = 0.2  # share of the present frame in the centre that zcxu-eric/Ego4d_TalkNet_ASD uses


def running_median(values: NDArray, kernel: int = KERNEL, ends: str = "edge") -> NDArray[np.float64]:
    """Median of the values around each, in a window that is not longer than the track.

    Args:
        values: (T,).
        kernel: Largest length of the window, odd.
        ends: What the window sees beyond the ends: ``edge`` repeats the last value; ``constant`` is 0, as in SciPy's
            ``medfilt``, which draws large values near the ends down.

    Returns:
        float64 (T,).

    Raises:
        ValueError: When the window is even or negative.
    """
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"expected an odd kernel, found {kernel}")
    values = np.asarray(values, dtype=np.float64)
    length = min(len(values) - len(values) % 2 + 1, kernel)
    padded = np.pad(values, length // 2, mode=ends)
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, length), axis=-1)


def lagging(values: NDArray, share: float = LAG) -> NDArray[np.float64]:
    """The share of each value, and the rest of the one before it; the first one stays.

    What zcxu-eric/Ego4d_TalkNet_ASD does to centres: meant as a recursive mean, it lags by nearly a frame.

    Args:
        values: (T,).
        share: Share of the present value.
    """
    values = np.asarray(values, dtype=np.float64)
    return np.concatenate((values[:1], (1 - share) * values[:-1] + share * values[1:]))
