"""The input of the published script: a frame as its network saw it."""

import torch

from models.saliency.published_input import MEAN, STD, published_pixels
from tests.reference.saliency.numbers import arrays, close

TOLERANCE = 0.02  # OpenCV resizes in fixed point


def test_a_frame_is_resized_cropped_and_normalised_as_published() -> None:
    for given in arrays("frame_bgr", "normalized_rgb_strided", "mean", "std", "resize", "crop", "stride"):
        frame = given["frame_bgr"].flip(-1).unsqueeze(0)
        mean, std = given["mean"].tolist(), given["std"].tolist()
        found = published_pixels(frame, int(given["resize"]), int(given["crop"]), mean, std)[:, 0]
        stride = int(given["stride"])
        assert close(found[:, ::stride, ::stride], given["normalized_rgb_strided"], TOLERANCE)
        assert torch.allclose(torch.tensor([MEAN, STD]), torch.tensor([mean, std]))
