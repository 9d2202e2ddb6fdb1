"""What samples of face tracks are made of, put together once: the faces and the sound of each clip."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from core.atomic import PARTIALS, replace_file, unlink
from datamodules.errors import VideoReadError
from datamodules.export.product import Product, failed
from datamodules.faces.cache import FacePlan, pack_faces, stamped
from datamodules.parallel import for_each
from datamodules.sound import probe_sound, read_sound

FACES, SOUND = "faces", "sound"  # folders below the cache, and kinds of products
SOUND_VERSION = 1  # to be raised when the same file gives other samples


@dataclass(frozen=True)
class ClipPlan:
    """What is packed of a clip.

    Attributes:
        name: What the clip is called.
        faces: Which faces are cut out.
        sound: File whose sound it has; None for none.
        cache: Folder of the packed files.
    """

    name: str
    faces: FacePlan
    sound: Path | None
    cache: Path

    @property
    def faces_file(self) -> Path:
        """Where the faces are packed."""
        return self.faces.file(self.cache / FACES)

    @property
    def sound_file(self) -> Path | None:
        """Where the sound is packed; None without sound."""
        if self.sound is None:
            return None
        made_of = json.dumps([SOUND_VERSION, stamped(self.sound)]).encode()
        return self.cache / SOUND / f"{self.sound.stem}-{blake2b(made_of, digest_size=8).hexdigest()}.npy"

    def files(self) -> dict[str, Path]:
        """All packed files, by kind."""
        sound = self.sound_file
        return {FACES: self.faces_file} | ({} if sound is None else {SOUND: sound})


def pack_sound(sound: Path, file: Path) -> None:
    """Keep the sound of a file as float32 (N,) at 16 kHz, from the first frame on.

    Raises:
        SoundReadError: When it cannot be read.
    """
    samples = read_sound(probe_sound(sound))
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, lambda stream: np.save(stream, samples, allow_pickle=False))


def pack_clip(plan: ClipPlan, backend: str) -> Iterator[None]:
    """Pack what is not there; a generator that yields while it goes on, and returns the products of the clip.

    Raises:
        VideoReadError: When the video or its sound cannot be read.
    """
    made = []
    for kind, file in plan.files().items():
        if file.exists():
            made.append(Product(kind, str(file), "kept"))
            continue
        try:
            if kind == SOUND:
                pack_sound(plan.sound, file)
                yield
            else:
                yield from pack_faces(plan.faces, file, backend)
        except OSError as error:
            made.append(failed(kind, file, f"cannot be written ({error.strerror or error})"))
        else:
            made.append(Product(kind, str(file), "made"))
    return made


def pack_all(
    plans: Mapping[Path, ClipPlan], backend: str, processes: int, timeout_s: float | None
) -> Iterator[tuple[ClipPlan, list[Product] | VideoReadError]]:
    """Pack all clips, several at a time.

    Args:
        plans: What is packed, by the video.
        backend: How videos are read.
        processes: Clips that are worked on at the same time.
        timeout_s: Seconds without a frame after which a video is given up; None for never.

    Yields:
        Each clip with its products, or with the error that says why it cannot be read.
    """
    calls = {path: (plan, backend) for path, plan in plans.items()}
    for path, found in for_each(pack_clip, calls, processes, timeout_s, "packed:"):
        yield plans[path], found


def remove_partials(cache: Path) -> None:
    """Remove what a killed process left half written."""
    for folder in (cache / FACES, cache / SOUND):
        for partial in folder.glob(PARTIALS):
            unlink(partial)
