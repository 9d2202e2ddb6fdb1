"""Where an anomaly is to be seen, frame by frame: masks and boxes of ShanghaiTech Campus' layout."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datamodules.errors import LabelFileError
from datamodules.labelled_listing import NORMAL, Labelled
from datamodules.reading.frame_folder import list_frames
from datamodules.regions import NOTHING, Regions, VideoRegions, index_frames, read_image

MASKS, BOXES = "testing/test_pixel_mask", "testing/anomaly_boxes"
EXPECTED = 'expected {"kind": "car", "frames": {"037": [[x1, y1, x2, y2], ...]}}'


@dataclass(frozen=True)
class MaskRegions:
    """The mask of each frame of a video as boxes, read when they are asked for: a data set has gigabytes of them.

    Attributes:
        file: ``.npy`` of (N, H, W), not 0 where the anomaly is, in pixels of the stored frames.
        first: Number of the frame that the first mask is of.
    """

    file: Path
    first: int

    def at(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (R, 4) that together are the mask of the frame with this number, and their scores (R,), all 1.

        Raises:
            LabelFileError: When the file holds no mask of this frame.
        """
        masks = open_masks(self.file)
        if not 0 <= frame - self.first < len(masks):
            has = f"{self.first} to {self.first + len(masks) - 1}"
            raise LabelFileError(self.file, f"has masks of frames {has}, expected one of frame {frame}")
        boxes = rectangles(masks[frame - self.first] != 0)
        return boxes, np.ones(len(boxes), np.float32)


def anomaly_regions(root: Path, videos: Iterable[Labelled]) -> dict[str, Regions]:
    """Find where the class of testing videos is to be seen; by name, of those with an anomaly.

    Raises:
        LabelFileError, RegionFileError: As `anomaly_region`.
    """
    return {each.video.name: anomaly_region(root, each.video.path) for each in videos if each.label != NORMAL}


def anomaly_region(root: Path, folder: Path) -> Regions:
    """Find the labelled region of a testing video: its pixel masks, or the boxes that the sample has instead.

    Args:
        root: Folder that holds ``testing``.
        folder: The frames of the video.

    Returns:
        Regions by frame number; none where the data set has none.

    Raises:
        LabelFileError: When the file of masks is no such array.
        RegionFileError: When the file of boxes is not what it should be, naming the frame.
    """
    masks, boxes = root / MASKS / f"{folder.name}.npy", root / BOXES / f"{folder.name}.json"
    if masks.is_file():
        open_masks(masks)
        return MaskRegions(masks, min(list_frames(folder)))
    return read_boxes(boxes) if boxes.is_file() else NOTHING


def open_masks(file: Path) -> np.ndarray:
    """Map the masks of a video, (N, H, W), into memory."""
    try:
        masks = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise LabelFileError(file, f"is no array of masks ({error})") from error
    if masks.ndim != 3 or masks.dtype.kind not in "buif":
        raise LabelFileError(file, f"holds {masks.dtype} {masks.shape}, expected numbers (frames, height, width)")
    return masks


def read_boxes(file: Path) -> VideoRegions:
    """Read the boxes of a video of the sample, which are checked as those of a detector are."""
    try:
        frames = json.loads(file.read_bytes()).get("frames")
    except (ValueError, AttributeError) as error:
        raise LabelFileError(file, f"is no JSON of boxes ({error}); {EXPECTED}") from error
    if not isinstance(frames, dict):
        raise LabelFileError(file, f"holds no frames; {EXPECTED}")
    entries = [{"image_id": frame, "Boxes": boxes} for frame, boxes in frames.items()]
    images = [read_image(file, place, entry) for place, entry in enumerate(entries)]
    return index_frames(file, [image.image for image in images], images)


def rectangles(mask: np.ndarray) -> np.ndarray:
    """Cover a mask exactly, and nothing twice: its runs in each row, those that go on unchanged joined downwards.

    Args:
        mask: (H, W) bool.

    Returns:
        float32 (R, 4), xyxy, x2 and y2 exclusive, from the top down.
    """
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, lefts = np.nonzero(edges == 1)
    rights = np.nonzero(edges == -1)[1]
    found: list[list[int]] = []
    open_runs: dict[tuple[int, int], list[int]] = {}  # by its columns, the rectangle that ends in the row above
    for row, left, right in zip(rows.tolist(), lefts.tolist(), rights.tolist(), strict=True):
        box = open_runs.get((left, right))
        if box is None or box[3] != row:
            box = [left, row, right, row]
            open_runs[left, right] = box
            found.append(box)
        box[3] = row + 1
    return np.array(found, np.float32).reshape(-1, 4)
