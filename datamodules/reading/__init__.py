"""Video files and frame folders behind one small interface."""

from datamodules.reading.facts import VideoFacts
from datamodules.reading.opening import open_video
from datamodules.reading.probe import probe
from datamodules.reading.reader import VideoReader
from datamodules.reading.routing import choose_backend, describe_routes, in_order

__all__ = ["VideoFacts", "VideoReader", "choose_backend", "describe_routes", "in_order", "open_video", "probe"]
