"""Pictures of every frame in folders, as the published script of Saliency Tubes leaves them."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image

from callbacks.saliency_sample import Sample
from core.atomic import replace_file, take_place
from models.saliency.colours import published_focus, published_heat

INFO = "info.txt"


def write_tubes(folder: Path, sample: Sample) -> list[str]:
    """Write ``<class>/heatmap/000.png`` ..., ``<class>/focusmap/000.png`` ... and ``<class>/info.txt``, all or none.

    Names, colours and contents are those of
    alexandrosstergiou/Saliency-Tubes-Visual-Explanations-for-Spatio-Temporal-Convolutions: ``<class>`` is the number of
    the explained class, pictures are numbered by their place in the clip. Unlike there, nothing of an earlier run
    stays: it would append to ``info.txt``, and keep the last pictures of a longer clip.

    Args:
        folder: Of the clip; is replaced. Its parent must exist.
        sample: With pixels, a map and an explained class.

    Returns:
        Names of the files, beginning with that of the folder.
    """
    partial = folder.with_name(f".saving-{os.getpid()}.part")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for kind, pictures in drawn(sample):
            inner = partial / str(sample.target) / kind
            inner.mkdir(parents=True)
            for place, picture in enumerate(pictures):
                picture.save(inner / f"{place:03d}.png", optimize=True)
        said = f"Visualizing for class {sample.target}\nPredicted class {sample.output.argmax()}\n"
        replace_file(partial / str(sample.target) / INFO, lambda file: file.write(said.encode()))
        names = sorted(path.relative_to(partial) for path in partial.rglob("*") if path.is_file())
        if folder.exists():
            shutil.rmtree(folder)
        take_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return [(Path(folder.name) / name).as_posix() for name in names]


def drawn(sample: Sample) -> Iterator[tuple[str, list[Image.Image]]]:
    """Both kinds of pictures, one of each frame: heat over it, and the frame the more opaque the higher the map."""
    frames, tube = torch.from_numpy(sample.pixels.copy()), torch.from_numpy(next(iter(sample.maps.values())))
    yield "heatmap", [Image.fromarray(frame) for frame in published_heat(frames, tube).numpy()]
    yield "focusmap", [Image.fromarray(frame) for frame in published_focus(frames, tube).numpy()]
