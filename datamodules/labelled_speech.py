"""Classes of clips from a data set in Ego4D's audio-visual layout: somebody is heard, or nobody is."""

import logging
from pathlib import Path

from datamodules.ego4d_asd import ANNOTATION_FOLDERS, FILE_NAMES, Ego4DASD
from datamodules.labelled_campus import longest_run
from datamodules.labelled_listing import Labelled
from datamodules.listing import Listed
from datamodules.speaker_set import TRAIN, VAL

log = logging.getLogger(__name__)
QUIET, SPEECH = "quiet", "speech"  # in the order of their names, so that speech is the positive one


def is_ego4d(root: Path) -> bool:
    """Whether a folder has the layout."""
    return any((root / folder / FILE_NAMES[TRAIN]).is_file() for folder in ANNOTATION_FOLDERS)


def find_speech(root: Path, cache: str, shortest: int) -> dict[str, list[Labelled]]:
    """Take two parts of each clip: its longest in which somebody is heard, and its longest in which nobody is.

    Both are of one clip and one codec, as in `datamodules.labelled_campus`. Who is heard may be out of view, or wear
    the camera: the pictures alone need not tell. Where the voices of a clip are not annotated nothing is taken of it.

    Args:
        root: Folder of the data set.
        cache: Folder for what is found out about its videos.
        shortest: Frames that a part must have; shorter ones are left out, lest a clip repeat its last frame.

    Returns:
        The parts of the official split, ``train`` and ``val``.
    """
    data = Ego4DASD(root=str(root), cache=cache)
    recordings, broken = data.recordings()
    if broken:
        log.warning("%d of %d clips cannot be read and are left out", len(broken), len(broken) + len(recordings))
    media = {name: recording.medium for name, recording in recordings.items()}
    found: dict[str, list[Labelled]] = {TRAIN: [], VAL: []}
    for split, parts in found.items():
        annotated = data.read_annotations(split, media)
        for name in annotated.clips:
            facts, heard = recordings[name].facts, annotated.voices.voice_at(name, recordings[name].frames)
            for value, label in enumerate((QUIET, SPEECH)):
                first, count = longest_run(heard == value)
                if count >= shortest:
                    video = Listed(f"{name}/{label}", facts.path, facts.frame_ids[first], count)
                    parts.append(Labelled(video, label))
    return found
