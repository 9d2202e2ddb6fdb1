"""Which values the options of `datamodules.speakers.Speakers` may have."""

from collections.abc import Mapping
from typing import Any

from datamodules.faces.crops import MODES
from datamodules.sound.mfcc import HOPS, LEVELS
from datamodules.speech_windows import FILES, LAYOUTS

CHOICES = {
    "crop": MODES,
    "audio_level": LEVELS,
    "hop": HOPS,
    "missing_audio": ("error", "silence", "drop"),
    "batching": ("budget", "windows"),
    "on_error": ("quarantine", "error"),
    "clip_files": FILES,
    "clip_layout": LAYOUTS,
}
LEAST = {"face_size": 1, "max_gap": 0, "max_len": 1, "min_len": 1, "budget": 1, "batch_size": 1, "num_workers": 0}
SHARES = ("other_voice", "max_bad_share", "val_fraction", "jitter")
ABOVE_ZERO = ("window_s", "clip_seconds", "fps_of_frames", "decode_timeout_s")


def refuse_unsuited(options: Mapping[str, Any]) -> None:
    """Refuse options that are out of their range."""
    for name, choices in CHOICES.items():
        if options[name] not in choices:
            raise ValueError(f"datamodule.{name}: expected one of {', '.join(choices)}, found {options[name]!r}")
    for name, least in LEAST.items():
        if options[name] is not None and options[name] < least:
            raise ValueError(f"datamodule.{name}: expected {least} or more, found {options[name]}")
    for name in SHARES:
        if not 0 <= options[name] <= 1:
            raise ValueError(f"datamodule.{name}: expected a share between 0 and 1, found {options[name]}")
    for name in ABOVE_ZERO:
        if options[name] is not None and not options[name] > 0:
            raise ValueError(f"datamodule.{name}: expected more than 0, found {options[name]}")
