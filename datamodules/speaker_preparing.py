"""What ``mode=prepare`` makes of a data set of active speakers: packed faces and sounds, windows for other programs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.errors import VideoReadError
from datamodules.export.product import VIDEOS, Product, failed
from datamodules.speaker_packing import remove_partials
from datamodules.speech_windows import ClipSource, WindowSettings, prepare_windows

if TYPE_CHECKING:
    from datamodules.speaker_set import SpeakerSet


def pack_splits(data: "SpeakerSet") -> Iterator[Product]:
    """Pack the faces and the sound of all splits."""
    remove_partials(Path(data.hparams.cache))
    for split in data.parts():
        planned = data.plans(split)
        yield from (failed(VIDEOS, error.path, error.reason) for error in planned.broken.values())
        for plan, found in data.pack(planned.plans):
            wrong = isinstance(found, VideoReadError)
            yield from [failed(VIDEOS, plan.faces.facts.path, found.reason)] if wrong else found


def cut_splits(data: "SpeakerSet") -> Iterator[Product]:
    """Cut the clips of all splits into windows."""
    options, (recordings, broken) = data.hparams, data.recordings()
    yield from (failed(VIDEOS, error.path, error.reason) for error in broken.values())
    media = {name: recording.medium for name, recording in recordings.items()}
    annotations = {split: data.read_annotations(split, media) for split in data.parts()}
    sources = []
    for split, found in annotations.items():
        for name, clip in found.clips.items():
            if data.belongs(name, split, list(found.clips)):
                facts, sound = recordings[name].facts, recordings[name].sound
                first = options.first_image if facts.kind == "frames" else 0
                sources.append(ClipSource(name, split, facts, sound, clip.num_frames, first))
    settings = WindowSettings(options.clip_seconds, options.clip_files, options.clip_layout)
    yield from prepare_windows(
        sources,
        annotations,
        Path(options.clip_folder),
        settings,
        overwrite=options.clip_overwrite,
        processes=options.num_workers,
        timeout_s=options.decode_timeout_s,
        backend=options.reader,
    )
