"""Clips of a folder of videos: what is in a batch, where it comes from, and what is said of wrong settings."""

import json
from pathlib import Path

import pytest
import torch
from lightning import LightningModule, Trainer

from datamodules import clips
from datamodules.errors import PathNotFoundError, VideoReadError
from datamodules.videos import Videos
from tests.datamodules import counters
from tests.datamodules.library import LENGTHS, SIZE, as_bytes, clips_of


def test_a_batch_holds_what_the_contract_says(make_videos) -> None:
    datamodule = make_videos(clips_per_video=3)
    batch = next(iter(datamodule.train_dataloader()))
    shapes = {key: tuple(value.shape) for key, value in batch.items() if key != "name"}
    assert shapes == {
        "video": (6, 3, 8, *SIZE),
        "frames": (6, 8),
        "seconds": (6, 8),
        **{key: (6,) for key in ("index", "row", "rows", "view", "views")},
        "label": (6, 8),
        "boxes": (6, 8, 1, 4),
        "box_scores": (6, 8, 1),
        "box_count": (6, 8),
    }
    types = {key: value.dtype for key, value in batch.items() if key != "name"}
    assert types.pop("video") == torch.uint8
    assert types.pop("boxes") == types.pop("box_scores") == torch.float32
    assert types.pop("seconds") == torch.float64
    assert set(types.values()) == {torch.int64}
    assert (batch["label"] == -1).all() and (batch["box_count"] == 0).all()
    assert len(batch["name"]) == 6 and set(batch["name"]) <= set(LENGTHS)
    pixels = batch["video"]
    batch = datamodule.on_after_batch_transfer(batch, 0)
    assert set(batch) == set(Videos.provides)
    assert batch["video"].dtype == batch["mean"].dtype == batch["std"].dtype == torch.float32
    restored = batch["video"] * batch["std"].view(3, 1, 1, 1) + batch["mean"].view(3, 1, 1, 1)
    torch.testing.assert_close(restored, pixels / 255)


@pytest.mark.parametrize("step", [{"frame_step": 1}, {"frame_step": 3}, {"step_s": 0.1}, {"frame_step": 20}])
def test_the_pixels_are_those_of_the_frames_that_are_named(make_videos, step: dict) -> None:
    datamodule = make_videos(**step, clips_per_video=2, val_fraction=0.0, batch_size=1)
    datamodule.setup("predict")
    for loader in (datamodule.train_dataloader(), datamodule.predict_dataloader()):
        names = set()
        for batch in loader:
            names |= set(batch["name"])
            for clip, frames in zip(as_bytes(batch), batch["frames"], strict=True):
                assert counters.numbers_of(clip) == frames.tolist()
        assert names == set(LENGTHS)


def test_frames_are_as_far_apart_as_asked(make_videos) -> None:
    steps = {"frame_step": 3}, {"step_s": 3 / 25}
    for datamodule in (make_videos(**step) for step in steps):
        frames = torch.cat([batch["frames"] for batch in datamodule.train_dataloader()])
        assert (frames.diff(dim=1) == 3).all()


def test_seconds_use_the_rate_that_is_given_for_frame_folders(make_videos, library: Path) -> None:
    datamodule = make_videos("predict", root=str(library / "frames"), step_s=0.2, fps_of_frames=10.0)
    frames = next(iter(datamodule.predict_dataloader()))["frames"]
    assert (frames.diff(dim=1) == 2).all()


def test_the_clips_of_a_visit_share_one_decoding(make_videos, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, asked = [], []
    real_open = clips.open_video

    def counting(facts, backend):
        reader = real_open(facts, backend)
        read = reader.read
        reader.read = lambda indices: asked.append(list(indices)) or read(indices)
        opened.append(facts.path)
        return reader

    monkeypatch.setattr(clips, "open_video", counting)
    sample = make_videos(clips_per_video=4, frame_step=1).train_data[0, 0]
    assert len(opened) == len(asked) == 1
    assert asked[0] == sorted(set(asked[0])) and len(asked[0]) < sample["frames"].numel()
    assert len({tuple(frames.tolist()) for frames in sample["frames"]}) > 1
    assert [counters.number_of(pixels) for pixels in sample["video"][3].permute(1, 2, 3, 0).numpy()] == (
        sample["frames"][3].tolist()
    )


def test_a_clip_says_which_row_of_its_video_it_is_and_when_its_frames_are_shown(make_videos) -> None:
    rows: dict[str, list[int]] = {}
    for batch in make_videos("predict", eval_clips=3, frame_step=2).predict_dataloader():
        for name, row in zip(batch["name"], batch["row"].tolist(), strict=True):
            rows.setdefault(name, []).append(row)
        assert (batch["rows"] == 3).all() and (batch["view"] == 0).all() and (batch["views"] == 1).all()
        first = torch.tensor([1 if name == "frames/d" else 0 for name in batch["name"]])  # its images count from 1
        torch.testing.assert_close(batch["seconds"], (batch["frames"] - first[:, None]).double() / 25)
    assert rows == {name: [0, 1, 2] for name in LENGTHS}
    visits = make_videos(clips_per_video=2, repeat=3, batch_size=4, val_fraction=0.0).train_dataloader()
    found = {(name, row) for batch in visits for name, row in zip(batch["name"], batch["row"].tolist(), strict=True)}
    assert len(found) >= 2 * 12 and {row for _, row in found} == set(range(6))


def test_times_are_those_of_a_video_whose_rate_varies(make_videos, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    ticks = [40 * number + (500 if number >= 6 else 0) for number in range(12)]
    counters.encode(tmp_path / "set" / "a.mkv", count=12, ticks=ticks)
    datamodule = make_videos("predict", root=str(tmp_path / "set"), frame_step=1, num_frames=12)
    batch = next(iter(datamodule.predict_dataloader()))
    assert batch["frames"][0].tolist() == list(range(12))
    torch.testing.assert_close(batch["seconds"][0], torch.tensor(ticks, dtype=torch.float64) / 1000)


def test_times_are_not_rounded_and_identities_stay_where_they_are_read(make_videos) -> None:
    assert "seconds" in Videos.exact
    datamodule = make_videos("predict")
    batch = next(iter(datamodule.predict_dataloader()))
    moved = datamodule.transfer_batch_to_device(dict(batch), torch.device("meta"), 0)
    staying = ("index", "row", "rows", "view", "views", "seconds")
    assert {key for key, value in moved.items() if key != "name" and value.device.type == "cpu"} == set(staying)
    assert set(moved) == set(batch)


def test_the_recipe_names_what_decides_the_pixels_in_plain_values(make_videos) -> None:
    recipe = make_videos("predict", resize="squash", normalization="zero_one", eval_clips=2).recipe()
    assert json.loads(json.dumps(recipe)) == recipe
    assert recipe == {
        **{"image_size": list(SIZE), "num_frames": 8, "frame_step": 2, "eval_clips": 2, "resize": "squash"},
        **{"crop": "none", "normalization": "zero_one", "reader": "auto", "batch_size": 2},
    }
    timed = make_videos("predict", step_s=0.1).recipe()
    assert timed["step_s"] == 0.1 and "frame_step" not in timed


def test_the_sources_of_features_are_told_from_others_of_the_same_name(
    make_videos, library: Path, tmp_path: Path
) -> None:
    sources = make_videos("predict").feature_sources()
    assert list(sources) == list(LENGTHS) and json.loads(json.dumps(sources)) == sources
    size = (library / "scene/c.avi").stat().st_size
    assert sources["scene/c"] == {"path": "scene/c.avi", "bytes": size, "first": 0, "frames": 50, "fps": 25.0}
    images = sum(image.stat().st_size for image in (library / "frames/d").iterdir())
    assert sources["frames/d"] == {"path": "frames/d", "bytes": images, "first": 1, "frames": 30, "fps": 25.0}
    (tmp_path / "list.txt").write_text("a.mp4 10 12\nframes/d 0 -1\n")
    listed = make_videos("predict", list_file=str(tmp_path / "list.txt")).feature_sources()
    assert (listed["a"]["first"], listed["a"]["frames"]) == (10, 12)
    (tmp_path / "list.txt").write_text("a.mp4 10 12\na.mp4 22 12\n")
    with pytest.raises(ValueError, match=r"datamodule.list_file: a is listed more than once"):
        make_videos("predict", list_file=str(tmp_path / "list.txt")).feature_sources()


def test_a_list_file_chooses_videos_and_parts_of_them(make_videos, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.mp4 10 12\nframes/d 21 -1\nscene/b.mp4 0 -1\n")
    datamodule = make_videos("predict", list_file=str(tmp_path / "list.txt"), frame_step=1, num_frames=16)
    found = dict(clips_of(datamodule.predict_dataloader()).values())
    assert found["a"] == [*range(10, 22), 21, 21, 21, 21]
    assert found["frames/d"] == [*range(21, 31), *[30] * 6]
    assert found["scene/b"] == list(range(22, 38))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.mp4 40 2", "the list begins at frame 40, the video has frames 0 to 39"),
        ("frames/d 0 5", "the list begins at frame 0, the video has frames 1 to 30"),
        ("a.mp4 10 31", "the list asks for 31 frames from frame 10, 30 exist"),
    ],
)
def test_a_list_that_asks_for_missing_frames_is_refused(make_videos, tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "list.txt").write_text(line)
    with pytest.raises(VideoReadError, match=message):
        make_videos("predict", list_file=str(tmp_path / "list.txt"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_frames": 0}, "datamodule.num_frames: expected at least 1, found 0"),
        ({"step_s": -1.0}, "datamodule.step_s: expected a positive number, found -1.0"),
        ({"val_fraction": 1.0}, r"datamodule.val_fraction: expected a share in \[0, 1\), found 1.0"),
        ({"normalization": "clip"}, "datamodule.normalization: expected one of imagenet"),
        ({"crop": "middle"}, "datamodule.crop: expected one of multi_scale"),
    ],
)
def test_a_wrong_option_is_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Videos(**options)


def test_a_root_without_videos_is_named(tmp_path: Path) -> None:
    for root, message in ((tmp_path / "none", "does not exist"), (tmp_path, "holds no videos; expected files such as")):
        with pytest.raises(FileNotFoundError, match=message) as caught:
            Videos(root=str(root), cache=str(tmp_path / "cache")).prepare_data()
        assert str(root) in str(caught.value)


def test_a_mistyped_root_is_answered_with_the_nearest_name_and_the_way_on(tmp_path: Path) -> None:
    (tmp_path / "videos" / "street").mkdir(parents=True)
    for typed, near in (("videos/stret", "videos/street"), ("vidoes/street", "videos/street"), ("vidoes/x", "videos")):
        with pytest.raises(PathNotFoundError) as caught:
            Videos(root=str(tmp_path / typed), cache=str(tmp_path / "cache")).prepare_data()
        first, second = str(caught.value).splitlines()
        assert first == f"datamodule.root: {tmp_path / typed} does not exist; did you mean {tmp_path / near}?"
        assert second == "Expected a folder of videos; any videos will do, or try datamodule.root=sample."


def test_a_broken_video_is_named_when_the_videos_are_looked_at(make_videos, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "broken.mp4").write_bytes(b"no video at all")
    with pytest.raises(VideoReadError, match=r"broken.mp4"):
        make_videos(root=str(tmp_path / "set"))


class Mean(LightningModule):
    """Checks every batch in every stage, and trains one number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch: dict, batch_idx: int) -> torch.Tensor:
        assert set(batch) == set(Videos.provides) and batch["video"].dtype == torch.float32
        return (self.weight - batch["video"].mean()) ** 2

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        self.log("val/loss", self.training_step(batch, batch_idx), batch_size=len(batch["video"]))

    test_step = validation_step

    def predict_step(self, batch: dict, batch_idx: int) -> list[str]:
        return batch["name"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_lightning_fits_validates_tests_and_predicts(make_videos, tmp_path: Path) -> None:
    datamodule, task = make_videos(num_workers=1), Mean()
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    plain = {"accelerator": "cpu", "devices": 1, "use_distributed_sampler": False, "max_epochs": 2}
    trainer = Trainer(default_root_dir=tmp_path, **quiet, **plain)
    trainer.fit(task, datamodule=datamodule)
    assert task.weight != 0 and "val/loss" in trainer.callback_metrics
    trainer.test(task, datamodule=datamodule, verbose=False)
    names = [name for batch in trainer.predict(task, datamodule=datamodule) for name in batch]
    assert sorted(names) == sorted(LENGTHS)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    torch.load(tmp_path / "last.ckpt", weights_only=True)
