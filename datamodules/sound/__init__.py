"""Sound of videos: read by time from any file, mixed with other voices, and as rows of coefficients per frame."""

from datamodules.sound.mfcc import at_level, mfcc
from datamodules.sound.mixing import mix
from datamodules.sound.reading import SAMPLE_RATE, SoundFacts, audio_defect, probe_sound, read_sound, sample_range

__all__ = [
    "SAMPLE_RATE",
    "SoundFacts",
    "at_level",
    "audio_defect",
    "mfcc",
    "mix",
    "probe_sound",
    "read_sound",
    "sample_range",
]
