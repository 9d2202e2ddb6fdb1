"""Another voice is as loud as was asked for, and fills the whole track."""

import numpy as np
import pytest

from datamodules.sound import mix
from tests.datamodules.sounds import at

RATE = 16_000


def other(duration_s: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.003, round(duration_s * RATE))


@pytest.mark.parametrize("snr_db", [-5, 0, 5])
def test_the_ratio_of_powers_is_that_asked_for(snr_db: float) -> None:
    voice = 0.1 * at(RATE, 1)
    added = mix(voice, other(1), snr_db) - voice
    assert 10 * np.log10(np.mean(voice**2) / np.mean(added**2)) == pytest.approx(snr_db, abs=1e-3)


@pytest.mark.parametrize("duration_s", [0.3, 1, 2.7])
def test_the_other_voice_is_repeated_or_cut(duration_s: float) -> None:
    voice, noise = 0.1 * at(RATE, 1), other(duration_s)
    mixture = mix(voice, noise, 0)
    assert mixture.shape == voice.shape and mixture.dtype == np.float32
    added, repeated = mixture - voice, np.tile(noise, 4)[: len(voice)]
    assert np.corrcoef(added, repeated)[0, 1] > 0.999


def test_only_the_mixture_is_clipped() -> None:
    voice, noise = np.full(100, 0.9), np.full(100, -0.3)
    np.testing.assert_allclose(mix(voice, noise, -20 * np.log10(2)), -0.9)  # the other voice at 1.8 is not clipped
    assert (mix(voice, -noise, 0) == 1).all()


def test_silence_has_no_ratio() -> None:
    voice, silence = at(RATE, 0.1), np.zeros(1_600)
    np.testing.assert_allclose(mix(voice, silence, 5), voice, atol=1e-7)
    np.testing.assert_allclose(mix(silence, voice, 5), voice, atol=1e-7)
    np.testing.assert_allclose(mix(voice, np.empty(0), 5), voice, atol=1e-7)
    assert mix(np.empty(0), voice, 5).shape == (0,)
