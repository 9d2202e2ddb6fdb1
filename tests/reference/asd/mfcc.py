"""Coefficients of sound are those of python_speech_features, as the published loaders call and fit it to the video."""

import json
import re

import numpy as np
import pytest

from datamodules.sound import at_level, mfcc
from datamodules.sound.mfcc import (
    FFT_SIZE,
    INT16_SCALE,
    LIFTER,
    NUM_COEFFICIENTS,
    NUM_FILTERS,
    PRE_EMPHASIS,
    ROWS_PER_FRAME,
    WINDOW_FPS,
    WINDOW_S,
    mel_filters,
)
from datamodules.sound.reading import SAMPLE_RATE
from tests.conftest import fixtures_root

TOLERANCE = 1e-9  # README of the numbers, float64
PART = re.compile(r"(\w+)\[:(\d+)\]")
ZEROS = re.compile(r"(\d+) zeros")
AT_FIXED_LEVEL = re.compile(r"rms-normalised (\w+)")


def documents() -> list[tuple[dict, dict[str, np.ndarray]]]:
    """Every JSON object with cases of coefficients, with the arrays beside it; there must be one."""
    found = []
    for path in sorted((fixtures_root() / "asd").rglob("*.json")):
        content = json.loads(path.read_text())
        if isinstance(content, dict) and {"ceplifter", "cases"} <= set(content):
            found.append((content, dict(np.load(path.with_suffix(".npz")))))
    assert found, f"no coefficients of sound in {fixtures_root() / 'asd'}"
    return found


def cases() -> list[tuple[dict, dict[str, np.ndarray]]]:
    return [(case, arrays) for content, arrays in documents() for case in content["cases"]]


def sound_of(case: dict, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The signal that a case names."""
    name = case["signal"]
    if zeros := ZEROS.fullmatch(name):
        return np.zeros(int(zeros[1]))
    if cut := PART.fullmatch(name):
        return arrays[cut[1]][: int(cut[2])]
    if normalised := AT_FIXED_LEVEL.fullmatch(name):
        return at_level(arrays[normalised[1]] / INT16_SCALE, "rms0.1")
    return arrays[name]


def test_all_rows_are_those_of_the_reference() -> None:
    for case, arrays in cases():
        expected = arrays[f"{case['tag']}.raw"]
        assert len(expected) == case["n_raw"]
        frames = -(-len(expected) // 4)
        found = mfcc(sound_of(case, arrays), frames, case["fps"], hop="upstream")[: len(expected)]
        np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0, err_msg=case["tag"])


def test_rows_are_fitted_to_the_video_as_published() -> None:
    compared = 0
    for case, arrays in cases():
        if (expected := arrays.get(f"{case['tag']}.loader")) is not None:
            found = mfcc(sound_of(case, arrays), case["frames"], case["fps"], hop="upstream", pad="wrap")
            np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0, err_msg=case["tag"])
            compared += len(found) > case["n_raw"]
    assert compared, "no case with too little sound"


def test_sound_is_brought_to_the_level_of_the_published_loader() -> None:
    compared = 0
    for case, arrays in cases():
        if AT_FIXED_LEVEL.fullmatch(case["signal"]):
            [start] = (value for name, value in arrays.items() if name.endswith("_wav_float"))
            np.testing.assert_allclose(sound_of(case, arrays)[: len(start)], start, atol=TOLERANCE, rtol=0)
            compared += 1
    assert compared, "no case of normalised sound"


def test_settings_are_those_of_the_reference() -> None:
    for content, _ in documents():
        ours = {"sample_rate": SAMPLE_RATE, "numcep": NUM_COEFFICIENTS, "nfilt": NUM_FILTERS, "nfft": FFT_SIZE}
        ours |= {"preemph": PRE_EMPHASIS, "ceplifter": LIFTER, "lowfreq": 0, "highfreq": SAMPLE_RATE // 2}
        assert {name: content[name] for name in ours} == ours
        for case in content["cases"]:
            seconds = {"winlen": WINDOW_S * WINDOW_FPS / case["fps"], "winstep": 1 / ROWS_PER_FRAME / case["fps"]}
            samples = {"win_samples": seconds["winlen"], "step_samples": seconds["winstep"]}
            for name, value in seconds.items():
                assert case.get(name, value) == pytest.approx(value), case["tag"]
            for name, value in samples.items():
                whole = int(value * SAMPLE_RATE + 0.5)
                assert case.get(name, whole) == whole, case["tag"]


def test_filters_are_those_of_the_reference() -> None:
    for content, arrays in documents():
        [expected] = (value for name, value in arrays.items() if name.startswith("filterbank"))
        assert expected.shape == (content["nfilt"], content["nfft"] // 2 + 1)
        np.testing.assert_allclose(mel_filters(), expected, atol=TOLERANCE, rtol=0)


def test_exact_rows_are_the_published_ones_where_a_row_is_whole_samples() -> None:
    compared = 0
    for case, arrays in cases():
        sound, whole = sound_of(case, arrays), (SAMPLE_RATE / (ROWS_PER_FRAME * case["fps"])).is_integer()
        exact, published = (mfcc(sound, case["frames"], case["fps"], hop=hop) for hop in ("exact", "upstream"))
        assert np.array_equal(exact, published) == (whole or not np.any(sound)), case["tag"]
        compared += whole
    assert compared
    assert compared < len(cases()), "only whole numbers of samples"
