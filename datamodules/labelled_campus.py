"""Classes of clips from a data set in ShanghaiTech Campus' layout: what happens, or where it is."""

import json
from pathlib import Path
from typing import Literal

import numpy as np

from datamodules.errors import DatasetNotFoundError
from datamodules.frame_labels import read_mask
from datamodules.labelled_listing import NORMAL, Labelled
from datamodules.listing import Listed
from datamodules.reading.frame_folder import IMAGE_SUFFIXES
from datamodules.shanghaitech import PAGE

By = Literal["anomaly", "kind", "place"]
FOLDERS = ("testing/frames", "testing/test_frame_mask")
ANOMALOUS = "anomalous"


def is_campus(root: Path) -> bool:
    """Whether a folder has the layout."""
    return all((root / folder).is_dir() for folder in FOLDERS)


def find_campus(root: Path, by: By, shortest: int) -> list[Labelled]:
    """Cut the testing videos where an anomaly begins or ends, and name what is left.

    ``anomaly`` takes two parts of each video, its longest with and its longest without an anomaly, as ``anomalous`` and
    ``normal``. Both are of one place, one camera and one codec, so that neither the background nor a property of the
    file tells the classes apart. ``kind`` names the anomaly instead, which only the generated sample knows. ``place``
    takes whole videos by scene: easy, and solved by the background alone.

    Args:
        root: Folder that holds ``testing``.
        by: See above.
        shortest: Frames that a part must have; shorter ones are left out, lest a clip repeat its last frame, which
            would tell the classes apart.

    Raises:
        DatasetNotFoundError: When parts of the layout are missing.
    """
    masks = sorted((root / "testing" / "test_frame_mask").glob("*.npy"))
    missing = [f"testing/frames/{mask.stem}/" for mask in masks if not (root / "testing/frames" / mask.stem).is_dir()]
    if missing or not masks:
        raise DatasetNotFoundError("ShanghaiTech Campus", root, missing or ["testing/test_frame_mask/*.npy"], PAGE)
    found = []
    for mask in masks:
        folder = root / "testing" / "frames" / mask.stem
        if by == "place":
            found.append(Labelled(Listed(mask.stem, folder), mask.stem.partition("_")[0]))
            continue
        images = sorted(int(file.stem) for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
        labels = read_mask(mask, len(images))
        for value, name in ((0, NORMAL), (1, ANOMALOUS)):
            first, count = longest_run(labels == value)
            if count >= shortest:
                label = kind_of(root, mask.stem) if by == "kind" and value else name
                found.append(Labelled(Listed(f"{mask.stem}/{label}", folder, images[first], count), label))
    return found


def longest_run(chosen: np.ndarray) -> tuple[int, int]:
    """First index and length of the longest run of True in bool (N,); the first of equal ones, length 0 for none."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], chosen.astype(np.int8), [0]))))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return 0, 0
    longest = int((ends - starts).argmax())
    return int(starts[longest]), int(ends[longest] - starts[longest])


def kind_of(root: Path, video: str) -> str:
    """The kind of the anomaly of a video of the sample."""
    file = root / "testing" / "anomaly_boxes" / f"{video}.json"
    if not file.is_file():
        problem = "datamodule.classes_by=kind: the kind of an anomaly is known for the generated sample alone"
        raise FileNotFoundError(f"{problem}, {file} does not exist; datamodule.classes_by=anomaly needs no kinds")
    return json.loads(file.read_text(encoding="utf-8"))["kind"]
