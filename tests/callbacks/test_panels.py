"""Pictures of clips: chosen, laid out and written as promised."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor
from torch.utils.data import DataLoader

from callbacks.panels import Panels, contact_sheet, spread_over_videos


class Painter(LightningModule):
    """Shows its input and the negative."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        return self.weight * batch["video"].mean()

    def validation_step(self, batch: dict, batch_idx: int) -> None: ...

    def test_step(self, batch: dict, batch_idx: int) -> None: ...

    def panels(self, batch: dict) -> dict[str, Tensor]:
        return {"original": batch["video"], "negative": 1 - batch["video"]}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Mute(Painter):
    panels = None


def loader(num_clips: int = 4) -> DataLoader:
    video = torch.linspace(0, 1, num_clips).view(-1, 1, 1, 1, 1).expand(-1, 3, 8, 16, 16)
    clips = [{"video": clip, "name": f"v{i}", "frames": torch.arange(8) + i} for i, clip in enumerate(video)]
    return DataLoader(clips, batch_size=num_clips)


def trainer(folder: Path, logger: object = False, **options: object) -> Trainer:
    panels = Panels(str(folder / "pictures"), num_clips=2, num_frames=3, **options)
    return Trainer(
        max_epochs=3,
        accelerator="cpu",
        devices=1,
        logger=logger,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[panels],
        default_root_dir=folder,
    )


def test_every_video_is_shown_once_before_any_is_shown_twice() -> None:
    assert spread_over_videos(["a", "a", "a", "b", "b", "c"], 3) == [0, 3, 5]
    assert spread_over_videos(["a", "a", "a", "b"], 3) == [0, 1, 3]
    assert spread_over_videos(["a"], 5) == [0]


def test_a_sheet_shows_the_pixels_of_each_row_at_a_whole_factor() -> None:
    red = torch.zeros(1, 3, 2, 8, 8)
    red[:, 0] = 1.0
    sheet = np.asarray(contact_sheet({"red": red, "blue": red.flip(1)}, ["clip"]))
    is_red, is_blue = (sheet == (255, 0, 0)).all(-1), (sheet == (0, 0, 255)).all(-1)
    assert is_red.sum() == is_blue.sum() == 2 * 128 * 128
    assert np.argwhere(is_red)[:, 0].max() < np.argwhere(is_blue)[:, 0].min()


def test_a_fit_writes_one_picture_per_chosen_epoch_and_always_the_last(tmp_path: Path) -> None:
    trainer(tmp_path, every_n_epochs=2).fit(Painter(), loader(), loader())
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["val_epoch002.png", "val_epoch003.png"]
    with Image.open(tmp_path / "pictures" / "val_epoch003.png") as picture:
        assert picture.width > 3 * 128 and picture.height > 2 * 2 * 128


def test_evaluations_write_pictures_of_their_own(tmp_path: Path) -> None:
    trainer(tmp_path).test(Painter(), loader(), verbose=False)
    trainer(tmp_path, every_n_epochs=2).validate(Painter(), loader(), verbose=False)
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["test.png", "validate.png"]


def test_a_logger_that_takes_images_gets_the_picture(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, name="", version="events")
    trainer(tmp_path, logger=logger).fit(Painter(), loader(), loader())
    logger.experiment.flush()
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [event.step for event in events.Images("val/panels")] == [1, 2, 3]


def test_a_task_without_panels_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Mute has no method 'panels\(batch\)'.*callbacks=\[default\]"):
        trainer(tmp_path).fit(Mute(), loader(), loader())


@pytest.mark.parametrize("name", ["num_clips", "num_frames", "every_n_epochs"])
def test_counts_below_one_are_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"callbacks.panels.{name}: expected at least 1, found 0"):
        Panels(str(tmp_path), **{name: 0})
