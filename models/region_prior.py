"""Region prior of FocusMAE: which tokens of a clip lie in candidate regions found by a detector."""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# Rounding of coordinates in single precision, in pixels: a token whose centre lies on the edge of a box is inside.
EDGE_SLACK = 1e-4

# What the published code (sbasu276/FocusMAE) assumes, in pixels: what the model sees, and what boxes refer to.
UPSTREAM_INPUT_SIZE = 224.0
UPSTREAM_FRAME_WIDTH = 360.0
UPSTREAM_FRAME_HEIGHT = 480.0


class Regions(NamedTuple):
    """Candidate regions of the frames of clips.

    Attributes:
        boxes: (B, T, R, 4) xyxy in pixels of the frames the model sees.
        scores: (B, T, R) confidence of the detector, in [0, 1].
        count: (B, T) int64, boxes of each frame; rows from there on are padding.
    """

    boxes: Tensor
    scores: Tensor
    count: Tensor


def no_regions(batch_size: int, num_frames: int, device: torch.device | str | None = None) -> Regions:
    """Make the regions of clips without any box."""
    return Regions(
        boxes=torch.zeros(batch_size, num_frames, 0, 4, device=device),
        scores=torch.zeros(batch_size, num_frames, 0, device=device),
        count=torch.zeros(batch_size, num_frames, dtype=torch.int64, device=device),
    )


def inflate_boxes(boxes: Tensor, ratio: float) -> Tensor:
    """Scale boxes about their centres, without clipping them to the frame.

    Args:
        boxes: (..., 4) xyxy.
        ratio: Factor of width and height.

    Returns:
        (..., 4) xyxy.
    """
    corner, opposite = boxes[..., :2], boxes[..., 2:]
    margin = (opposite - corner) * (ratio - 1) / 2
    return torch.cat((corner - margin, opposite + margin), dim=-1)


def region_prior(
    regions: Regions,
    grid: tuple[int, int, int],
    image_size: tuple[int, int],
    tubelet_size: int = 2,
    mode: Literal["geometric", "upstream"] = "geometric",
    inflation: float = 1.2,
    fallback: Literal["centre", "none"] = "centre",
    frames: Literal["first", "tubelet"] = "first",
    soft: bool = False,
) -> Tensor:
    """Mark the tokens that lie in candidate regions.

    ``geometric``: a token is marked when the centre of its patch lies in an inflated box. ``upstream`` repeats the
    published code (sbasu276/FocusMAE) with its faults, for parity only: x is compared with the row of a patch and y
    with its column; boxes are rescaled as if frames were 360 wide and 480 high and the model saw 224x224 pixels, and
    cut to integers; the point tested is the centre of the patch before. It expects boxes in pixels of the stored frame,
    before any crop.

    Args:
        regions: Candidate regions of the clips.
        grid: ``(T', H', W')``.
        image_size: ``(H, W)`` of the frames in pixels.
        tubelet_size: Frames of a token.
        mode: ``geometric`` or ``upstream``.
        inflation: Factor by which boxes grow about their centres; 1.2 in the published script.
        fallback: For clips without a box in the frames looked at: ``centre`` marks the central half of rows and
            columns, ``none`` nothing.
        frames: ``first`` marks the boxes of the first frame in all time slices, as published; ``tubelet`` marks in each
            slice the boxes of its own frames.
        soft: Mark by the score of the most confident box instead of 1. The central region still counts 1.

    Returns:
        (B, N) float32 in [0, 1].

    Raises:
        ValueError: When a choice is unknown, boxes would vanish, or the regions do not fit the clip length.
    """
    for name, value, choices in (
        ("prior", mode, ("geometric", "upstream")),
        ("fallback", fallback, ("centre", "none")),
        ("frames", frames, ("first", "tubelet")),
    ):
        if value not in choices:
            raise ValueError(f"{name}: expected one of {', '.join(choices)}, found {value!r}")
    if inflation <= 0:
        raise ValueError(f"inflation: expected a positive factor, found {inflation}")
    slices, rows, columns = grid
    batch_size, num_frames = regions.count.shape
    if num_frames != slices * tubelet_size:
        raise ValueError(f"regions: expected {slices * tubelet_size} frames per clip, found {num_frames}")
    if frames == "first":
        regions = Regions(*(field[:, :1] for field in regions))

    # One more row of padding, so that there is something to take the maximum of when no frame has a box.
    boxes, scores = F.pad(regions.boxes.float(), (0, 0, 0, 1)), F.pad(regions.scores.float(), (0, 1))
    valid = torch.arange(scores.shape[2], device=scores.device) < regions.count.unsqueeze(-1)
    weight = torch.where(valid, scores if soft else torch.ones_like(scores), 0.0)
    inside = _inside_geometric if mode == "geometric" else _inside_upstream
    covered = inside(inflate_boxes(boxes, inflation), grid, image_size)  # (B, frames, R, H', W')
    marked = (covered * weight[..., None, None]).amax(2)  # (B, frames, H', W')
    marked = marked.unflatten(1, (-1, 1 if frames == "first" else tubelet_size)).amax(2).expand(-1, slices, -1, -1)

    if fallback == "centre":
        height, width = image_size
        half = boxes.new_tensor((width / 4, height / 4, width * 3 / 4, height * 3 / 4))
        without = (regions.count == 0).all(1)
        marked = torch.where(without[:, None, None, None], inside(half, grid, image_size).float(), marked)
    return marked.reshape(batch_size, slices * rows * columns)


def _inside_geometric(boxes: Tensor, grid: tuple[int, int, int], image_size: tuple[int, int]) -> Tensor:
    """Tell which patches have their centre in boxes (..., 4) of the frame: bool (..., H', W')."""
    (height, width), (_, rows, columns) = image_size, grid
    # The type is named, because a trainer of low precision makes its own the default.
    y = (torch.arange(rows, device=boxes.device, dtype=boxes.dtype) + 0.5) * (height / rows)
    x = (torch.arange(columns, device=boxes.device, dtype=boxes.dtype) + 0.5) * (width / columns)
    x1, y1, x2, y2 = boxes.unsqueeze(-1).unbind(-2)
    in_rows = (y >= y1 - EDGE_SLACK) & (y <= y2 + EDGE_SLACK)
    in_columns = (x >= x1 - EDGE_SLACK) & (x <= x2 + EDGE_SLACK)
    return in_rows.unsqueeze(-1) & in_columns.unsqueeze(-2)


def _inside_upstream(boxes: Tensor, grid: tuple[int, int, int], image_size: tuple[int, int]) -> Tensor:
    """Tell which patches the published code takes for inside boxes (..., 4) of the stored frame: bool (..., H', W')."""
    (height, width), (_, rows, columns) = image_size, grid
    row, column = torch.arange(rows, device=boxes.device), torch.arange(columns, device=boxes.device)
    y = (row * (height // rows) - height // rows // 2).clamp(min=0)
    x = (column * (width // columns) - width // columns // 2).clamp(min=0)
    frame = boxes.new_tensor((UPSTREAM_FRAME_WIDTH, UPSTREAM_FRAME_HEIGHT) * 2)
    pixels = (boxes * UPSTREAM_INPUT_SIZE / frame + EDGE_SLACK).trunc()
    top, left, bottom, right = pixels.unsqueeze(-1).unbind(-2)  # transposed: the x of the box is taken for a row
    return ((y >= top) & (y <= bottom)).unsqueeze(-1) & ((x >= left) & (x <= right)).unsqueeze(-2)
