"""Sliding windows over whole videos: where they begin, how frames are brought to size, what is cut out of them."""

from fractions import Fraction
from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from datamodules.clips import COLOURS
from datamodules.crops import View, center, short_side, whole
from datamodules.frame_indices import TAILS

VIEWS = {
    "center": ("centre",),
    "three_width": ("left", "centre", "right"),
    "ten_crop": tuple(
        f"{place}{mirrored}"
        for mirrored in ("", " mirrored")
        for place in ("top left", "top right", "bottom left", "bottom right", "centre")
    ),
    "squash": ("whole",),
}
TEN_CROP_MARGIN = Fraction(8, 7)  # of the covered size to that of a crop: 256 to 224, as ten crops are usually taken


class Windows:
    """How prediction walks through whole videos: consecutive frames, at a fixed distance, in one or more views.

    Each frame is decoded and brought to size once. What is cut out of it is cut on the device.

    Args:
        stride: s, frames between the starts of two windows.
        tail: What becomes of frames behind the last window that fits into a video. ``pad``: one more window, completed
            by repeating the last frame, also for a video shorter than a window. ``drop``: nothing; a video shorter than
            a window has none. ``overlap``: one more window that ends with the last frame.
        views: What is cut out of the frames, in this order. ``center``: the largest centred rectangle, as evaluation
            clips are made without ``datamodule.resize``. ``three_width``: left, centre and right of the frame that just
            covers ``image_size``; all the same for a video that is not wider. ``ten_crop``: the corners (top left, top
            right, bottom left, bottom right) and the centre of a frame 8/7 as large, then those of the mirrored frame
            (the order of torchvision). ``squash``: the whole frame, ignoring its aspect ratio.
        resize: ``bytes``: with antialiasing, rounded to bytes, as everywhere here. ``float``: as the extraction script
            of OpenGVLab/VideoMAEv2 does, bilinear without antialiasing on floats; for ``squash`` alone.
        channels: ``bgr`` hands the model blue as first channel and red as last; the statistics of
            ``datamodule.normalization`` keep their order. What the toolkit rekkles2/Fed_WSVAD does to its features.

    Raises:
        ValueError: When an option is none of these.
    """

    def __init__(
        self,
        stride: Annotated[int, "stride >= 1"] = 16,
        tail: Literal["pad", "drop", "overlap"] = "pad",
        views: Literal["center", "three_width", "ten_crop", "squash"] = "center",
        resize: Literal["bytes", "float"] = "bytes",
        channels: Literal["rgb", "bgr"] = "rgb",
    ) -> None:
        if stride < 1:
            raise ValueError(f"stride: expected at least 1, found {stride}")
        choices = {"tail": (tail, TAILS), "views": (views, VIEWS)}
        choices |= {"resize": (resize, ("bytes", "float")), "channels": (channels, ("rgb", "bgr"))}
        for name, (value, known) in choices.items():
            if value not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, found {value!r}")
        if resize == "float" and views != "squash":
            raise ValueError(f"resize: float is for views=squash alone, found views={views}")
        self.stride, self.tail, self.views, self.resize, self.channels = stride, tail, views, resize, channels

    @property
    def num_views(self) -> int:
        """V, views of a window."""
        return len(VIEWS[self.views])

    @property
    def dtype(self) -> torch.dtype:
        """Type of resized pixels: uint8, or float32 in [0, 1]."""
        return torch.float32 if self.resize == "float" else torch.uint8

    def recipe(self) -> dict[str, Any]:
        """What decides the pixels of a row, as plain values."""
        options = {name: getattr(self, name) for name in ("stride", "tail", "views", "resize", "channels")}
        return options | {"view_order": list(VIEWS[self.views])}

    def scaled(self, height: int, width: int, size: tuple[int, int]) -> View:
        """What is done to every frame once, before windows and views are cut.

        Args:
            height: Rows of the stored frame.
            width: Columns of the stored frame.
            size: Height and width of a view.
        """
        if self.views == "center":
            return center(height, width, size)
        if self.views == "squash":
            return whole(height, width, size)
        margin = TEN_CROP_MARGIN if self.views == "ten_crop" else 1
        return short_side(height, width, tuple(round(side * margin) for side in size))

    def bring_to_size(self, frames: Tensor, size: tuple[int, int]) -> Tensor:
        """Resize decoded frames: (F, 3, H, W) uint8 to (F, 3, h, w) of type ``dtype``."""
        if self.resize == "float":
            return functional.interpolate(frames / 255, size, mode="bilinear", align_corners=False)
        return self.scaled(*frames.shape[-2:], size).pixels(frames)

    def crops(self, height: int, width: int, size: tuple[int, int]) -> list[View]:
        """Where the views lie in a frame of ``height`` x ``width`` that was brought to size."""
        down, right = height - size[0], width - size[1]
        if self.views == "three_width":
            return [View(down // 2, left, *size, size) for left in (0, right // 2, right)]
        if self.views == "ten_crop":
            five = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
            mirrored = [View(top, right - left, *size, size, mirrored=True) for top, left in five]
            return [View(top, left, *size, size) for top, left in five] + mirrored
        return [View(0, 0, *size, size)]

    def cut(self, batch: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
        """Cut the clips of a batch out of its frames, on the device where these are.

        Args:
            batch: With ``pools``, list of (F, 3, h, w); ``pool`` int64 (B,), the one that a clip is cut from, -1 for
                black; ``places`` int64 (B, T), its frames in there; ``view`` int64 (B,).
            size: Height and width of a clip.

        Returns:
            The batch with ``video`` (B, 3, T, *size) in their place.
        """
        batch = dict(batch)
        pools, places = batch.pop("pools"), batch.pop("places")
        crops = [self.crops(*frames.shape[-2:], size) for frames in pools]
        planes = [frames.transpose(0, 1).contiguous() for frames in pools]  # each frame once, and while it is bytes
        black = torch.zeros(COLOURS, places.shape[1], *size, dtype=self.dtype, device=places.device)
        clips = [
            black if pool < 0 else crops[pool][view].pixels(planes[pool])[:, place]
            for pool, view, place in zip(batch.pop("pool").tolist(), batch["view"].tolist(), places, strict=True)
        ]
        video = torch.stack(clips)
        return batch | {"video": video.flip(1) if self.channels == "bgr" else video}
