"""What all models of face tracks take: sizes that fit, and which frames are there."""

import torch
from torch import Tensor

COEFFICIENTS = 13
ROWS_PER_FRAME = 4  # of cepstra
PIXEL_MEAN, PIXEL_STD = 0.4161, 0.1688  # of grey in [0, 1]; TaoRuijie/TalkNet-ASD
MAX_GREY = 255


def require_sizes(faces: Tensor, audio: Tensor, face_size: int) -> None:
    """Refuse faces that are not (B, T, S, S) of side ``face_size``, or cepstra that are not four rows per frame.

    Raises:
        ValueError: When they are of another shape.
    """
    if faces.ndim != 4 or tuple(faces.shape[2:]) != (face_size, face_size):
        raise ValueError(f"faces: expected (B, T, {face_size}, {face_size}), found {tuple(faces.shape)}; set face_size")
    expected = (len(faces), ROWS_PER_FRAME * faces.shape[1], COEFFICIENTS)
    if tuple(audio.shape) != expected:
        raise ValueError(f"audio: expected {expected}, four rows per frame, found {tuple(audio.shape)}")


def frames_there(faces: Tensor, valid: Tensor | None, length: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Tell which frames (B, T) have sound, those before the end, and which a face as well; None where all have."""
    heard = None if length is None else torch.arange(faces.shape[1], device=length.device) < length.unsqueeze(1)
    seen = heard if valid is None else valid if heard is None else valid & heard
    return tuple(None if mask is None or bool(mask.all()) else mask for mask in (heard, seen))


def normalised_faces(faces: Tensor, seen: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Faces (B, 1, T, S, S) of zero mean; where there is none everything is 0, as beyond the ends."""
    x = ((faces.to(dtype) / MAX_GREY - PIXEL_MEAN) / PIXEL_STD).unsqueeze(1)
    return x if seen is None else x.masked_fill(~seen[:, None, :, None, None], 0)
