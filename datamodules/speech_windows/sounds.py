"""The sound of a window as a wav file: samples as they are stored where the clip has a wav file, else decoded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from datamodules.sound.reading import SAMPLE_RATE, SoundFacts, probe_sound, read_sound
from datamodules.speech_windows.wave_files import open_wave, pcm_format, wave_bytes

FULL_SCALE = 32767  # of 16 bits


class Sound(Protocol):
    """Sound of a clip, from the first frame on."""

    sample_rate: int
    num_samples: int

    def part(self, first: int, stop: int) -> tuple[bytes, int]:
        """A wav file of samples ``first`` to ``stop`` - 1, and how many of them are silence behind the end."""


@dataclass(frozen=True)
class DecodedSound:
    """Sound of a file that is no plain wav: one channel of 16 bits at 16 kHz.

    Attributes:
        facts: What is known of it.
        sample_rate: Hz.
    """

    facts: SoundFacts
    sample_rate: int = SAMPLE_RATE

    @property
    def num_samples(self) -> int:
        """Number of samples from the first frame to the end of the sound."""
        return self.facts.num_samples

    def part(self, first: int, stop: int) -> tuple[bytes, int]:
        """A wav file of samples ``first`` to ``stop`` - 1, and how many of them are silence behind the end."""
        end = max(first, min(stop, self.num_samples))  # what a decoder gives behind it is filling
        samples = np.rint(read_sound(self.facts, first, end).clip(-1, 1) * FULL_SCALE).astype("<i2")
        data = np.pad(samples, (0, stop - end)).tobytes()
        return wave_bytes(pcm_format(SAMPLE_RATE), data), stop - end


def open_sound(path: Path) -> Sound:
    """Open the sound of a file.

    Raises:
        FileNotFoundError: When there is no such file.
        SoundReadError: When it has none.
    """
    return open_wave(path) or DecodedSound(probe_sound(path))
