"""Files of explained answers: the numbers, a sheet, films, pictures of every frame."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from callbacks.saliency_beside import draw_beside
from callbacks.saliency_pictures import FILM_WIDTH, film, sheet, title
from callbacks.saliency_sample import Sample
from callbacks.saliency_tubes import write_tubes
from callbacks.video_file import write_mp4
from core.atomic import replace_file
from models.saliency.colours import Colours

Format = Literal["npz", "png", "mp4", "gif", "tubes"]
FORMATS: tuple[str, ...] = get_args(Format)
ALWAYS = ("npz", "png")  # formats that need neither pixels nor a map
NAME_LENGTH, PART_LENGTH = 80, 40  # characters of a video's name within a file's, and of other parts of it
LARGEST_GIF = 2_000_000  # bytes; hosts of READMEs and issues take no much larger ones
SMALLER = 0.75  # by which a gif that is larger shrinks
NARROWEST = 48  # pixels of a clip in a gif


class SampleFiles:
    """Writes the files of samples, each whole or not at all.

    Args:
        folder: Where they go; must exist.
        formats: Of the files, see `FORMATS`. Films need pixels and a map: of other samples there are none; ``tubes``,
            a folder of pictures (`callbacks.saliency_tubes`), an explained class as well.
        num_frames: Frames on a sheet.
        alpha: Share of the colour in an overlay.
        table: Colours of maps.
    """

    def __init__(self, folder: Path, formats: Sequence[str], num_frames: int, alpha: float, table: Colours) -> None:
        self.folder, self.formats = folder, formats
        self.num_frames, self.alpha, self.table = num_frames, alpha, table

    def write(self, sample: Sample) -> list[str]:
        """Write the files of a sample, and a sheet for each picture of its own; return their names."""
        ways: Mapping[str, Callable[[BinaryIO], object]] = {
            "npz": lambda file: np.savez_compressed(file, **arrays(sample)),
            "png": lambda file: self.sheet(sample).save(file, format="PNG", optimize=True),
            "mp4": partial(self._mp4, sample),
            "gif": lambda file: file.write(self.gif(sample)),
        }
        shown = sample.pixels is not None and bool(sample.maps)
        names = [f"{stem(sample)}.{kind}" for kind in self.formats if kind in ways and (shown or kind in ALWAYS)]
        for name in names:
            replace_file(self.folder / name, ways[name.rpartition(".")[2]])
        for kind, values in sample.pictures.items() if "png" in self.formats else ():
            names.append(f"{stem(sample)}_{kind}.png")
            content = draw_beside(kind, title(sample), values)
            replace_file(self.folder / names[-1], lambda file, content=content: file.write(content))
        if "tubes" in self.formats and shown and sample.target is not None:
            names += write_tubes(self.folder / stem(sample), sample)
        return names

    def sheet(self, sample: Sample) -> Image.Image:
        """The sheet of a sample."""
        return sheet(sample, self.num_frames, self.alpha, self.table)

    def gif(self, sample: Sample) -> bytes:
        """The film of a sample as a gif that hosts take: the larger the clip, the smaller its pictures."""
        width = float(FILM_WIDTH)
        while True:
            found = gif(list(film(sample, self.alpha, self.table, int(width))), sample.fps)
            if len(found) <= LARGEST_GIF or width * SMALLER < NARROWEST:
                return found
            width *= SMALLER

    def _mp4(self, sample: Sample, file: BinaryIO) -> None:
        pictures = film(sample, self.alpha, self.table)
        write_mp4(file, ((place / sample.fps, picture) for place, picture in enumerate(pictures)), sample.fps)


def stem(sample: Sample) -> str:
    """What the files of a sample are called: its number, video, frames, subject, target and method.

    The number tells samples apart whose names differ in what no file system takes.
    """
    parts = [f"{sample.number:03d}", sample.name[-NAME_LENGTH:], f"{sample.frames[0]}-{sample.frames[-1]}"]
    parts += [part[:PART_LENGTH] for part in (sample.subject, sample.said, sample.method) if part]
    return "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", part).strip("-.") or "-" for part in parts)


def arrays(sample: Sample) -> dict[str, NDArray]:
    """Everything that is known of a sample, without pickles; pictures can be made of it and of the video.

    Returns:
        ``frames``, ``seconds`` (T,); ``name``, ``subject``, ``target``, ``truth``, ``method`` (texts); ``class`` of the
        target, -1 for none; ``output`` (K,) and ``probability``; of evidence ``map/<stream>`` (T', H', W') float32 on
        the model's own grid with ``layer/<stream>``, ``constant``, ``logit``, whether it is ``exact`` and then
        ``completeness_error``; ``shown/<title>`` (T, H, W) float16 in [0, 1] with the ``limits`` of the first;
        ``curve/<title>``, ``number/<title>``; ``regions`` (T, R, 4).
    """
    texts = {"name": sample.name, "subject": sample.subject, "target": sample.said, "method": sample.method}
    texts |= {} if sample.truth is None else {"truth": sample.truth}
    found = {key: np.array(text) for key, text in texts.items()}
    found |= {"frames": sample.frames, "seconds": sample.seconds, "output": sample.output}
    found |= {"class": np.array(-1 if sample.target is None else sample.target)}
    found |= {"probability": np.array(sample.probability), "limits": np.array(sample.limits)}
    if sample.evidence is not None:
        evidence = sample.evidence
        found |= {f"map/{stream}": values[0].cpu().numpy() for stream, values in evidence.maps.items()}
        found |= {f"layer/{stream}": np.array(layer) for stream, layer in evidence.layers.items()}
        found |= {"constant": evidence.constant[0].cpu().numpy(), "logit": evidence.logit[0].cpu().numpy()}
        found["exact"] = np.array(evidence.exact)
        if evidence.exact:
            found["completeness_error"] = evidence.completeness_error()[0].cpu().numpy()
    found |= {f"shown/{title}": values.astype(np.float16) for title, values in sample.maps.items()}
    found |= {f"curve/{title}": values for title, values in sample.curves.items()}
    found |= {f"number/{title}": np.array(value) for title, value in sample.numbers.items()}
    return found if sample.regions is None else found | {"regions": sample.regions}


def gif(frames: Sequence[NDArray[np.uint8]], fps: float) -> bytes:
    """Encode frames, uint8 (H, W, 3) each, as a gif that plays for ever."""
    images = [Image.fromarray(frame) for frame in frames]
    palette = images[len(images) // 2].quantize(256, Image.Quantize.FASTOCTREE)  # rare colours too, as the bar's
    first, *rest = [image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for image in images]
    buffer = BytesIO()
    times = [round(100 * place / fps) * 10 for place in range(len(frames) + 1)]  # a gif counts hundredths of seconds
    durations = [max(20, stop - start) for start, stop in pairwise(times)]
    first.save(buffer, format="GIF", save_all=True, append_images=rest, duration=durations, loop=0, optimize=True)
    return buffer.getvalue()
