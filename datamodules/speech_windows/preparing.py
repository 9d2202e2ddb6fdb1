"""What ``mode=prepare`` makes of clips with faces and voices: windows of one length, all clips at once."""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from uuid import uuid4

from core.atomic import write_file
from datamodules.errors import DataFileError, VideoReadError
from datamodules.export.frames import remove_partials
from datamodules.export.product import Product, failed
from datamodules.parallel import for_each
from datamodules.speech_windows.cutting import WINDOWS, cut_clip, summary
from datamodules.speech_windows.json_text import encoded
from datamodules.speech_windows.notes import NOTE, VERSION
from datamodules.speech_windows.settings import ClipSource, WindowSettings
from datamodules.tracks import Annotations

log = logging.getLogger(__name__)

SETTINGS = "windows.json"  # in the folder of all windows: what they have in common


def prepare_windows(
    sources: Sequence[ClipSource],
    annotations: Mapping[str, Annotations],
    folder: Path,
    settings: WindowSettings,
    *,
    overwrite: bool = False,
    processes: int = 1,
    timeout_s: float | None = None,
    backend: str = "auto",
) -> Iterator[Product]:
    """Cut clips into windows, several clips at a time; what was made before a kill is kept by the next call.

    Windows appear complete or not at all. All in a folder are of one length and kind. Two jobs must not write into the
    same folder at the same time.

    Args:
        sources: The clips.
        annotations: Faces and voices, by split.
        folder: Where the windows go.
        settings: How clips are cut.
        overwrite: Remove windows in the folder that were made otherwise, in place of refusing to mix.
        processes: Clips that are worked on at the same time.
        timeout_s: Seconds without a sign of life after which a clip is given up; None for never.
        backend: How videos are read.

    Yields:
        A product for each clip, in the order in which they are done.
    """
    try:
        claim(folder, settings, overwrite)
    except DataFileError as error:
        yield failed(WINDOWS, error.path, error.reason)
        return
    except OSError as error:
        yield failed(WINDOWS, folder, f"cannot be written ({error.strerror or error})")
        return
    calls = {folder / one.split / one.name: (one, folder, settings, overwrite, backend) for one in sources}
    cut_one = partial(cut_clip, annotations)  # not among the calls: processes begin with them in their memory
    counts: Counter = Counter()
    try:
        for path, cut in for_each(cut_one, calls, processes, timeout_s, "cut into windows:"):
            if isinstance(cut, VideoReadError):
                yield failed(WINDOWS, path, cut)
                continue
            counts += cut.counts
            yield cut.product
    finally:
        remove_partials(folder)
    log.info("%s: %s", folder, summary(counts))


def claim(folder: Path, settings: WindowSettings, overwrite: bool) -> None:
    """See that a folder holds windows of these settings, and no others.

    Raises:
        DataFileError: When it holds others.
        OSError: When it cannot be written.
    """
    note, content = folder / SETTINGS, {"version": VERSION, **settings.parameters()}
    folder.mkdir(parents=True, exist_ok=True)
    remove_partials(folder)
    if note.is_file():
        found = read_settings(note)
        differing = [name for name in content if found.get(name) != content[name]]
        if not differing:
            return
        name = differing[0]
        if not overwrite:
            problem = f"holds windows with {name}={found.get(name)}, expected {content[name]}"
            raise DataFileError(folder, f"{problem}; name another folder, or let the windows be overwritten")
        for window in folder.glob(f"*/*/clip_f*/{NOTE}"):
            shutil.rmtree(window.parent.rename(folder / f".saving-{uuid4().hex}.part"))
    write_file(note, encoded(content))


def read_settings(note: Path) -> dict:
    """What the windows of a folder have in common.

    Raises:
        DataFileError: When the file is not one of ours.
    """
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataFileError(note, f"cannot be read ({error}); remove it with the windows beside it") from error
    if not isinstance(found, dict):
        raise DataFileError(note, "does not say how windows were made; name another folder")
    return found
