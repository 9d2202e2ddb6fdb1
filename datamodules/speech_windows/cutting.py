"""One clip cut into windows, each of them complete or not there."""

from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from datamodules.errors import DataFileError, VideoReadError
from datamodules.export.product import Product, failed
from datamodules.speech_windows.images import images_of
from datamodules.speech_windows.json_text import encoded
from datamodules.speech_windows.labels import clip_labels, frame_by_frame
from datamodules.speech_windows.notes import FRAMES, NOTE, OpenClip, is_whole, note_of
from datamodules.speech_windows.saving import saving
from datamodules.speech_windows.settings import MANIFEST, ClipSource, Window, WindowSettings
from datamodules.speech_windows.sounds import open_sound
from datamodules.tracks import Annotations

WINDOWS = "windows of clips"
MADE, KEPT = "made", "kept"
MISSING, PADDED = "frames without image", "samples of silence behind the end of the sound"


@dataclass(frozen=True)
class Cut:
    """What came of a clip.

    Attributes:
        product: For the report.
        counts: Windows ``MADE`` and ``KEPT``, and in all of them frames ``MISSING`` and samples ``PADDED``.
    """

    product: Product
    counts: Counter = field(default_factory=Counter)


def summary(counts: Counter) -> str:
    """What windows were made, and what they lack."""
    return f"{counts[MADE] + counts[KEPT]} windows, {counts[MISSING]} {MISSING}, {counts[PADDED]} {PADDED}"


def cut_clip(
    annotations: Mapping[str, Annotations],
    source: ClipSource,
    root: Path,
    settings: WindowSettings,
    overwrite: bool,
    backend: str,
) -> Generator[None, None, Cut]:
    """Make the windows of a clip that are not there; yields while it goes on.

    Args:
        annotations: Faces and voices, by split.
        source: The clip.
        root: Folder of all windows.
        settings: How it is cut.
        overwrite: Make windows anew that were made of something else.
        backend: How videos are read.
    """
    folder, counts = root / source.split / source.name, Counter()
    try:
        sound = None if source.sound is None else open_sound(source.sound)
        persons = clip_labels(annotations[source.split], source.name)
        clip = OpenClip(source, persons, images_of(source, settings, backend), sound, settings)
        with saving() as save:
            for window in settings.windows(source.length, source.rate):
                note = note_of(clip, window)
                there = is_there(folder / window.folder, note, overwrite)
                if not there:
                    partial = root / f".saving-{uuid4().hex}.part"
                    files = yield from make_window(clip, window, note, partial)
                    save(partial, files, folder / window.folder)
                counts[KEPT if there else MADE] += 1
                counts += Counter({MISSING: len(note["missing_frames"]), PADDED: note["audio_padded_samples"]})
                yield
    except (DataFileError, VideoReadError) as error:
        return Cut(failed(WINDOWS, error.path or folder, error.reason), counts)
    except OSError as error:
        return Cut(failed(WINDOWS, folder, error), counts)
    return Cut(Product(WINDOWS, str(folder), MADE if counts[MADE] else KEPT, summary(counts)), counts)


def is_there(folder: Path, note: dict[str, Any], overwrite: bool) -> bool:
    """Whether a window is there as it would be made.

    Raises:
        DataFileError: When something else is there that may not be replaced.
    """
    if not folder.exists():
        return False
    if not (folder / NOTE).is_file():
        raise DataFileError(folder, "is there already and was not written by mode=prepare; name another folder")
    if (folder / NOTE).read_bytes() == encoded(note):
        return is_whole(folder, note)
    if not overwrite:
        was = "was made of other annotations, media or settings"
        raise DataFileError(folder, f"{was}; name another folder, or let the windows be overwritten")
    return False


def make_window(
    clip: OpenClip, window: Window, note: dict[str, Any], folder: Path
) -> Generator[None, None, dict[str, bytes]]:
    """Write the images of a window into a new folder, and return its other files; yields while it goes on."""
    folder.mkdir()
    if clip.settings.files != MANIFEST:
        (folder / FRAMES).mkdir()
        yield from clip.images.write(clip.frames(window), folder / FRAMES)
    files = {}
    if note["audio"] is not None:
        files[note["audio"]] = clip.sound.part(*window.samples(clip.sound.sample_rate, clip.source.rate))[0]
    if note["labels"] is not None:
        files[note["labels"]] = frame_by_frame(note["persons"], clip.frames(window))
    return files | {NOTE: encoded(note)}
