"""Frames of videos as folders of JPEG images, numbered from 1: ``<folder>/<video>/img_00001.jpg``.

Names as in rekkles2/Fed_WSVAD and its ancestor wanboyang/anomly_feature.pytorch; the colours are right.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from PIL import Image

from core.atomic import PARTIALS, replace_file
from datamodules.errors import VideoReadError
from datamodules.export.product import FRAMES, Product, failed
from datamodules.parallel import for_each
from datamodules.reading import VideoFacts, open_video
from datamodules.reading.frame_folder import IMAGE_SUFFIXES, list_frames, opened
from datamodules.video_index import stamp

IMAGE = "img_{:05d}.jpg"
NOTES = ".vidzoo"  # what the images of each video were made of; hidden, so that no program takes it for a video
VERSION = 1  # to be raised when the same video and options give other images
CHUNK_BYTES = 32_000_000  # of pixels that are decoded at a time


def write_frames(
    facts: Mapping[str, VideoFacts],
    folder: Path,
    quality: int,
    backend: str,
    processes: int,
    timeout_s: float | None,
) -> Iterator[Product]:
    """Write the frames of videos, several videos at a time.

    The folder of a video appears complete or not at all. One that is there is left as it is when it holds exactly the
    images that were written into it, from the same file with the same quality; else it is made anew. A folder without
    a note of ours (``NOTES``) is never touched. Two jobs must not write into the same folder at the same time.

    Args:
        facts: The videos by name; all frames of each are written, also where a list names a part of it.
        folder: Where the folders go.
        quality: Quality of the JPEG images, 1 to 100; images that are JPEG already are copied.
        backend: How videos are read.
        processes: Videos that are worked on at the same time.
        timeout_s: Seconds without a frame after which a video is given up; None for never.

    Yields:
        A product for each video.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        yield failed(FRAMES, folder, f"cannot be made ({error.strerror})")
        return
    remove_partials(folder)
    calls: dict[Path, tuple] = {}
    for name, known in facts.items():
        target, note = place(folder, name), place(folder / NOTES, f"{name}.json")
        try:
            origin = origin_of(known, quality)
        except OSError as error:
            yield failed(FRAMES, target, f"{known.path} is gone ({error.strerror})")
            continue
        if is_whole(target, note, origin):
            yield Product(FRAMES, str(target), "kept")
        elif target.exists() and not note.exists():
            yield failed(FRAMES, target, "is there already and was not written by mode=prepare; name another folder")
        else:
            calls[known.path] = (known, target, note, folder / f".saving-{uuid4().hex}.part", origin, backend)
    try:
        for path, made in for_each(write_video, calls, processes, timeout_s, "written as images:"):
            yield failed(FRAMES, calls[path][1], made) if isinstance(made, VideoReadError) else made
    finally:
        remove_partials(folder)


def write_video(
    facts: VideoFacts, target: Path, note: Path, partial: Path, origin: dict[str, Any], backend: str
) -> Iterator[None]:
    """Write the frames of a video; a generator that yields while it goes on, and returns a ``Product``.

    Args:
        facts: The video.
        target: Folder of the images.
        note: File that says what they were made of.
        partial: Folder that they are in until all are there.
        origin: What they are made of.
        backend: How the video is read.
    """
    try:
        partial.mkdir()
        write = copy_images if facts.kind == "frames" else encode_frames
        yield from write(facts, partial, origin["quality"], backend)
        size = size_of(partial, facts.frame_count)
        if size is None:
            found = sum(1 for _ in partial.iterdir())
            return failed(FRAMES, target, f"expected {facts.frame_count} frames of {facts.path}, found {found}")
        # A note without its folder counts for nothing, a folder without its note would belong to somebody else.
        if target.exists():
            old = partial.with_suffix(f".old{partial.suffix}")
            target.rename(old)
            shutil.rmtree(old)
        note.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps(origin | {"size": size}, indent=1)
        replace_file(note, lambda file: file.write(content.encode()))
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.rename(target)
    except OSError as error:
        return failed(FRAMES, target, f"cannot be written ({error.strerror or error})")
    return Product(FRAMES, str(target), "made")


def encode_frames(facts: VideoFacts, folder: Path, quality: int, backend: str) -> Iterator[None]:
    """Decode a video file from its beginning to its end and write every frame."""
    chunk = max(1, CHUNK_BYTES // (facts.height * facts.width * 3))
    with open_video(facts, backend) as reader:
        for start in range(0, facts.frame_count, chunk):
            stop = min(start + chunk, facts.frame_count)
            for number, pixels in enumerate(reader.read(range(start, stop)), start=start + 1):
                Image.fromarray(pixels).save(folder / IMAGE.format(number), "JPEG", quality=quality)
            yield


def copy_images(facts: VideoFacts, folder: Path, quality: int, backend: str) -> Iterator[None]:
    """Copy the images of a frame folder under their new numbers; what is no JPEG in colour becomes one."""
    for number, path in enumerate(list_frames(facts.path).values(), start=1):
        with opened(path) as image:
            if image.size != (facts.width, facts.height):
                found = "x".join(map(str, image.size))
                raise VideoReadError(path, f"expected {facts.width}x{facts.height} pixels, found {found}")
            is_jpeg = (image.format, image.mode) == ("JPEG", "RGB")
            pixels = image.convert("RGB")  # decoded also to be copied, so that a broken image is found here
        copy = folder / IMAGE.format(number)
        if is_jpeg:
            shutil.copyfile(path, copy)
        else:
            pixels.save(copy, "JPEG", quality=quality)
        yield


def origin_of(facts: VideoFacts, quality: int) -> dict[str, Any]:
    """What the images of a video are made of: another source or option is another origin."""
    size, changed = stamp(facts.path)
    source = {"source_bytes": size, "source_changed_ns": changed, "frames": facts.frame_count}
    return {"version": VERSION, "quality": quality} | source


def is_whole(target: Path, note: Path, origin: dict[str, Any]) -> bool:
    """Whether a folder holds the images that its note tells of, and these have the right origin."""
    try:
        noted = json.loads(note.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return noted == origin | {"size": size_of(target, origin["frames"])} and noted["size"] is not None


def size_of(folder: Path, count: int) -> int | None:
    """Bytes of ``count`` images; None when there are more, fewer or others. After a loss of power some may be empty."""
    if not folder.is_dir():
        return None
    with os.scandir(folder) as entries:
        sizes = {entry.name: entry.stat().st_size for entry in entries if Path(entry.name).suffix in IMAGE_SUFFIXES}
    return sum(sizes.values()) if sizes.keys() == {IMAGE.format(number) for number in range(1, count + 1)} else None


def place(folder: Path, name: str) -> Path:
    """Where something of a video goes; a name that is a whole path leads below the folder as well."""
    return folder / name.lstrip("/")


def remove_partials(folder: Path) -> None:
    """Remove what a killed job has left."""
    for path in folder.glob(PARTIALS):
        shutil.rmtree(path, ignore_errors=True)
