"""The sound of a clip: all voices that are heard, and the room."""

import numpy as np

from datamodules.samples.talking.speech import RATE, Array
from datamodules.samples.talking.story import Story
from datamodules.samples.talking.voice import HOP, SAMPLE_RATE, Voice

LEVEL = 0.8  # of voices, such that speech is at about 5 % of full scale in the mean, vowels at 50 % at their peaks
NOISE = (0.002, 0.008)  # of the room, 1 = full scale
KNOCKS = 0.4  # a second, of dishes and steps


def mix(story: Story, seconds: int, rng: np.random.Generator) -> Array:
    """Sound (seconds * SAMPLE_RATE,) in [-1, 1]."""
    total = np.zeros(seconds * SAMPLE_RATE, np.float32)
    for part in (*story.faces, story.bystander, story.wearer):
        voice = Voice.draw(rng)
        for utterance in part.spoken:
            said = LEVEL * voice.say(utterance.movements, rng)
            _add(total, said, round(utterance.begin * RATE) * HOP)
    total += rng.uniform(*NOISE) * _rumble(len(total), rng)
    for begin in rng.uniform(0, seconds, rng.poisson(KNOCKS * seconds)):
        _add(total, _knock(rng), int(begin * SAMPLE_RATE))
    return total.clip(-1, 1)


def _add(total: Array, sound: Array, begin: int) -> None:
    """Add ``sound`` from sample ``begin`` on; what lies outside is lost."""
    first, last = max(begin, 0), min(begin + len(sound), len(total))
    if first < last:
        total[first:last] += sound[first - begin : last - begin]


def _rumble(length: int, rng: np.random.Generator) -> Array:
    """Noise of mean square 1 whose power falls with the frequency."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequency = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    noise = np.fft.irfft(spectrum / np.sqrt(1 + (frequency / 150) ** 1.5), length)
    return (noise / noise.std()).astype(np.float32)


def _knock(rng: np.random.Generator) -> Array:
    times = np.arange(int(0.08 * SAMPLE_RATE)) / SAMPLE_RATE
    ring = np.sin(2 * np.pi * rng.uniform(300, 2500) * times) + 0.5 * rng.standard_normal(len(times))
    return (rng.uniform(0.01, 0.05) * ring * np.exp(-times / rng.uniform(0.005, 0.02))).astype(np.float32)
