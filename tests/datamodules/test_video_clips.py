"""A video of one's own becomes clips, cut out as a model's training data."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from core.command_line.check import check_overrides
from core.errors import ConfigError
from datamodules.errors import PathNotFoundError
from datamodules.video import Video
from datamodules.video_clips import VideoClips
from datamodules.video_faces import VideoFaces
from datamodules.windows import Windows
from tests.datamodules.face_films import write_film

FRAMES, HEIGHT, WIDTH = 24, 48, 64


class NeedsClips(LightningModule):
    """Keeps the batches of a prediction."""

    needs = ("video", "name", "class_id")

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[dict] = []

    def predict_step(self, batch: dict, batch_idx: int) -> Tensor:
        self.batches.append(batch)
        return batch["video"].mean((1, 2, 3, 4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films that become brighter from frame to frame, one in a folder of the other's."""
    folder = tmp_path_factory.mktemp("films")
    grey = (10 * np.arange(FRAMES, dtype=np.uint8))[:, None, None, None].repeat(HEIGHT, 1).repeat(WIDTH, 2).repeat(3, 3)
    (folder / "more").mkdir()
    for path in (folder / "bright.mp4", folder / "more" / "other.mp4"):
        write_film(path, grey)
    return folder


def batches(path: Path, tmp_path: Path, **options: object) -> list[dict]:
    """The batches of a prediction for a task that needs clips."""
    task = NeedsClips()
    small = {"num_frames": 4, "image_size": (32, 48), "normalization": "zero_one", "num_workers": 0}
    data = Video(str(path), cache=str(tmp_path / "cache"), **small | options)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    Trainer(accelerator="cpu", devices=1, default_root_dir=tmp_path, **quiet).predict(task, datamodule=data)
    assert isinstance(data.content, VideoClips)
    return task.batches


def test_a_file_gives_clips_spread_over_it_of_an_unknown_class(folder: Path, tmp_path: Path) -> None:
    [batch] = batches(folder / "bright.mp4", tmp_path, eval_clips=2)
    assert batch["video"].shape == (2, 3, 4, 32, 48) and batch["name"] == ["bright"] * 2
    assert batch["class_id"].tolist() == [-1, -1] and batch["row"].tolist() == [0, 1]
    shown = batch["frames"].numpy()
    assert (np.diff(shown, axis=1) == 2).all() and shown[0, 0] < FRAMES / 2 - 4 < shown[1, 0]
    np.testing.assert_allclose(batch["video"].mean((1, 3, 4)).cpu() * 255, 10 * shown, atol=3)


def test_a_folder_gives_the_videos_in_it(folder: Path, tmp_path: Path) -> None:
    found = batches(folder, tmp_path)
    assert [name for batch in found for name in batch["name"]] == ["bright", "more/other"]


def test_clips_are_cut_out_as_the_model_was_trained(folder: Path, tmp_path: Path) -> None:
    [centre] = batches(folder / "bright.mp4", tmp_path, image_size=32, normalization="imagenet")
    [whole] = batches(folder / "bright.mp4", tmp_path, crop="none", frame_step=1, flip=0.5, val_fraction=0.3)
    assert centre["video"].shape[-2:] == (32, 32) and centre["mean"].tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert whole["video"].shape[-2:] == (32, 48) and (whole["frames"].diff() == 1).all()


def test_windows_take_the_place_of_clips(folder: Path, tmp_path: Path) -> None:
    found = batches(folder / "bright.mp4", tmp_path, frame_step=1, windows=Windows(stride=4), batch_size=2)
    rows = torch.cat([batch["row"] for batch in found]).tolist()
    assert [row for row in rows if row >= 0] == [*range(FRAMES // 4)]


def test_a_task_that_needs_faces_gets_faces(folder: Path, tmp_path: Path) -> None:
    data = Video(str(folder / "bright.mp4"), cache=str(tmp_path), num_workers=0)
    assert isinstance(data.content, VideoFaces)


def test_what_is_no_video_is_refused_by_its_option(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match=r"datamodule\.path.*nothing\.mp4"):
        batches(folder / "nothing.mp4", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"datamodule\.path=.*empty holds no videos"):
        batches(tmp_path / "empty", tmp_path)


def test_the_command_of_the_issue_is_accepted_and_a_mistyped_option_is_not(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").touch()
    words = ["task=classify", "mode=predict", "callbacks=[default,saliency]", f"ckpt_path={tmp_path / 'last.ckpt'}"]
    words += ["datamodule=video", f"datamodule.path={folder / 'bright.mp4'}"]
    check_overrides(words)
    with pytest.raises(ConfigError, match=r"eval_clip=3: datamodule has no such key; did you mean .*eval_clips"):
        check_overrides([*words, "datamodule.eval_clip=3"])
    with pytest.raises(ConfigError, match=r"callbacks\.saliency\.num_samples"):
        check_overrides([*words, "callbacks.saliency.num_samples=0"])
