"""Face tracks and voices of all data sets in one form."""

from datamodules.tracks.annotations import Annotations, Clip, Media, medium_of
from datamodules.tracks.table import ANNOTATED, INTERPOLATED, SILENT, SPEAKING, UNKNOWN, Medium, TrackTable
from datamodules.tracks.voices import VoiceTable

__all__ = ["ANNOTATED", "INTERPOLATED", "SILENT", "SPEAKING", "UNKNOWN"]
__all__ += ["Annotations", "Clip", "Media", "Medium", "TrackTable", "VoiceTable", "medium_of"]
