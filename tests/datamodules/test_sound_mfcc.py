"""There are four rows of coefficients for each frame, in time with the video."""

import math

import numpy as np
import pytest

from datamodules.sound import SAMPLE_RATE, at_level, mfcc
from tests.datamodules.sounds import at

LOUDNESS = 0  # the coefficient that is the logarithm of the energy


@pytest.mark.parametrize("fps", [10, 20, 24, 25, 29.97, 30, 50, 60])
@pytest.mark.parametrize("num_frames", [0, 1, 2, 37])
@pytest.mark.parametrize("share", [0, 0.001, 0.3, 1, 1.7])
def test_there_are_four_rows_per_frame_however_much_sound_there_is(fps: float, num_frames: int, share: float) -> None:
    sound = at(SAMPLE_RATE, share * num_frames / fps)
    for hop in ("exact", "upstream"):
        for pad in ("zeros", "wrap"):
            rows = mfcc(sound, num_frames, fps, hop=hop, pad=pad)
            assert rows.shape == (4 * num_frames, 13) and rows.dtype == np.float64 and np.isfinite(rows).all()


def first_row_that_hears(click_s: float, fps: float, hop: str) -> int:
    sound = np.zeros(20 * SAMPLE_RATE)
    sound[round(click_s * SAMPLE_RATE)] = 1000
    return int(np.argmax(mfcc(sound, round(20 * fps), fps, hop=hop)[:, LOUDNESS] > 0))


@pytest.mark.parametrize("fps", [24, 25, 29.97, 30, 50, 60])
def test_exact_rows_stay_in_time_with_the_video(fps: float) -> None:
    window_rows = 2.5  # the window lasts two and a half quarters of a frame
    for frame in (10, round(8 * fps), round(18 * fps)):
        expected = 4 * frame - window_rows
        assert expected - 0.5 <= first_row_that_hears(frame / fps, fps, "exact") <= expected + 1.5


def test_published_rows_run_ahead_as_the_reference_says() -> None:
    at_30 = first_row_that_hears(10, 30, "upstream") - first_row_that_hears(10, 30, "exact")
    assert at_30 / 4 / 30 == pytest.approx(0.025, abs=0.01)
    sound = at(SAMPLE_RATE, 3)
    assert np.array_equal(mfcc(sound, 75, 25), mfcc(sound, 75, 25, hop="upstream"))


def one_row(sound: np.ndarray, first: int, window: int) -> list[float]:
    """A row by the formulas as they are printed, term by term."""
    emphasised = [sound[0], *(sound[i] - 0.97 * sound[i - 1] for i in range(1, len(sound)))]
    power = np.abs(np.fft.rfft(emphasised[first : first + window], 512)) ** 2 / 512
    mel = [i * 2595 * math.log10(1 + 8000 / 700) / 27 for i in range(28)]
    corner = [math.floor(513 * 700 * (10 ** (m / 2595) - 1) / 16000) for m in mel]
    bands = []
    for left, peak, right in zip(corner, corner[1:], corner[2:], strict=False):
        rising = sum((i - left) / (peak - left) * power[i] for i in range(left, peak))
        bands.append(rising + sum((right - i) / (right - peak) * power[i] for i in range(peak, right)))
    row = []
    for k in range(13):
        total = sum(math.log(band) * math.cos(math.pi * k * (2 * i + 1) / 52) for i, band in enumerate(bands))
        row.append(total * math.sqrt((1 if k == 0 else 2) / 26) * (1 + 11 * math.sin(math.pi * k / 22)))
    return [math.log(sum(power)), *row[1:]]


def test_rows_follow_the_formulas() -> None:
    sound = at(SAMPLE_RATE, 0.5) + np.random.default_rng(0).normal(0, 0.01, SAMPLE_RATE // 2)
    rows = mfcc(sound, 12, 30)
    for j in (0, 1, 17, 40):
        np.testing.assert_allclose(rows[j], one_row(sound, math.floor(j * 16000 / 120 + 0.5), 333), rtol=1e-9)


def test_a_gain_shifts_the_loudness_alone() -> None:
    sound = at(SAMPLE_RATE, 1)
    shift = mfcc(100 * sound, 25, 25) - mfcc(sound, 25, 25)
    np.testing.assert_allclose(shift[:98, LOUDNESS], 2 * math.log(100))
    np.testing.assert_allclose(shift[:98, 1:], 0, atol=1e-9)


def test_frames_without_sound_are_silent_or_repeat_the_beginning() -> None:
    sound = at(SAMPLE_RATE, 0.4)
    silent, repeated = (mfcc(sound, 20, 25, pad=pad) for pad in ("zeros", "wrap"))
    np.testing.assert_allclose(silent[:39], repeated[:39])
    np.testing.assert_allclose(silent[40:, LOUDNESS], math.log(np.finfo(float).eps))
    assert np.array_equal(repeated[39:78], repeated[:39])


def test_levels_are_those_of_16_bits_and_of_a_fixed_loudness() -> None:
    sound = at(SAMPLE_RATE, 1)
    assert np.array_equal(at_level(sound, "int16"), 32768 * sound)
    assert np.sqrt(np.mean(at_level(sound, "rms0.1") ** 2)) == pytest.approx(0.1)
    quiet = np.full(100, 1e-6)
    np.testing.assert_allclose(at_level(quiet, "rms0.1"), 1e-3)
    assert not at_level(np.zeros(100), "rms0.1").any() and at_level(np.empty(0), "rms0.1").shape == (0,)


def test_arguments_that_mean_nothing_are_refused() -> None:
    sound = np.zeros(100)
    with pytest.raises(ValueError, match="hop: expected exact or upstream, found 'nearest'"):
        mfcc(sound, 1, 25, hop="nearest")
    with pytest.raises(ValueError, match="pad: expected zeros or wrap, found 'edge'"):
        mfcc(sound, 1, 25, pad="edge")
    with pytest.raises(ValueError, match=r"level: expected int16 or rms0\.1, found 'loud'"):
        at_level(sound, "loud")
    with pytest.raises(ValueError, match=r"one channel, found an array of shape \(2, 100\)"):
        mfcc(np.zeros((2, 100)), 1, 25)
    with pytest.raises(ValueError, match="found 0 and 1"):
        mfcc(sound, 1, 0)
