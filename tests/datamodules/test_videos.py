"""Clips of a folder of videos: what is in a batch, where it comes from, and that nothing but the seed decides."""

import json
import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer
from PIL import Image

from datamodules import clips
from datamodules.errors import PathNotFoundError, VideoReadError
from datamodules.videos import Videos
from tests.datamodules import counters

SIZE = (counters.HEIGHT, counters.WIDTH)
LENGTHS = {"a": 40, "frames/d": 30, "scene/b": 60, "scene/c": 50, "z": 45}


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Numbered frames in mp4 and avi files and in a folder of images, which count from 1."""
    root = tmp_path_factory.mktemp("library")
    (root / "scene").mkdir()
    for name, suffix, codec in (("a", "mp4", "libx264"), ("scene/b", "mp4", "libx264"), ("z", "mp4", "libx264")):
        counters.encode(root / f"{name}.{suffix}", codec, LENGTHS[name])
    counters.encode(root / "scene/c.avi", "mpeg4", LENGTHS["scene/c"], b_frames=None)
    counters.write_frames(root / "frames/d", {number: f"img_{number:05}.jpg" for number in range(1, 31)})
    return root


@pytest.fixture
def make(library: Path, tmp_path: Path):
    """Make a datamodule of whole frames, so that their numbers can be read, and set it up."""

    def build(stage: str = "fit", **options: object) -> Videos:
        plain = {"root": str(library), "cache": str(tmp_path), "image_size": SIZE, "crop": "none", "num_workers": 0}
        small = {"num_frames": 8, "batch_size": 2, "val_fraction": 0.2}
        made = Videos(**plain | small | options)
        made.prepare_data()
        made.setup(stage)
        return made

    return build


def as_bytes(batch: dict) -> np.ndarray:
    """uint8 (B, T, H, W, 3)."""
    return batch["video"].permute(0, 2, 3, 4, 1).numpy()


def equal(first: Iterable[dict], second: Iterable[dict]) -> bool:
    pairs = list(zip(first, second, strict=True))
    return bool(pairs) and all(
        one.keys() == other.keys()
        and all(torch.equal(one[key], other[key]) if key != "name" else one[key] == other[key] for key in one)
        for one, other in pairs
    )


def clips_of(loader: Iterable[dict]) -> dict[int, tuple[str, list[int]]]:
    """Name and frames of every clip, by its index."""
    return {
        index: (name, frames)
        for batch in loader
        for index, name, frames in zip(batch["index"].tolist(), batch["name"], batch["frames"].tolist(), strict=True)
    }


def test_a_batch_holds_what_the_contract_says(make) -> None:
    datamodule = make(clips_per_video=3)
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


def test_no_loader_draws_from_the_global_stream(make) -> None:
    """Else a continued training, whose first evaluation makes its loader anew, would drop out other units."""
    datamodule = make(val_fraction=0.4)
    datamodule.setup("predict")
    before = torch.get_rng_state()
    for stage in ("train", "val", "test", "predict"):
        assert list(getattr(datamodule, f"{stage}_dataloader")())
        assert torch.equal(torch.get_rng_state(), before), stage


@pytest.mark.parametrize("step", [{"frame_step": 1}, {"frame_step": 3}, {"step_s": 0.1}, {"frame_step": 20}])
def test_the_pixels_are_those_of_the_frames_that_are_named(make, step: dict) -> None:
    datamodule = make(**step, clips_per_video=2, val_fraction=0.0, batch_size=1)
    datamodule.setup("predict")
    for loader in (datamodule.train_dataloader(), datamodule.predict_dataloader()):
        names = set()
        for batch in loader:
            names |= set(batch["name"])
            for clip, frames in zip(as_bytes(batch), batch["frames"], strict=True):
                assert counters.numbers_of(clip) == frames.tolist()
        assert names == set(LENGTHS)


def test_frames_are_as_far_apart_as_asked(make) -> None:
    steps = {"frame_step": 3}, {"step_s": 3 / 25}
    for datamodule in (make(**step) for step in steps):
        frames = torch.cat([batch["frames"] for batch in datamodule.train_dataloader()])
        assert (frames.diff(dim=1) == 3).all()


def test_seconds_use_the_rate_that_is_given_for_frame_folders(make, library: Path) -> None:
    datamodule = make("predict", root=str(library / "frames"), step_s=0.2, fps_of_frames=10.0)
    frames = next(iter(datamodule.predict_dataloader()))["frames"]
    assert (frames.diff(dim=1) == 2).all()


def test_training_and_validation_part_the_videos_as_the_seed_says(make) -> None:
    splits = []
    for seed in range(8):
        datamodule = make(seed=seed)
        train, val = ({source.name for source in data.sources} for data in (datamodule.train_data, datamodule.val_data))
        assert train | val == set(LENGTHS) and not train & val and len(val) == 1
        again = make(seed=seed)
        assert {source.name for source in again.val_data.sources} == val
        splits.append(tuple(val))
    assert len(set(splits)) > 2


def test_at_least_one_video_is_held_out_and_one_is_left(make) -> None:
    assert len(make(val_fraction=0.01).val_data.sources) == 1
    assert len(make(val_fraction=0.99).train_data.sources) == 1


def test_validation_on_training_videos_is_worth_a_warning(make, library: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        datamodule = make(val_fraction=0.0)
    assert "validation looks at training videos" in caplog.text
    assert len(datamodule.val_data.sources) == len(datamodule.train_data.sources) == len(LENGTHS)
    single = make(root=str(library / "frames"), batch_size=1)
    assert len(single.train_data.sources) == len(single.val_data.sources) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_nothing(make, workers: int) -> None:
    random = {"crop": "random_resized", "flip": 0.5, "clips_per_video": 2, "image_size": (32, 48)}
    alone, helped = make(**random).train_dataloader(), make(**random, num_workers=workers).train_dataloader()
    for epoch in range(2):
        alone.sampler.set_epoch(epoch)
        helped.sampler.set_epoch(epoch)
        assert equal(alone, helped)


def test_every_epoch_and_every_seed_draws_anew(make) -> None:
    def drawn(seed: int, epoch: int) -> dict:
        data = make(seed=seed, val_fraction=0.0, crop="multi_scale", image_size=32).train_data
        return data[epoch, 2]

    first = drawn(0, 0)
    assert equal([{**first, "boxes": first["index"]}], [{**(again := drawn(0, 0)), "boxes": again["index"]}])
    others = [drawn(0, 1), drawn(1, 0), drawn(1, 1)]
    assert {sample["name"][0] for sample in others} == set(first["name"])
    assert not any(torch.equal(sample["video"], first["video"]) for sample in others)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_cut_epoch_continues_with_exactly_the_samples_it_had_left(make, workers: int) -> None:
    options = {"crop": "multi_scale", "image_size": 32, "repeat": 4, "num_workers": workers}
    whole = list(make(**options).train_dataloader())
    cut = make(**options).train_dataloader()
    batches = iter(cut)
    for _ in range(3):
        next(batches)
    resumed = make(**options).train_dataloader()
    resumed.load_state_dict(cut.state_dict())
    assert equal(resumed, whole[3:])


def test_the_clips_of_a_visit_share_one_decoding(make, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, asked = [], []
    real_open = clips.open_video

    def counting(facts, backend):
        reader = real_open(facts, backend)
        read = reader.read
        reader.read = lambda indices: asked.append(list(indices)) or read(indices)
        opened.append(facts.path)
        return reader

    monkeypatch.setattr(clips, "open_video", counting)
    sample = make(clips_per_video=4, frame_step=1).train_data[0, 0]
    assert len(opened) == len(asked) == 1
    assert asked[0] == sorted(set(asked[0])) and len(asked[0]) < sample["frames"].numel()
    assert len({tuple(frames.tolist()) for frames in sample["frames"]}) > 1
    assert [counters.number_of(pixels) for pixels in sample["video"][3].permute(1, 2, 3, 0).numpy()] == (
        sample["frames"][3].tolist()
    )


def test_an_index_means_the_same_clip_of_the_same_video_in_every_epoch(make) -> None:
    loader = make(clips_per_video=2, repeat=3, batch_size=3).train_dataloader()
    names: dict[int, set] = {}
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            for index, name in zip(batch["index"].tolist(), batch["name"], strict=True):
                names.setdefault(index, set()).add(name)
    assert sorted(names) == list(range(2 * 3 * 4))
    assert all(len(named) == 1 for named in names.values())


def test_a_clip_says_which_row_of_its_video_it_is_and_when_its_frames_are_shown(make) -> None:
    rows: dict[str, list[int]] = {}
    for batch in make("predict", eval_clips=3, frame_step=2).predict_dataloader():
        for name, row in zip(batch["name"], batch["row"].tolist(), strict=True):
            rows.setdefault(name, []).append(row)
        assert (batch["rows"] == 3).all() and (batch["view"] == 0).all() and (batch["views"] == 1).all()
        first = torch.tensor([1 if name == "frames/d" else 0 for name in batch["name"]])  # its images count from 1
        torch.testing.assert_close(batch["seconds"], (batch["frames"] - first[:, None]).double() / 25)
    assert rows == {name: [0, 1, 2] for name in LENGTHS}
    visits = make(clips_per_video=2, repeat=3, batch_size=4, val_fraction=0.0).train_dataloader()
    found = {(name, row) for batch in visits for name, row in zip(batch["name"], batch["row"].tolist(), strict=True)}
    assert len(found) >= 2 * 12 and {row for _, row in found} == set(range(6))


def test_times_are_those_of_a_video_whose_rate_varies(make, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    ticks = [40 * number + (500 if number >= 6 else 0) for number in range(12)]
    counters.encode(tmp_path / "set" / "a.mkv", count=12, ticks=ticks)
    batch = next(iter(make("predict", root=str(tmp_path / "set"), frame_step=1, num_frames=12).predict_dataloader()))
    assert batch["frames"][0].tolist() == list(range(12))
    torch.testing.assert_close(batch["seconds"][0], torch.tensor(ticks, dtype=torch.float64) / 1000)


def test_times_are_not_rounded_and_identities_stay_where_they_are_read(make) -> None:
    assert "seconds" in Videos.exact
    datamodule = make("predict")
    batch = next(iter(datamodule.predict_dataloader()))
    moved = datamodule.transfer_batch_to_device(dict(batch), torch.device("meta"), 0)
    staying = ("index", "row", "rows", "view", "views", "seconds")
    assert {key for key, value in moved.items() if key != "name" and value.device.type == "cpu"} == set(staying)
    assert set(moved) == set(batch)


def test_the_recipe_names_what_decides_the_pixels_in_plain_values(make) -> None:
    recipe = make("predict", resize="squash", normalization="zero_one", eval_clips=2).recipe()
    assert json.loads(json.dumps(recipe)) == recipe
    assert recipe == {
        **{"image_size": list(SIZE), "num_frames": 8, "frame_step": 2, "eval_clips": 2, "resize": "squash"},
        **{"crop": "none", "normalization": "zero_one", "reader": "auto", "batch_size": 2},
    }
    timed = make("predict", step_s=0.1).recipe()
    assert timed["step_s"] == 0.1 and "frame_step" not in timed


def test_the_sources_of_features_are_told_from_others_of_the_same_name(make, library: Path, tmp_path: Path) -> None:
    sources = make("predict").feature_sources()
    assert list(sources) == list(LENGTHS) and json.loads(json.dumps(sources)) == sources
    size = (library / "scene/c.avi").stat().st_size
    assert sources["scene/c"] == {"path": "scene/c.avi", "bytes": size, "first": 0, "frames": 50, "fps": 25.0}
    images = sum(image.stat().st_size for image in (library / "frames/d").iterdir())
    assert sources["frames/d"] == {"path": "frames/d", "bytes": images, "first": 1, "frames": 30, "fps": 25.0}
    (tmp_path / "list.txt").write_text("a.mp4 10 12\nframes/d 0 -1\n")
    listed = make("predict", list_file=str(tmp_path / "list.txt")).feature_sources()
    assert (listed["a"]["first"], listed["a"]["frames"]) == (10, 12)
    (tmp_path / "list.txt").write_text("a.mp4 10 12\na.mp4 22 12\n")
    with pytest.raises(ValueError, match=r"datamodule.list_file: a is listed more than once"):
        make("predict", list_file=str(tmp_path / "list.txt")).feature_sources()


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_leaving_out_finished_videos_changes_no_batch_of_the_others(make, world_size: int) -> None:
    whole = list(make("predict").predict_dataloader())
    assert [batch["name"] for batch in whole] == [["a", "frames/d"], ["scene/b", "scene/c"], ["z"]]
    for finished, left in (({"a"}, [0, 1, 2]), ({"a", "frames/d"}, [1, 2]), ({"z", "scene/b"}, [0, 1]), (LENGTHS, [])):
        found = []
        for rank in range(world_size):
            datamodule = make("predict")
            datamodule.place = lambda rank=rank: (rank, world_size)
            datamodule.leave_out(finished)
            found += [*datamodule.predict_dataloader()]
        found.sort(key=lambda batch: batch["name"])
        assert len(found) == len(left)
        assert not left or equal(found, [whole[place] for place in left])


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_evaluate_every_clip_exactly_once_at_fixed_places(make, world_size: int) -> None:
    datamodule = make("predict", eval_clips=2)
    shares = []
    for rank in range(world_size):
        datamodule.place = lambda rank=rank: (rank, world_size)
        shares.append(clips_of(datamodule.predict_dataloader()))
    assert sorted(index for share in shares for index in share) == list(range(2 * len(LENGTHS)))
    assert datamodule.eval_data.num_clips == 2 * len(LENGTHS)
    together = {index: clip for share in shares for index, clip in share.items()}
    assert together == clips_of(make("test", eval_clips=2, seed=3).test_dataloader())


def test_ranks_share_the_training_videos(make) -> None:
    datamodule = make(val_fraction=0.0, repeat=2, batch_size=1)
    seen = []
    for rank in range(2):
        datamodule.place = lambda rank=rank: (rank, 2)
        seen += [index for batch in datamodule.train_dataloader() for index in batch["index"].tolist()]
    assert sorted(seen) == list(range(2 * len(LENGTHS)))


def test_too_few_videos_for_a_batch_on_every_rank_are_refused(make) -> None:
    datamodule = make()
    datamodule.place = lambda: (2, 3)
    with pytest.raises(ValueError, match="training: 1 videos for a process, fewer than a batch of 2; lower datamodule"):
        datamodule.train_dataloader()
    for rank in range(3):  # also where there would be one, so that no process waits for those that ended
        datamodule.place = lambda rank=rank: (rank, 3)
        with pytest.raises(ValueError, match="validation: 0 videos for a process"):
            datamodule.val_dataloader()


def test_a_list_file_chooses_videos_and_parts_of_them(make, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.mp4 10 12\nframes/d 21 -1\nscene/b.mp4 0 -1\n")
    datamodule = make("predict", list_file=str(tmp_path / "list.txt"), frame_step=1, num_frames=16)
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
def test_a_list_that_asks_for_missing_frames_is_refused(make, tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "list.txt").write_text(line)
    with pytest.raises(VideoReadError, match=message):
        make("predict", list_file=str(tmp_path / "list.txt"))


def painted(root: Path, count: int = 12) -> dict[int, list[int]]:
    """Write frames with a moving white box, and the regions that say where it is."""
    folder = root / "walk"
    folder.mkdir(parents=True)
    boxes = {number: [20 + 5 * number, 30 + 2 * number, 60 + 5 * number, 70 + 2 * number] for number in range(count)}
    for number, (left, top, right, bottom) in boxes.items():
        frame = np.zeros((120, 160, 3), dtype=np.uint8)
        frame[top:bottom, left:right] = 255
        Image.fromarray(frame).save(folder / f"{number:03}.png")
    results = [
        {"image_id": f"{number:03}.jpg", "Boxes": [box, [0, 0, 4, 4]], "Scores": [0.9, 0.3], "Labels": [1, 1, 3]}
        for number, box in boxes.items()
        if number % 3
    ]
    (root / "regions").mkdir()
    (root / "regions" / "res_frcnn_walk.json").write_text(json.dumps({"results": results}))
    return boxes


@pytest.mark.parametrize("crop", ["multi_scale", "random_resized", "center", "none"])
@pytest.mark.parametrize("resize", ["none", "short_side", "squash"])
def test_boxes_of_a_batch_lie_on_what_they_were_found_on(make, tmp_path: Path, crop: str, resize: str) -> None:
    painted(tmp_path / "set")
    options = {"crop": crop, "resize": resize, "flip": 0.5, "image_size": (64, 80), "clips_per_video": 12}
    with_regions = make(root=str(tmp_path / "set"), frame_step=1, val_fraction=0.0, batch_size=1, **options)
    batch = next(iter(with_regions.train_dataloader()))
    found = 0
    for clip, frames, boxes, scores, counts in zip(
        as_bytes(batch), batch["frames"], batch["boxes"], batch["box_scores"], batch["box_count"], strict=True
    ):
        for pixels, frame, box, score, count in zip(clip, frames, boxes, scores, counts, strict=True):
            if frame % 3 == 0:
                assert count == 0
                continue
            assert (score[count:] == 0).all() and (box[count:] == 0).all()
            rows, columns = np.nonzero(pixels[..., 0] > 127)
            if score[0] != pytest.approx(0.9) or (box[0, 2:] - box[0, :2]).min() < 4:
                continue  # the white box is outside, or so thin at the edge that it is all blur
            found += 1
            expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(box[0], expected, atol=1.5)
    assert found > 20


def test_boxes_stay_in_the_stored_frame_on_request(make, tmp_path: Path) -> None:
    boxes = painted(tmp_path / "set")
    options = {"crop": "multi_scale", "resize": "squash", "flip": 0.5, "image_size": (64, 80), "boxes_follow": False}
    datamodule = make("predict", root=str(tmp_path / "set"), frame_step=1, batch_size=1, **options)
    batch = next(iter(datamodule.predict_dataloader()))
    for frame, found, count in zip(batch["frames"][0].tolist(), batch["boxes"][0], batch["box_count"][0], strict=True):
        assert found[:count].tolist() == ([] if frame % 3 == 0 else [boxes[frame], [0, 0, 4, 4]])


def test_regions_are_read_from_where_they_are_said_to_be(make, tmp_path: Path, caplog) -> None:
    painted(tmp_path / "set")
    options = {"root": str(tmp_path / "set"), "batch_size": 1, "frame_step": 1}
    auto = next(iter(make("predict", **options).predict_dataloader()))
    named = next(iter(make("predict", regions="regions", **options).predict_dataloader()))
    absolute = next(iter(make("predict", regions=str(tmp_path / "set/regions"), **options).predict_dataloader()))
    without = next(iter(make("predict", regions=None, **options).predict_dataloader()))
    assert auto["box_count"].sum() > 0 and without["box_count"].sum() == 0
    assert equal([auto, auto], [named, absolute])
    with pytest.raises(FileNotFoundError, match=r"datamodule.regions: .*elsewhere does not exist"):
        make("predict", regions="elsewhere", **options)


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


def test_a_broken_video_is_named_when_the_videos_are_looked_at(make, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "broken.mp4").write_bytes(b"no video at all")
    with pytest.raises(VideoReadError, match=r"broken.mp4"):
        make(root=str(tmp_path / "set"))


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


def test_lightning_fits_validates_tests_and_predicts(make, tmp_path: Path) -> None:
    datamodule, task = make(num_workers=1), Mean()
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
