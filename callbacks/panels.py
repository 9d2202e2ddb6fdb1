"""Pictures of what a task sees and predicts, as PNG files in the run folder and in every logger that takes images."""

from functools import partial
from pathlib import Path
from textwrap import fill
from typing import Annotated

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from core.atomic import replace_file

MIN_FRAME_WIDTH = 128  # smaller frames are enlarged by a whole factor, so that a token stays a sharp square
FONT_SIZE = 14
GAP = 4
LABEL_WIDTH, LABEL_CHARACTERS = 132, 18
INK, PAPER = (30, 30, 30), (255, 255, 255)


class Panels(Callback):
    """Draw named rows of frames for a few validation or test clips after each evaluation.

    Works with every task that has ``panels(batch) -> dict[str, Tensor]``: rows by title, each (B, 3, T, H, W) in
    [0, 1]; and with batches that hold ``name`` list[str] and ``frames`` int64 (B, T). Clips come from the first batch,
    one per video as long as there are enough videos, and stay the same from epoch to epoch.

    Writes ``<folder>/val_epoch<NNN>.png`` while training, with the number of the epoch; else ``validate.png`` and
    ``test.png``, so that an evaluation in the same folder leaves the pictures of the training.

    Args:
        folder: Where the pictures go; made when missing.
        num_clips: Clips per picture.
        num_frames: Frames shown of each clip, spread evenly.
        every_n_epochs: Draw after every n-th validation; the last one is always drawn.
    """

    def __init__(
        self,
        folder: str,
        num_clips: Annotated[int, "num_clips >= 1"] = 2,
        num_frames: Annotated[int, "num_frames >= 1"] = 6,
        every_n_epochs: Annotated[int, "every_n_epochs >= 1"] = 1,
    ) -> None:
        for name, value in (("num_clips", num_clips), ("num_frames", num_frames), ("every_n_epochs", every_n_epochs)):
            if value < 1:
                raise ValueError(f"callbacks.panels.{name}: expected at least 1, found {value}")
        self.folder = Path(folder)
        self.num_clips, self.num_frames, self.every_n_epochs = num_clips, num_frames, every_n_epochs

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not callable(getattr(pl_module, "panels", None)):
            raise ValueError(
                f"callbacks.panels: {type(pl_module).__name__} has no method 'panels(batch)' to draw; "
                "leave this callback out with callbacks=[default]"
            )

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: dict, batch_idx: int, *_: object
    ) -> None:
        if batch_idx == 0 and trainer.state.fn == TrainerFn.VALIDATING:
            self._draw(trainer, pl_module, batch, "val", "validate")
            return
        epoch = trainer.current_epoch + 1
        last = trainer.max_epochs is not None and epoch == trainer.max_epochs
        if batch_idx == 0 and not trainer.sanity_checking and (last or epoch % self.every_n_epochs == 0):
            self._draw(trainer, pl_module, batch, "val", f"val_epoch{epoch:03d}")

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: dict, batch_idx: int, *_: object
    ) -> None:
        if batch_idx == 0:
            self._draw(trainer, pl_module, batch, "test", "test")

    def _draw(self, trainer: Trainer, pl_module: LightningModule, batch: dict, stage: str, stem: str) -> None:
        if not trainer.is_global_zero:
            return
        chosen = spread_over_videos(batch["name"], self.num_clips)
        rows = {title: value[chosen].float().cpu() for title, value in pl_module.panels(batch).items()}
        numbers = batch["frames"][chosen].cpu()
        times = torch.linspace(0, numbers.shape[1] - 1, min(self.num_frames, numbers.shape[1])).long()
        captions = [
            f"{batch['name'][clip]}   frames {', '.join(map(str, shown.tolist()))}"
            for clip, shown in zip(chosen, numbers[:, times], strict=True)
        ]
        picture = contact_sheet({title: value[:, :, times] for title, value in rows.items()}, captions)
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(self.folder / f"{stem}.png", partial(picture.save, format="PNG", optimize=True))
        for logger in trainer.loggers:
            log_picture(logger, f"{stage}/panels", picture, trainer.global_step)


def spread_over_videos(names: list[str], count: int) -> list[int]:
    """Choose ``count`` positions of ``names``, each name once before any name twice, in the given order."""
    seen: dict[str, int] = {}
    rank = []
    for position, name in enumerate(names):
        seen[name] = seen.get(name, -1) + 1
        rank.append((seen[name], position))
    return sorted(position for _, position in sorted(rank)[:count])


def contact_sheet(rows: dict[str, Tensor], captions: list[str]) -> Image.Image:
    """Lay clips below each other, each with one line of frames per title.

    Args:
        rows: Frames by title, each (B, 3, T, H, W) in [0, 1]; values outside are clipped.
        captions: A line of text above each clip, B of them.
    """
    height, width = next(iter(rows.values())).shape[-2:]
    factor = max(1, -(-MIN_FRAME_WIDTH // width))
    height, width = height * factor, width * factor
    num_frames = next(iter(rows.values())).shape[2]
    font = ImageFont.load_default(FONT_SIZE)
    line = FONT_SIZE + 2 * GAP
    clip_height = line + len(rows) * (height + GAP) + 2 * GAP
    sheet = Image.new("RGB", (LABEL_WIDTH + num_frames * (width + GAP), len(captions) * clip_height), PAPER)
    draw = ImageDraw.Draw(sheet)
    for clip, caption in enumerate(captions):
        top = clip * clip_height
        draw.text((LABEL_WIDTH, top + GAP), caption, INK, font)
        for row, (title, frames) in enumerate(rows.items()):
            y = top + line + row * (height + GAP)
            draw.multiline_text((GAP, y + GAP), fill(title, LABEL_CHARACTERS), INK, font)
            pixels = (frames[clip].clamp(0, 1) * 255).round().byte().permute(1, 2, 3, 0).numpy()
            for time, frame in enumerate(pixels):
                image = Image.fromarray(np.ascontiguousarray(frame)).resize((width, height), Image.Resampling.NEAREST)
                sheet.paste(image, (LABEL_WIDTH + time * (width + GAP), y))
    return sheet


def log_picture(logger: object, key: str, picture: Image.Image, step: int) -> None:
    """Hand a picture to a logger that takes images (wandb, TensorBoard); others have the file."""
    if hasattr(logger, "log_image"):
        logger.log_image(key=key, images=[picture], step=step)
    elif hasattr(getattr(logger, "experiment", None), "add_image"):
        logger.experiment.add_image(key, np.asarray(picture), step, dataformats="HWC")
