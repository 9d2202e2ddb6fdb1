"""Tables of faces and voices of a split, read from the official files once and kept in a cache."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

from core.atomic import write_file
from datamodules.ava_index import digest
from datamodules.checking import Defect
from datamodules.errors import DataFileError
from datamodules.tracks import Annotations, Clip, TrackTable, VoiceTable

log = logging.getLogger(__name__)

TABLES_VERSION = 1  # to be raised when the same files give other tables
TRACKS, VOICES, REST = "tracks.parquet", "voices.parquet", "clips.json"


def cached_tables(
    cache: Path, inputs: Sequence[Path], settings: Mapping[str, Any], build: Callable[[], Annotations]
) -> Annotations:
    """Take the tables of a split from the cache, or build them and keep them there.

    Args:
        cache: Folder of the cache.
        inputs: Files that they are made of; one that changes makes other tables.
        settings: What else decides about them, as plain values.
        build: Makes them.
    """
    recipe = {"version": TABLES_VERSION, "settings": settings, "inputs": [digest(file) for file in inputs]}
    name = blake2b(json.dumps(recipe, sort_keys=True).encode(), digest_size=8).hexdigest()
    folder = cache / f"speakers_{name}"
    try:
        return read_tables(folder)
    except FileNotFoundError:
        log.info("the tracks of %s are put in order once; they are kept in %s", ", ".join(map(str, inputs)), folder)
    except (DataFileError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be used (%s); it is made anew", folder, error)
    found = build()
    write_tables(folder, found)
    return found


def write_tables(folder: Path, found: Annotations) -> None:
    """Write tables; the file with the clips comes last, and without it nothing counts."""
    folder.mkdir(parents=True, exist_ok=True)
    found.tracks.to_parquet(folder / TRACKS)
    found.voices.to_parquet(folder / VOICES)
    clips = [asdict(clip) | {"wearers": sorted(clip.wearers)} for clip in found.clips.values()]
    content = json.dumps({"clips": clips, "defects": [asdict(defect) for defect in found.defects]})
    write_file(folder / REST, content.encode())


def read_tables(folder: Path) -> Annotations:
    """Read what `write_tables` wrote.

    Raises:
        FileNotFoundError: When it is not there.
        ValueError: When it is broken.
    """
    content = json.loads((folder / REST).read_text(encoding="utf-8"))
    clips = [
        Clip(**clip | {"wearers": frozenset(clip["wearers"]), "persons": tuple(clip["persons"])})
        for clip in content["clips"]
    ]
    defects = tuple(Defect(**defect) for defect in content["defects"])
    tracks, voices = TrackTable.from_parquet(folder / TRACKS), VoiceTable.from_parquet(folder / VOICES)
    return Annotations(tracks, voices, {clip.video_id: clip for clip in clips}, defects)
