"""What models of active speakers hear: mel-frequency cepstral coefficients, four rows for each frame of the video.

The coefficients are those of python_speech_features 0.6 as TaoRuijie/TalkNet-ASD calls it, for all rows at once.
"""

from functools import cache
from typing import Literal

import numpy as np

from datamodules.sound.reading import SAMPLE_RATE

ROWS_PER_FRAME = 4
NUM_COEFFICIENTS = 13
WINDOW_S, WINDOW_FPS = (
    0.025,
    25.0,
)  # the window lasts 25 ms of a video at 25 Hz, and the same share of a frame of others

PRE_EMPHASIS = 0.97
FFT_SIZE = 512
NUM_FILTERS = 26
LIFTER = 22
INT16_SCALE = 32768.0
TARGET_RMS, LEAST_RMS = 0.1, 1e-4
BLOCK_ROWS = 64  # whose spectra a processor keeps at hand

Hop = Literal["exact", "upstream"]
Pad = Literal["zeros", "wrap"]
Level = Literal["int16", "rms0.1"]
HOPS, PADS, LEVELS = ("exact", "upstream"), ("zeros", "wrap"), ("int16", "rms0.1")


def mfcc(samples: np.ndarray, num_frames: int, fps: float, *, hop: Hop = "exact", pad: Pad = "zeros") -> np.ndarray:
    """Describe the sound under some frames of a video.

    Args:
        samples: (N,) sound at 16 kHz from the beginning of the first frame on, at the level that the model was trained
            with. A gain only shifts coefficient 0, by 2 ln(gain).
        num_frames: T.
        fps: Frame rate of the video in Hz. Below 19.5 Hz the window is longer than the Fourier transform and is cut.
        hop: Where row j begins. ``exact``: at the sample nearest to j quarters of a frame. ``upstream``: every so many
            whole samples, as published, so that the rows run ahead of the video unless the quarter of a frame is a
            whole number of samples: by 25 ms after 10 s at 30 Hz.
        pad: What is under frames without sound. ``zeros``: silence behind the end. ``wrap``: the first rows once more,
            as published, where usually the last row of a clip is missing.

    Returns:
        (4T, 13) float64.

    Raises:
        ValueError: When an argument has none of its values, or the sound is not one channel.
    """
    _check_choice("hop", hop, HOPS)
    _check_choice("pad", pad, PADS)
    samples = np.asarray(samples, dtype=np.float64)
    if samples.ndim != 1:
        raise ValueError(f"expected the samples of one channel, found an array of shape {samples.shape}")
    if not (fps > 0 and num_frames >= 0):
        raise ValueError(f"expected a frame rate above 0 and a number of frames, found {fps} and {num_frames}")
    rows = ROWS_PER_FRAME * num_frames
    window = _rounded(WINDOW_S * WINDOW_FPS / fps * SAMPLE_RATE)
    row_samples = SAMPLE_RATE / (ROWS_PER_FRAME * fps)
    starts = _rounded(np.arange(rows) * row_samples) if hop == "exact" else np.arange(rows) * _rounded(row_samples)
    if pad == "wrap":
        with_sound = 1 + np.count_nonzero(starts[:-1] + window < len(samples))  # the window before has not seen the end
        return np.resize(_coefficients(samples, starts[:with_sound], window), (rows, NUM_COEFFICIENTS))
    return _coefficients(samples, starts, window)


def at_level(samples: np.ndarray, level: Level) -> np.ndarray:
    """Bring sound to the level that a model was trained with.

    Args:
        samples: (N,) float in [-1, 1].
        level: ``int16``: in steps of a 16-bit file (TalkNet, Light-ASD, LR-ASD). ``rms0.1``: at a root mean square of
            0.1, or amplified a thousandfold where that would take more (zcxu-eric/Ego4d_TalkNet_ASD).

    Returns:
        (N,) float64.
    """
    _check_choice("level", level, LEVELS)
    samples = np.asarray(samples, dtype=np.float64)
    if level == "int16":
        return samples * INT16_SCALE
    rms = np.sqrt(np.mean(samples**2)) if len(samples) else 0.0
    return samples * (TARGET_RMS / max(rms, LEAST_RMS))


def _coefficients(samples: np.ndarray, starts: np.ndarray, window: int) -> np.ndarray:
    """Rows (N, 13) of the windows that begin at ``starts``; behind the end is silence."""
    if not len(starts):
        return np.empty((0, NUM_COEFFICIENTS))
    sound = np.zeros(max(len(samples), starts[-1] + window))
    sound[: len(samples)] = samples
    sound[1 : len(samples)] -= PRE_EMPHASIS * samples[:-1]
    windows = np.lib.stride_tricks.sliding_window_view(sound, window)
    bands = np.empty((len(starts), NUM_FILTERS + 1))
    for first in range(0, len(starts), BLOCK_ROWS):
        block = slice(first, first + BLOCK_ROWS)
        spectrum = np.fft.rfft(windows[starts[block]], FFT_SIZE)
        bands[block] = (spectrum.real**2 + spectrum.imag**2) @ _bands()
    bands[bands == 0] = np.finfo(np.float64).eps
    log_bands = np.log(bands, out=bands)
    rows = log_bands[:, :NUM_FILTERS] @ _cosines()
    rows[:, 0] = log_bands[:, NUM_FILTERS]
    return rows


@cache
def mel_filters() -> np.ndarray:
    """(26, 257) float64: triangles over the bins of the Fourier transform, equally wide in mel from 0 to 8 kHz."""
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, NUM_FILTERS + 2) / 2595) - 1)
    corners = np.floor((FFT_SIZE + 1) * hertz / SAMPLE_RATE)
    left, peak, right = (corners[shift : shift + NUM_FILTERS, None] for shift in range(3))
    bins = np.arange(FFT_SIZE // 2 + 1)
    rising, falling = (bins - left) / (peak - left), (right - bins) / (right - peak)
    filters = np.where(bins < peak, rising, falling) * ((bins >= left) & (bins < right))
    filters.flags.writeable = False  # it is the same array for all
    return filters


@cache
def _bands() -> np.ndarray:
    """(257, 27): from the squared spectrum to the energy in each filter and, last, in all bins."""
    return np.concatenate((mel_filters(), np.ones((1, FFT_SIZE // 2 + 1)))).T.copy() / FFT_SIZE


@cache
def _cosines() -> np.ndarray:
    """(26, 13): orthonormal discrete cosine transform of type II, its first coefficients, liftered."""
    band, order = np.arange(NUM_FILTERS)[:, None], np.arange(NUM_COEFFICIENTS)
    cosines = np.cos(np.pi * order * (2 * band + 1) / (2 * NUM_FILTERS)) * np.sqrt(2 / NUM_FILTERS)
    return cosines * (1 + LIFTER / 2 * np.sin(np.pi * order / LIFTER))  # row 0 gives way to the energy


def _rounded(value: float | np.ndarray) -> int | np.ndarray:
    """The nearest whole number, the larger one of two."""
    return np.floor(np.asarray(value) + 0.5).astype(np.int64)[()]


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected {' or '.join(choices)}, found {value!r}")
