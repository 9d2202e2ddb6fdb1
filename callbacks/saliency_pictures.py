"""Draws explained answers: a sheet of frames, maps and overlays, and the same frame by frame for films."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from textwrap import fill

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from callbacks.saliency_sample import Sample, region_mask
from models.saliency.colours import Colours, blend, colour, colour_table

SHEET_WIDTH, FILM_WIDTH = 160, 320  # of a frame, in pixels, roughly: small ones become a whole factor larger
LABEL_WIDTH, LABEL_CHARACTERS = 124, 17
BAR_WIDTH, BAR = 84, 14  # of the colour bar with its numbers, and of its colours
CURVE_HEIGHT = 64
CLIP, FRAMED, OVERLAY = "clip", ", framed: where evidence is expected", "overlay"
FONT_SIZE, LINE, GAP = 14, 19, 6
INK, FAINT, FAINTER, PAPER, CURVE = "#222222", "#757575", "#d9d9d9", "#ffffff", "#1f4e79"
OUTLINE = (255, 34)  # grey levels around what is expected, from outside: seen on any ground, also at borders


def title(sample: Sample) -> str:
    """Video, subject and target of a sample."""
    return ", ".join(part for part in (sample.name, sample.subject, sample.said) if part)


def caption(sample: Sample, frames: str) -> list[str]:
    """Lines about a sample: what is shown, what was said, and how it was explained."""
    lines = [f"{', '.join(part for part in (sample.name, sample.subject) if part)}   {frames}"]
    if sample.said:
        logit = sample.output[sample.target]
        true = "" if sample.truth is None else f"   true: {sample.truth}"
        lines.append(f"target: {sample.said}   logit {logit:.3f}   probability {sample.probability:.3f}{true}")
    if sample.evidence is not None:
        layers = ", ".join(dict.fromkeys(sample.evidence.layers.values()))
        exact = (
            f"   off the logit by {sample.evidence.completeness_error().item():.1e}" if sample.evidence.exact else ""
        )
        lines.append(f"{sample.method}{' at ' if layers else ''}{layers}{exact}")
    if sample.numbers:
        lines.append("   ".join(f"{title} {value:.3g}" for title, value in sample.numbers.items()))
    return lines


def sheet(sample: Sample, num_frames: int, alpha: float, table: Colours) -> Image.Image:
    """Lay out frames of a clip with their maps and overlays below, a colour bar, curves over time, and a caption.

    Args:
        sample: What is shown.
        num_frames: Frames shown, spread evenly.
        alpha: Share of the colour in an overlay.
        table: Colours of the maps.
    """
    times = np.unique(np.linspace(0, len(sample.frames) - 1, num_frames).round().astype(int))
    numbers = sample.frames[times].tolist()
    spoken = f"frames {', '.join(map(str, numbers))}"
    if np.isfinite(sample.seconds).all():  # those of rows of features are not known
        spoken += f"   ({sample.seconds[times[0]]:.2f} to {sample.seconds[times[-1]]:.2f} s)"
    rows = {
        name: [fitted(frame, SHEET_WIDTH) for frame in found] for name, found in pictures(sample, times, alpha, table)
    }
    width = max(
        (sum(frame.width + GAP for frame in row) for row in rows.values()), default=num_frames * (SHEET_WIDTH + GAP)
    )
    lines = wrapped(caption(sample, spoken), LABEL_WIDTH + width + BAR_WIDTH - 2 * GAP)
    heights = {title: row[0].height + GAP for title, row in rows.items()}
    height = LINE * len(lines) + 2 * GAP + sum(heights.values()) + GAP + (CURVE_HEIGHT + LINE) * len(sample.curves)
    page = Image.new("RGB", (LABEL_WIDTH + width + BAR_WIDTH, height), PAPER)
    draw = ImageDraw.Draw(page)
    top = written(draw, lines, (GAP, GAP))
    tops = {}
    for name, row in rows.items():
        tops[name] = top
        draw.multiline_text((GAP, top + GAP), fill(name, LABEL_CHARACTERS), INK, font(), spacing=2)
        for place, frame in enumerate(row):
            page.paste(frame, (LABEL_WIDTH + place * (frame.width + GAP), top))
        top += heights[name]
    if OVERLAY in rows:  # beside what it is of: the rows below have scales of their own
        first, end = tops[next(iter(sample.maps))], tops[OVERLAY] + heights[OVERLAY] - GAP
        draw_bar(page, (LABEL_WIDTH + width + GAP, first, end), sample.limits, table)
    top += GAP if rows else 0
    for name, values in sample.curves.items():
        draw.multiline_text((GAP, top + GAP), fill(name, LABEL_CHARACTERS), INK, font(), spacing=2)
        draw_curve(draw, values, (LABEL_WIDTH, top, LABEL_WIDTH + width - GAP, top + CURVE_HEIGHT))
        top += CURVE_HEIGHT + LINE
    return page


def film(sample: Sample, alpha: float, table: Colours, width: int = FILM_WIDTH) -> Iterator[NDArray[np.uint8]]:
    """Every frame of a clip beside its overlay, with a colour bar and a caption.

    Args:
        sample: With pixels and a map.
        alpha: Share of the colour.
        table: Colours of the map.
        width: Of the clip, in pixels.
    """
    places = np.arange(len(sample.frames))
    shown = dict(pictures(sample, places, alpha, table))
    clips, overlays = next(iter(shown.values())), shown[OVERLAY]
    for time, number in enumerate(sample.frames.tolist()):
        left, right = fitted(clips[time], width), fitted(overlays[time], width)
        across = left.width + GAP + right.width + BAR_WIDTH
        lines = wrapped(caption(sample, f"frame {number}   {sample.seconds[time]:.2f} s"), across - 2 * GAP)
        page = Image.new("RGB", (across, LINE * len(lines) + 3 * GAP + left.height), PAPER)
        top = written(ImageDraw.Draw(page), lines, (GAP, GAP))
        page.paste(left, (0, top))
        page.paste(right, (left.width + GAP, top))
        draw_bar(page, (across - BAR_WIDTH + GAP, top, top + left.height), sample.limits, table)
        yield np.asarray(page)


def pictures(
    sample: Sample, times: NDArray[np.int64], alpha: float, table: Colours
) -> Iterator[tuple[str, list[NDArray[np.uint8]]]]:
    """Rows of frames by title: the clip, the map, its overlay, and all other maps."""
    if sample.pixels is None:
        return
    clip = torch.from_numpy(sample.pixels[times].copy())
    framed = sample.regions is not None and np.isfinite(sample.regions).any()
    yield (
        CLIP + (FRAMED if framed else ""),
        [outlined(frame, sample, time) for frame, time in zip(clip.numpy(), times, strict=True)],
    )
    for place, (title, found) in enumerate(sample.maps.items()):
        maps = torch.from_numpy(found[times].copy())
        yield title, list(colour(maps, table).numpy())
        if place == 0:
            yield OVERLAY, list(blend(clip, maps, alpha, table).numpy())


def outlined(frame: NDArray[np.uint8], sample: Sample, time: int) -> NDArray[np.uint8]:
    """A frame with the outline of where evidence is expected."""
    if sample.regions is None:
        return frame
    expected = torch.from_numpy(sample.regions[time : time + 1])
    inside = region_mask(expected, (1, *frame.shape[:2]))[0].numpy()
    for level in OUTLINE:
        beside = np.pad(inside, 1)
        within = inside & beside[2:, 1:-1] & beside[:-2, 1:-1] & beside[1:-1, 2:] & beside[1:-1, :-2]
        frame, inside = np.where((inside & ~within)[..., None], np.uint8(level), frame), within
    return frame


def draw_bar(page: Image.Image, place: tuple[int, int, int], limits: tuple[float, float], table: Colours) -> None:
    """Draw the colours of a map from bottom to top with the numbers at their ends, and where 0 is.

    Args:
        page: Drawn on.
        place: Left, top and bottom in pixels.
        limits: Evidence at the bottom and the top.
        table: The colours.
    """
    left, top, bottom = place
    column = Image.fromarray(colour_table(table).flip(0).unsqueeze(1).numpy().copy())
    page.paste(column.resize((BAR, bottom - top), Image.Resampling.BILINEAR), (left, top))
    draw, (least, most) = ImageDraw.Draw(page), limits
    words = [(top, "lt", f"{most:.3g}"), (bottom, "lb", f"{least:.3g}")]
    if least < 0 < most:
        zero = bottom - (bottom - top) * -least / (most - least)
        if top + LINE < zero < bottom - LINE:
            draw.line((left, zero, left + BAR, zero), PAPER)
            words.append((zero, "lm", "0"))
    for y, anchor, text in words:
        draw.text((left + BAR + GAP, y), text, INK, font(FONT_SIZE - 2), anchor=anchor)


def draw_curve(draw: ImageDraw.ImageDraw, values: NDArray[np.float32], place: tuple[int, int, int, int]) -> None:
    """Draw numbers over the time of a clip with the least and the greatest of them.

    Args:
        draw: Drawn with.
        values: (N,); each stands for an equal part of the time.
        place: Left, top, right and bottom in pixels.
    """
    left, top, right, bottom = place
    least, most = float(values.min()) + 0.0, float(values.max()) + 0.0  # no -0
    width = most - least or 1.0
    draw.line((left, bottom, right, bottom), FAINT)
    if least < 0 < most:
        zero = bottom - (bottom - top) * -least / width
        draw.line((left, zero, right, zero), FAINTER)
    x = left + (np.arange(len(values)) + 0.5) * (right - left) / len(values)
    y = bottom - (bottom - top - 2) * (values - least) / width
    draw.line(list(zip(x.tolist(), y.tolist(), strict=True)) * (1 if len(values) > 1 else 2), CURVE, 2)
    draw.text((right + GAP, top), f"{most:.3g}", FAINT, font(FONT_SIZE - 2), anchor="lt")
    draw.text((right + GAP, bottom), f"{least:.3g}", FAINT, font(FONT_SIZE - 2), anchor="lb")


def wrapped(lines: Sequence[str], width: int) -> list[tuple[str, str]]:
    """Lines that are no wider than so many pixels, with their inks: that of the first two, and of what is below."""
    found = []
    for row, rest in enumerate(lines):
        ink = INK if row < 2 else FAINT
        while font().getlength(rest) > width:
            most = max((end for end in range(1, len(rest)) if font().getlength(rest[:end]) <= width), default=1)
            space = rest.rfind(" ", 1, most + 1)
            cut = most if space < 0 else space  # a word that is too long is cut
            found.append((rest[:cut].rstrip(), ink))
            rest = rest[cut:].lstrip()
        found.append((rest, ink))
    return found


def written(draw: ImageDraw.ImageDraw, lines: Sequence[tuple[str, str]], place: tuple[int, int]) -> int:
    """Write lines in their inks; return where what is below them begins."""
    for row, (line, ink) in enumerate(lines):
        draw.text((place[0], place[1] + row * LINE), line, ink, font())
    return place[1] + len(lines) * LINE + GAP


def fitted(frame: NDArray[np.uint8], width: int) -> Image.Image:
    """A frame of about this width: a whole factor larger, so that what is small stays sharp, or smaller."""
    image = Image.fromarray(np.ascontiguousarray(frame))
    factor = round(width / image.width)
    if factor >= 1:
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    return image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)


@lru_cache
def font(size: int = FONT_SIZE) -> ImageFont.FreeTypeFont:
    """The letters of everything."""
    return ImageFont.load_default(size)
