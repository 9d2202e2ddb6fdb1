"""Voices: make sound of movements, a buzz and a hiss through the resonances of a vocal tract (Fant, 1960)."""

from dataclasses import dataclass

import numpy as np

from datamodules.samples.talking.speech import RATE, Array, Movements

SAMPLE_RATE = 16000  # Hz
HOP = SAMPLE_RATE // RATE
WINDOW, FFT = 4 * HOP, 512
HIGHER = (3600.0, 4600.0)  # Hz, formants that no vowel moves
BANDWIDTH = (70.0, 100.0, 140.0, 220.0, 300.0)  # Hz, of the five formants


@dataclass(frozen=True)
class Voice:
    """A voice.

    Args:
        pitch: Its middle pitch in Hz.
        tract: Factor on all formants: above 1 for vocal tracts shorter than 17 cm.
        breath: Share of noise in the buzz.
        tilt: Decibels an octave by which high frequencies are weaker (above 500 Hz).
        gain: Loudness in the clip.
    """

    pitch: float
    tract: float
    breath: float
    tilt: float
    gain: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Voice":
        """A high, middle or low voice."""
        pitch = float(np.exp(rng.uniform(np.log(85), np.log(260))))
        short = 0.93 + 0.22 * np.log(pitch / 85) / np.log(260 / 85) + rng.normal(0, 0.02)
        breath, tilt, gain = rng.uniform((0.02, 0.0, 0.7), (0.1, 4.0, 1.0))
        return cls(pitch, float(short), float(breath), float(tilt), float(gain))

    def say(self, movements: Movements, rng: np.random.Generator) -> Array:
        """Sound (samples,) of an utterance, `HOP` samples for each of its movements."""
        steps = len(movements.voice)
        times = np.arange(steps * HOP) / HOP
        pitch = self.pitch * 2 ** (np.interp(times, np.arange(steps), movements.pitch) / 12)
        pitch *= 1 + 0.01 * np.interp(times, np.arange(steps), rng.standard_normal(steps))
        phase = np.cumsum(pitch / SAMPLE_RATE) % 1
        buzz = 2 * phase - 3 * phase**2  # the flow through the glottis rises slowly and stops at once
        buzz += self.breath * rng.standard_normal(len(buzz))
        frequency = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE).astype(np.float32)
        voiced = _spectra(buzz, steps) * self._resonance(movements.formants, frequency)
        voiced *= _to_level(voiced, movements.voice)
        octaves = np.log2(np.maximum(frequency, 50) / np.maximum(movements.hiss, 50)[:, None])
        hiss = _spectra(rng.standard_normal(steps * HOP), steps) * np.exp(-((octaves / 0.7) ** 2))
        hiss *= _to_level(hiss, movements.noise)
        return self.gain * _together(np.fft.irfft(voiced + hiss, FFT, axis=1).astype(np.float32), steps)

    def _resonance(self, formants: Array, frequency: Array) -> Array:
        """Gain (n, F) of the vocal tract for ``formants`` (n, 3)."""
        response = np.ones((len(formants), len(frequency)), np.float32)
        higher = np.broadcast_to(np.float32(HIGHER), (len(formants), 2))
        for centre, bandwidth in zip(self.tract * np.hstack([formants, higher]).T, BANDWIDTH, strict=True):
            ratio = (frequency[None] / centre[:, None]) ** 2
            response *= 1 / np.sqrt((1 - ratio) ** 2 + ratio * (bandwidth / centre[:, None]) ** 2)
        response *= frequency / 500  # lips radiate high frequencies better
        return response * 10 ** (-self.tilt / 20 * np.log2(np.maximum(frequency, 500) / 500))


def _spectra(sound: np.ndarray, steps: int) -> np.ndarray:
    """Spectra (steps, F) of windows around the middle of every step."""
    margin = (WINDOW - HOP) // 2
    padded = np.pad(sound.astype(np.float32), (margin, WINDOW))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: steps * HOP : HOP]
    return np.fft.rfft(windows * np.hanning(WINDOW + 1)[:-1].astype(np.float32), FFT, axis=1).astype(np.complex64)


def _to_level(spectra: np.ndarray, level: Array) -> np.ndarray:
    """Factors (steps, 1) that give every spectrum the wanted ``level``."""
    found = np.sqrt((np.abs(spectra) ** 2).mean(1, keepdims=True)) + 1e-6
    return level[:, None] / found


def _together(windows: Array, steps: int) -> Array:
    """Overlap and add ``windows`` (steps, FFT), the first of which begins before the sound."""
    pieces = -(-FFT // HOP)
    windows = np.pad(windows, ((0, 0), (0, pieces * HOP - FFT))).reshape(steps, pieces, HOP)
    total = np.zeros((steps + pieces, HOP), np.float32)
    for piece in range(pieces):
        total[piece : piece + steps] += windows[:, piece]
    margin = (WINDOW - HOP) // 2
    return total.reshape(-1)[margin : margin + steps * HOP]
