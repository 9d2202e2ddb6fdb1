"""Draws persons of a clip with what they do and what a model says that they do: as a sheet, and frame by frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

# Colours that also colour-blind people tell apart (Okabe and Ito, 2008), one for each person.
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#0072b2", "#d55e00")
INK, FAINT, PAPER = "#222222", "#757575", "#ffffff"
RIGHT, WRONG = "#1a7f37", "#c0271b"
HEIGHT = 288  # of the picture, in pixels
SMALL_HEIGHT = 84  # of the frames before and after
FONT_SIZE, LINE, GAP = 14, 19, 8
TEXT_WIDTH, CHARACTERS = 372, 38
INDENT = 88
LEGEND = "green: right; red with x: wrong; red with -: missed; a dashed box: not detected"


@dataclass(frozen=True)
class Person:
    """A box of a key frame.

    Attributes:
        box: x1, y1, x2, y2 in [0, 1] of the frame; None where that is not known.
        true: Names of the actions that are annotated there; empty for a box that finds no true one.
        predicted: Names and scores of the actions that a model sees, the highest score first; None for a true box
            that was not detected.
    """

    box: Sequence[float] | None
    true: Sequence[str]
    predicted: Sequence[tuple[str, float]] | None


@dataclass(frozen=True)
class Scene:
    """A clip around a key frame.

    Attributes:
        title: What to write above.
        frames: uint8 (T, H, W, 3).
        seconds: (T,), times of the frames, relative to the key frame.
        key: Position of the key frame.
        people: Its boxes.
    """

    title: str
    frames: NDArray[np.uint8]
    seconds: Sequence[float]
    key: int
    people: Sequence[Person]

    @property
    def fps(self) -> float:
        """Frames per second at which the clip runs as fast as what it shows."""
        steps = np.diff(np.asarray(self.seconds, dtype=float))
        steps = steps[steps > 0]
        return float(1 / np.median(steps)) if len(steps) else 1.0


def sheet(scenes: Sequence[Scene], num_frames: int) -> Image.Image:
    """Lay scenes below each other: the key frame with its boxes, what is true and predicted, and the clip in small.

    Args:
        scenes: At least one.
        num_frames: Frames shown of each clip, spread evenly.
    """
    parts = [part for scene in scenes for part in (picture(scene, scene.key), strip(scene, num_frames))]
    width = max(part.width for part in parts)
    page = Image.new("RGB", (width, sum(part.height + GAP for part in parts) + LINE + GAP), PAPER)
    ImageDraw.Draw(page).text((GAP, GAP), LEGEND, FAINT, font())
    top = LINE + GAP
    for part in parts:
        page.paste(part, (0, top))
        top += part.height + GAP
    return page


def film(scene: Scene) -> list[NDArray[np.uint8]]:
    """Every frame of a clip with the boxes of its key frame, thin where they are not of this frame."""
    return [np.asarray(picture(scene, time)) for time in range(len(scene.frames))]


def picture(scene: Scene, time: int) -> Image.Image:
    """A frame with the boxes of the key frame, a title above it, and the actions of each person beside it."""
    frame = resized(scene.frames[time], HEIGHT)
    lines = [line for number, person in enumerate(scene.people, start=1) for line in described(number, person)]
    height = LINE + GAP + max(frame.height, LINE * len(lines))
    page = Image.new("RGB", (frame.width + GAP + TEXT_WIDTH, height), PAPER)
    draw = ImageDraw.Draw(page)
    moment = "key frame" if time == scene.key else f"{scene.seconds[time]:+.2f} s"
    draw.text((GAP, GAP // 2), f"{scene.title}   {moment}", INK, font())
    draw_boxes(frame, scene.people, 3 if time == scene.key else 1)
    page.paste(frame, (0, LINE + GAP))
    for row, line in enumerate(lines):
        for x, text, colour in line:
            draw.text((frame.width + GAP + x, LINE + GAP + row * LINE), text, colour, font())
    return page


def described(number: int, person: Person) -> list[list[tuple[float, str, str]]]:
    """Lines about a person; each is a list of where to write what in which colour."""
    seen = [name for name, _ in person.predicted or ()]
    true = [(name, RIGHT) if name in seen else (f"- {name}", WRONG) for name in person.true]
    predicted = [
        (f"{name} {score:.2f}", RIGHT) if name in person.true else (f"x {name} {score:.2f}", WRONG)
        for name, score in person.predicted or ()
    ]
    nothing = "not detected" if person.predicted is None else "nothing"
    head = [(0.0, f"{number}", colour_of(number))]
    return [
        *listed("true", true or [("no true box here", FAINT)], head),
        *listed("predicted", predicted or [(nothing, FAINT)], []),
        [],
    ]


def listed(
    what: str, words: Sequence[tuple[str, str]], head: list[tuple[float, str, str]]
) -> list[list[tuple[float, str, str]]]:
    """Words of several colours in lines that are no wider than the text beside a picture."""
    lines, x = [[*head, (2.0 * GAP, what, FAINT)]], float(INDENT)
    for text, colour in words:
        for part in wrap(text, CHARACTERS):
            width = font().getlength(part)
            if x > INDENT and x + width > TEXT_WIDTH:
                lines.append([])
                x = float(INDENT)
            lines[-1].append((x, part, colour))
            x += width + 1.5 * GAP
    return lines


def draw_boxes(frame: Image.Image, people: Sequence[Person], thickness: int) -> None:
    """Draw the boxes of persons, dashed where they were not detected, and then the numbers of all."""
    draw, size = ImageDraw.Draw(frame), FONT_SIZE + 4
    sides = np.tile((frame.width - 1, frame.height - 1), 2)
    corners = {
        number: (np.clip(person.box, 0, 1) * sides).tolist()
        for number, person in enumerate(people, start=1)
        if person.box is not None
    }
    for number, (x1, y1, x2, y2) in corners.items():
        for start, stop in (((x1, y1), (x2, y1)), ((x2, y1), (x2, y2)), ((x1, y2), (x2, y2)), ((x1, y1), (x1, y2))):
            for first, last in dashes(start, stop) if people[number - 1].predicted is None else [(start, stop)]:
                draw.line([*first, *last], colour_of(number), thickness)
    for number, (x1, y1, _, _) in corners.items():
        draw.rectangle((x1, y1, x1 + size, y1 + size), colour_of(number))
        draw.text((x1 + size / 2, y1 + size / 2), f"{number}", INK, font(), anchor="mm")


def dashes(
    start: tuple[float, float], stop: tuple[float, float], length: float = 6.0
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Every second piece of a line."""
    first, last = np.array(start), np.array(stop)
    count = max(int(np.abs(last - first).max() / length), 1)
    points = first + (last - first) * np.linspace(0, 1, count + 1)[:, None]
    return list(zip(points[:-1:2], points[1::2], strict=True))


def strip(scene: Scene, num_frames: int) -> Image.Image:
    """Frames of a clip side by side, with their times."""
    times = np.unique(np.linspace(0, len(scene.frames) - 1, num_frames).round().astype(int))
    frames = [resized(scene.frames[time], SMALL_HEIGHT) for time in times]
    page = Image.new("RGB", (sum(frame.width + GAP // 2 for frame in frames), SMALL_HEIGHT + LINE), PAPER)
    left = 0
    for time, frame in zip(times, frames, strict=True):
        page.paste(frame, (left, 0))
        ImageDraw.Draw(page).text((left, SMALL_HEIGHT + 1), f"{scene.seconds[time]:+.2f} s", FAINT, font(FONT_SIZE - 3))
        left += frame.width + GAP // 2
    return page


def resized(frame: NDArray[np.uint8], height: int) -> Image.Image:
    """A frame (H, W, 3) of another height."""
    width = round(frame.shape[1] * height / frame.shape[0])
    return Image.fromarray(np.ascontiguousarray(frame)).resize((width, height), Image.Resampling.BICUBIC)


def colour_of(number: int) -> str:
    """The colour of a person, counted from 1."""
    return COLOURS[(number - 1) % len(COLOURS)]


def font(size: int = FONT_SIZE) -> ImageFont.FreeTypeFont:
    """The letters of everything."""
    return ImageFont.load_default(size)
