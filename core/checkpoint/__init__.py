"""Checkpoints that stand alone: with the config they were trained with, whole or not there, opened safely.

``python -m core.checkpoint show FILE`` tells what is in one, ``export FILE [FOLDER]`` makes weights for others of it.
"""

from core.checkpoint.reading import load_task, read_checkpoint, resolve_checkpoint
from core.checkpoint.sums import CheckpointError, CheckpointNotFoundError

__all__ = ["CheckpointError", "CheckpointNotFoundError", "load_task", "read_checkpoint", "resolve_checkpoint"]
