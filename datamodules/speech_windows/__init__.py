"""Clips with faces and voices cut into windows of one length, as folders of images, sound and labels."""

from datamodules.speech_windows.preparing import prepare_windows
from datamodules.speech_windows.settings import FILES, LAYOUTS, ClipSource, WindowSettings

__all__ = ["FILES", "LAYOUTS", "ClipSource", "WindowSettings", "prepare_windows"]
