"""Where a clip looks: rectangles of the stored frame, how they are drawn, and what they do to pixels and boxes."""

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional

# Scales of the multi-scale crop and the largest difference between the indices of its two sides; places of a crop as
# quarters (horizontal, vertical) of the free room. Wang et al., TSN (2016), as VideoMAE and FocusMAE use it.
MULTI_SCALES = (1.0, 0.875, 0.75, 0.66)
MULTI_SCALE_DISTORTION = 1
MULTI_SCALE_PLACES = (
    *((0, 0), (4, 0), (0, 4), (4, 4), (2, 2)),  # corners and centre
    *((0, 2), (4, 2), (2, 4), (2, 0)),  # middles of the edges
    *((1, 1), (3, 1), (1, 3), (3, 3)),  # between the centre and the corners
)
# A side within this many pixels of the wanted size takes the wanted size, which saves the resizing.
MULTI_SCALE_SNAP = 2

# Tries of a random resized crop before it falls back to the centre; one in some thousands gets there.
CROP_TRIES = 10


@dataclass(frozen=True)
class View:
    """A rectangle of a frame, resized to ``size`` and perhaps mirrored: the same for all frames of a clip.

    Attributes:
        top: First row of the rectangle.
        left: First column of the rectangle.
        height: Rows of the rectangle.
        width: Columns of the rectangle.
        size: Height and width of the result in pixels.
        mirrored: Left and right are swapped in the result.
    """

    top: int
    left: int
    height: int
    width: int
    size: tuple[int, int]
    mirrored: bool = False

    def pixels(self, frames: Tensor) -> Tensor:
        """Cut, resize and mirror frames.

        Bilinear with antialiasing: when an image shrinks, every source pixel counts. Pillow, with which the published
        models were trained, does the same; without it, fine texture flickers between frames.

        Args:
            frames: (N, C, H, W), uint8 or float.

        Returns:
            (N, C, *size), of the dtype of ``frames``.
        """
        frames = frames[..., self.top : self.top + self.height, self.left : self.left + self.width]
        if tuple(frames.shape[-2:]) != self.size:
            frames = resized(frames, self.size)
        return frames.flip(-1) if self.mirrored else frames

    def boxes(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Move boxes with the pixels and clip them to the result.

        Args:
            boxes: (..., 4) float, xyxy in pixels of the frame; an edge lies between pixels, so that a box around
                the single pixel (0, 0) is (0, 0, 1, 1).

        Returns:
            Boxes (..., 4), xyxy in pixels of the result, and bool (...), False where nothing of the box remains.
        """
        (height, width), origin = self.size, boxes.new_tensor([self.left, self.top] * 2)
        scale = boxes.new_tensor([width / self.width, height / self.height] * 2)
        left, top, right, bottom = ((boxes - origin) * scale).unbind(-1)
        if self.mirrored:
            left, right = width - right, width - left
        x, y = torch.stack((left, right), -1).clamp(0, width), torch.stack((top, bottom), -1).clamp(0, height)
        moved = torch.stack((x[..., 0], y[..., 0], x[..., 1], y[..., 1]), -1)
        return moved, (x[..., 1] > x[..., 0]) & (y[..., 1] > y[..., 0])


def resized(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (N, C, H, W) uint8 or float frames as described at ``View.pixels``."""
    if frames.dtype == torch.uint8 and frames.device.type != "cpu":  # bytes: on the CPU alone
        return resized(frames.float(), size).round_().clamp_(0, 255).to(torch.uint8)
    return functional.interpolate(frames, size, mode="bilinear", align_corners=False, antialias=True)


def whole(height: int, width: int, size: tuple[int, int]) -> View:
    """Show the whole frame at ``size``, ignoring its aspect ratio."""
    return View(0, 0, height, width, size)


def short_side(height: int, width: int, size: tuple[int, int]) -> View:
    """Show the whole frame in its own aspect ratio, as small as it can be to cover ``size``."""
    scale = max(Fraction(size[0], height), Fraction(size[1], width))
    return View(0, 0, height, width, (int(height * scale), int(width * scale)))


def center(height: int, width: int, size: tuple[int, int]) -> View:
    """Show the largest rectangle of the aspect ratio of ``size`` in the middle of the frame."""
    scale = min(Fraction(height, size[0]), Fraction(width, size[1]))
    crop_height, crop_width = int(size[0] * scale), int(size[1] * scale)
    return View((height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width, size)


def multi_scale_sizes(height: int, width: int, size: tuple[int, int]) -> list[tuple[int, int]]:
    """List the crops (height, width) of which the multi-scale crop draws one; equal ones are kept as they occur.

    Args:
        height: Rows of the frame.
        width: Columns of the frame.
        size: Height and width of the result; sides that nearly have it snap to it.
    """
    sides = [int(min(height, width) * scale) for scale in MULTI_SCALES]
    rows, columns = ([wanted if abs(side - wanted) <= MULTI_SCALE_SNAP else side for side in sides] for wanted in size)
    return [
        (crop_height, crop_width)
        for i, crop_height in enumerate(rows)
        for j, crop_width in enumerate(columns)
        if abs(i - j) <= MULTI_SCALE_DISTORTION
    ]


def multi_scale_offsets(height: int, width: int, crop_height: int, crop_width: int) -> list[tuple[int, int]]:
    """List the 13 places (top, left) of a multi-scale crop: corners, edges, centre, and between."""
    rows, columns = (height - crop_height) // 4, (width - crop_width) // 4
    return [(down * rows, right * columns) for right, down in MULTI_SCALE_PLACES]


def multi_scale(height: int, width: int, size: tuple[int, int], generator: torch.Generator) -> View:
    """Draw a multi-scale crop: a size and a place, each with equal weight."""
    sizes = multi_scale_sizes(height, width, size)
    # Snapping to the wanted size may ask for up to two pixels more than a small frame has.
    crop_height, crop_width = sizes[draw(len(sizes), generator)]
    crop_height, crop_width = min(crop_height, height), min(crop_width, width)
    offsets = multi_scale_offsets(height, width, crop_height, crop_width)
    top, left = offsets[draw(len(offsets), generator)]
    return View(top, left, crop_height, crop_width, size)


def random_resized(
    height: int,
    width: int,
    size: tuple[int, int],
    generator: torch.Generator,
    area: tuple[float, float] = (0.08, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
) -> View:
    """Draw a random resized crop: its share of the frame uniformly, its aspect ratio log-uniformly.

    Szegedy et al. (2015), with the ranges of VideoMAE's fine-tuning. When no drawn rectangle fits, the middle of the
    frame is shown in the nearest aspect ratio that is allowed.

    Args:
        height: Rows of the frame.
        width: Columns of the frame.
        size: Height and width of the result.
        generator: Source of randomness.
        area: Range of the crop's share of the frame's area.
        aspect: Range of width / height of the crop.
    """
    for _ in range(CROP_TRIES):
        share = area[0] + (area[1] - area[0]) * uniform(generator)
        low, high = math.log(aspect[0]), math.log(aspect[1])
        ratio = math.exp(low + (high - low) * uniform(generator))
        crop_width = round(math.sqrt(share * height * width * ratio))
        crop_height = round(math.sqrt(share * height * width / ratio))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            top, left = draw(height - crop_height + 1, generator), draw(width - crop_width + 1, generator)
            return View(top, left, crop_height, crop_width, size)
    ratio = min(max(width / height, aspect[0]), aspect[1])
    crop_height, crop_width = min(height, round(width / ratio)), min(width, round(height * ratio))
    return View((height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width, size)


def draw(choices: int, generator: torch.Generator) -> int:
    """Draw one of ``range(choices)`` uniformly."""
    return int(torch.randint(choices, (), generator=generator, device=generator.device))


def uniform(generator: torch.Generator) -> float:
    """Draw a number uniformly from [0, 1)."""
    return float(torch.rand((), dtype=torch.float64, generator=generator, device=generator.device))
