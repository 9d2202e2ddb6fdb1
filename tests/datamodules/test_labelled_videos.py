"""Videos with classes: where classes come from, how videos are parted, which clips and crops of them are seen."""

import json
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.crops import center
from datamodules.errors import DatasetNotFoundError, PathNotFoundError
from datamodules.frame_indices import dense_clip, dense_views, segment_clip, segment_views
from datamodules.labelled_campus import longest_run
from datamodules.labelled_clips import SideCrop
from datamodules.labelled_listing import class_names
from datamodules.labelled_videos import LabelledVideos
from datamodules.listing import ListFileError
from tests.datamodules import counters
from tests.datamodules.library import SIZE

LENGTHS = {
    "cats/a": 40,
    "cats/b": 30,
    "cats/c": 30,
    "cats/d": 30,
    "dogs/a": 36,
    "dogs/b": 30,
    "dogs/c": 30,
    "dogs/d": 30,
}


def write_frames(folder: Path, count: int) -> None:
    counters.write_frames(folder, {number: f"img_{number:05}.jpg" for number in range(1, count + 1)})


@pytest.fixture(scope="session")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight frame folders of two classes, whose frames count from 1."""
    root = tmp_path_factory.mktemp("pets")
    for name, count in LENGTHS.items():
        write_frames(root / name, count)
    return root


@pytest.fixture
def make(pets: Path, tmp_path: Path) -> Callable[..., LabelledVideos]:
    """Make a datamodule of whole frames, so that their numbers can be read, and set it up."""

    def build(stage: str = "fit", **options: object) -> LabelledVideos:
        plain = {"root": str(pets), "cache": str(tmp_path / "cache"), "image_size": SIZE, "crop": "none"}
        small = {"num_workers": 0, "num_frames": 8, "batch_size": 2, "val_fraction": 0.25}
        made = LabelledVideos(**plain | small | options)
        made.prepare_data()
        made.setup(stage)
        return made

    return build


def seen(loader) -> dict[str, int]:
    """Class of every video that a loader shows."""
    return {name: int(each) for batch in loader for name, each in zip(batch["name"], batch["class_id"], strict=True)}


def names(datamodule: LabelledVideos, part: str) -> list[str]:
    return [each.video.name for each in datamodule.parts[part]]


def test_folders_are_classes_in_the_order_of_their_names(make) -> None:
    datamodule = make()
    assert datamodule.classes == ["cats", "dogs"]
    train, val = seen(datamodule.train_dataloader()), seen(datamodule.val_dataloader())
    assert sorted([*train, *val]) == sorted(LENGTHS) and Counter(val.values()) == {0: 1, 1: 1}
    assert all(label == int(name.startswith("dogs")) for name, label in (train | val).items())
    batch = next(iter(datamodule.train_dataloader()))
    assert set(datamodule.on_after_batch_transfer(batch, 0)) == set(LabelledVideos.provides)
    assert batch["class_id"].shape == (2,) and batch["class_id"].dtype == torch.int64


def test_what_is_tested_on_is_held_out(make) -> None:
    datamodule = make("test")
    assert seen(datamodule.test_dataloader()).keys() == {*names(datamodule, "val")} == {*names(datamodule, "test")}
    assert not {*names(datamodule, "val")} & {*names(datamodule, "train")}
    assert len({frozenset(names(make("test", seed=seed), "val")) for seed in range(4)}) > 1


def test_folders_of_parts_are_kept_apart(make, pets: Path, tmp_path: Path) -> None:
    root = tmp_path / "parted"
    for part, names_of_part in {
        "train": ("cats/a", "dogs/a"),
        "val": ("dogs/b", "cats/b"),
        "test": ("cats/c",),
    }.items():
        for name in names_of_part:
            (root / part / name).parent.mkdir(parents=True, exist_ok=True)
            (root / part / name.replace("b", "a")).symlink_to(pets / name)  # the same names in both parts
    datamodule = make(root=str(root))
    assert seen(datamodule.train_dataloader()) == {"train/cats/a": 0, "train/dogs/a": 1}
    assert seen(datamodule.val_dataloader()) == {"val/cats/a": 0, "val/dogs/a": 1}
    datamodule.setup("test")
    assert seen(datamodule.test_dataloader()) == {"test/cats/c": 0}


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("cats/a 0\ndogs/a 1\ncats/b 0\ndogs/b 1\n", "cats/c 0\n"),  # VideoMAE, videos
        ("cats/a 40 0\ndogs/a 36 1\ncats/b 30 0\ndogs/b 20 1\n", "cats/c 30 0\n"),  # VideoMAE, frames
        ("cats/a,0\ndogs/a,1\ncats/b,0\ndogs/b,1\n", "cats/c,0\n"),  # FocusMAE
        ("# a comment\n\ncats/a\tcat\ndogs/a\tdog\ncats/b\tcat\ndogs/b\tdog\n", "cats/c\tcat\n"),
    ],
)
def test_lists_in_any_form_say_the_parts_and_the_classes(make, tmp_path: Path, train: str, val: str) -> None:
    fold = tmp_path / "fold0"
    fold.mkdir()
    (fold / "train.csv").write_text(train)
    (fold / "val.txt").write_text(val)
    datamodule = make(lists=str(fold))
    assert seen(datamodule.train_dataloader()) == {"cats/a": 0, "dogs/a": 1, "cats/b": 0, "dogs/b": 1}
    assert seen(datamodule.val_dataloader()) == {"cats/c": 0}
    assert names(datamodule, "test") == ["cats/c"]
    (fold / "test.csv").write_text("dogs/d,1\n" if "1" in train else "dogs/d,dog\n")
    assert seen(make("test", lists=str(fold)).test_dataloader()) == {"dogs/d": 1}


def test_a_list_may_use_parts_of_a_video(make, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("cats/a 1 20 0\ncats/a 21 20 1\ndogs/a 0 -1 1\ndogs/b 3 9 0\n")
    datamodule = make(list_file=str(tmp_path / "list.txt"), val_fraction=0.0, frame_step=1, eval_clips=1)
    frames = {name: batch["frames"] for batch in datamodule.val_dataloader() for name in batch["name"]}
    assert frames.keys() == {"cats/a/1", "cats/a/21", "dogs/a", "dogs/b/3"}
    assert seen(datamodule.val_dataloader()) == {"cats/a/1": 0, "cats/a/21": 1, "dogs/a": 1, "dogs/b/3": 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cats/a\n", r"line 1: has 1 columns, expected path label"),
        ("cats/a 0\ncats/x 1\n", r"line 2: .*cats/x does not exist"),
        ("cats/a 0\ndogs/a 1\ncats/a 0\n", r"line 3: cats/a is listed already, in line 1"),
        ("cats/a 0 1\n", r"line 1: total is 0"),
        ("# nothing\n", r"the list is empty"),
    ],
)
def test_a_wrong_line_is_named(make, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(ListFileError, match=message):
        make(list_file=str(tmp_path / "list.txt"))


def test_a_video_of_two_classes_is_refused_and_one_in_two_parts_is_said(make, tmp_path: Path, caplog) -> None:
    (tmp_path / "train.csv").write_text("cats/a,0\ndogs/a,1\n")
    (tmp_path / "val.csv").write_text("cats/a,1\n")
    with pytest.raises(ValueError, match="expected one class of a video, found 0 and 1"):
        make(lists=str(tmp_path))
    (tmp_path / "val.csv").write_text("cats/a,0\n")
    with caplog.at_level(logging.WARNING):
        make(lists=str(tmp_path))
    assert "1 videos are in the parts for training and for validation" in caplog.text


def test_a_class_that_is_one_too_many_is_named_with_a_video_of_it(make, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("cats/a cat\ncats/b cat\ndogs/a dog\ndogs/b dgo\ndogs/c dog\n")
    with pytest.raises(ValueError, match=r"the rarest dgo of dogs/b; correct the labels, or set model\.num_classes=3"):
        make(list_file=str(tmp_path / "list.txt"), num_classes=2)
    (tmp_path / "list.txt").write_text("cats/a 0\ncats/b 0\ndogs/a 1\ndogs/b 4\ndogs/c 1\n")
    with pytest.raises(ValueError, match=r"found 5 \(0, 1, 2, 3, 4\), the rarest 4 of dogs/b"):
        make(list_file=str(tmp_path / "list.txt"), num_classes=2)


def test_a_class_that_is_never_trained_on_is_said(make, tmp_path: Path, caplog) -> None:
    (tmp_path / "train.csv").write_text("cats/a,cat\ndogs/a,dog\n")
    (tmp_path / "val.csv").write_text("cats/b,cat\ndogs/b,dgo\n")
    with caplog.at_level(logging.WARNING):
        make(lists=str(tmp_path), num_classes=3)
    assert "classes that no training video has: dgo" in caplog.text


def test_a_folder_without_videos_is_no_class_and_said(make, pets: Path, tmp_path: Path, caplog) -> None:
    for name in ("cats", "dogs"):
        (tmp_path / name).symlink_to(pets / name)
    (tmp_path / "birds").mkdir()
    (tmp_path / ".hidden").mkdir()
    with caplog.at_level(logging.WARNING):
        assert make(root=str(tmp_path)).classes == ["cats", "dogs"]
    assert "folders without videos, which make no class: birds\n" in caplog.text


def test_numbers_are_ids_and_words_are_sorted() -> None:
    assert class_names(["2", "0", "2"]) == ["0", "1", "2"]
    assert class_names(["b", "10", "a"]) == ["10", "a", "b"]
    assert class_names(["02", "01"]) == ["01", "02"]
    assert class_names(["abnormal", "normal"]) == ["normal", "abnormal"]
    with pytest.raises(ValueError, match="found -1"):
        class_names(["0", "-1"])


def test_folds_share_nothing_and_are_all_videos_of_every_class(make) -> None:
    held = [names(make(folds=4, fold=fold), "val") for fold in range(4)]
    assert sorted(name for fold in held for name in fold) == sorted(LENGTHS)
    assert all(Counter(name.partition("/")[0] for name in fold) == {"cats": 1, "dogs": 1} for fold in held)
    other = [names(make(folds=4, fold=fold, seed=1), "val") for fold in range(4)]
    assert {*map(frozenset, held)} != {*map(frozenset, other)}
    with pytest.raises(ValueError, match="expected as many files at least, found 8"):
        make(folds=9, fold=0)


def test_a_few_labels_of_each_class_are_drawn_by_the_seed(make) -> None:
    all_of_it = make()
    drawn = [make(labels_per_class=2, seed=seed) for seed in range(4)]
    for datamodule in drawn:
        assert Counter(seen(datamodule.train_dataloader()).values()) == {0: 2, 1: 2}
    assert names(drawn[0], "val") == names(all_of_it, "val")
    assert {*names(drawn[0], "train")} < {*names(all_of_it, "train")}
    assert len({frozenset(names(datamodule, "train")) for datamodule in drawn}) > 1
    with pytest.raises(ValueError, match=r"labels_per_class=4: expected as many videos, found class cats has 3"):
        make(labels_per_class=4)


def test_dense_clips_are_those_of_the_published_loader(make) -> None:
    options = {"moments": "dense", "frame_step": 3, "val_fraction": 0.0}
    datamodule = make(**options, test_clips=4)
    for batch in datamodule.val_dataloader():
        for name, video, frames in zip(batch["name"], batch["video"], batch["frames"].numpy(), strict=True):
            assert frames.tolist() == (dense_clip(LENGTHS[name], 8, 3) + 1).tolist()
            assert counters.numbers_of(video.permute(1, 2, 3, 0).numpy()) == frames.tolist()
    datamodule.setup("test")
    views = dict.fromkeys(LENGTHS)
    for batch in datamodule.test_dataloader():
        for name in set(batch["name"]):
            mine = torch.tensor([each == name for each in batch["name"]])
            assert batch["row"][mine].tolist() == [0, 1, 2, 3] and (batch["rows"] == 4).all()
            views[name] = batch["frames"][mine].numpy() - 1
    for name, found in views.items():
        np.testing.assert_array_equal(found, dense_views(LENGTHS[name], 8, 3, 4))
    starts = {int(batch["frames"][0, 0]) for batch in make(**options, repeat=9).train_dataloader()}
    assert len(starts) > 3


@pytest.mark.parametrize("moments", ["dense", "segments", "strided"])
def test_a_training_video_is_seen_twice_in_the_same_frames_as_published(make, moments: str) -> None:
    datamodule = make(moments=moments, clips_per_video=2, repeat=4, image_size=64, crop="random_resized")
    same = [
        torch.equal(*batch["frames"][pair : pair + 2])
        for batch in datamodule.train_dataloader()
        for pair in (0, 2)
        if not torch.equal(*batch["video"][pair : pair + 2])  # each in a crop of its own
    ]
    assert len(same) > 20 and all(same) == (moments != "strided")


def test_segments_are_those_of_the_published_loader(make) -> None:
    datamodule = make(moments="segments", val_fraction=0.0, test_clips=2)
    for batch in datamodule.val_dataloader():
        for name, frames in zip(batch["name"], batch["frames"].numpy(), strict=True):
            assert frames.tolist() == (segment_clip(LENGTHS[name], 8) + 1).tolist()
    datamodule.setup("test")
    batch = next(iter(datamodule.test_dataloader()))
    np.testing.assert_array_equal(batch["frames"][:2].numpy() - 1, segment_views(LENGTHS[batch["name"][0]], 8, 2))
    for batch in datamodule.train_dataloader():
        for name, frames in zip(batch["name"], batch["frames"], strict=True):
            length = LENGTHS[name] // 8
            assert ((frames - 1) // length).tolist() == list(range(8))


def test_crops_lie_from_one_end_to_the_other_and_are_views_of_a_clip(make) -> None:
    views = [SideCrop((96, 96), "short_side", place, 3).views(*SIZE, torch.Generator()) for place in range(3)]
    assert [(steps[-1].top, steps[-1].left, steps[-1].height, steps[-1].width) for steps in views] == [
        (0, 0, 96, 96), (0, 32, 96, 96), (0, 64, 96, 96),
    ]  # fmt: skip
    tall = [SideCrop((64, 64), "none", place, 3).views(160, 64, torch.Generator())[-1].top for place in range(3)]
    assert tall == [0, 48, 96]
    assert views[1][-1] == center(*SIZE, (96, 96))
    datamodule = make("test", image_size=96, crop="center", test_clips=2, test_crops=3, batch_size=1, frame_step=1)
    data = datamodule.eval_data
    batch = next(iter(datamodule.test_dataloader()))
    assert batch["row"].tolist() == [0, 0, 0, 1, 1, 1] and batch["view"].tolist() == [0, 1, 2, 0, 1, 2]
    assert (batch["rows"] == 2).all() and (batch["views"] == 3).all() and data.num_clips == 6 * len(data)
    whole = make("test", test_clips=2, batch_size=1, frame_step=1)
    for row, clip in enumerate(next(iter(whole.test_dataloader()))["video"]):
        for view, left in enumerate((0, 32, 64)):
            assert torch.equal(batch["video"][3 * row + view], clip[..., left : left + 96])


def test_index_counts_clips_so_that_a_video_is_known_by_it(make) -> None:
    datamodule = make("test", image_size=96, crop="center", test_clips=2, test_crops=3, val_fraction=0.5, batch_size=3)
    videos: dict[int, set[str]] = {}
    for batch in datamodule.test_dataloader():
        for number, name in zip(batch["index"] // (batch["rows"] * batch["views"]), batch["name"], strict=True):
            videos.setdefault(int(number), set()).add(name)
    assert list(videos) == [0, 1, 2, 3] and all(len(each) == 1 for each in videos.values())


def test_the_recipe_names_the_views(make) -> None:
    recipe = make("test", test_clips=4, moments="dense").recipe()
    assert json.loads(json.dumps(recipe)) == recipe
    assert (recipe["eval_clips"], recipe["test_crops"], recipe["moments"]) == (4, 1, "dense")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": 5}, "datamodule.fold: expected 0 to 4 with datamodule.folds=5, found 5"),
        ({"test_crops": 0}, "datamodule.test_crops: expected at least 1, found 0"),
        ({"labels_per_class": 0}, "datamodule.labels_per_class: expected at least 1, found 0"),
        ({"moments": "dense", "step_s": 0.1}, "datamodule.step_s: expected null with datamodule.moments=dense"),
        ({"test_crops": 3}, "datamodule.test_crops: expected 1 with datamodule.crop=none, found 3"),
        ({"test_crops": 3, "crop": "center", "resize": "squash"}, "expected 1 with datamodule.resize=squash, found 3"),
        ({"num_classes": 1}, r"num_classes=1: expected as many classes at most, found 2 \(cats, dogs\)"),
    ],
)
def test_a_wrong_option_is_named(make, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_a_folder_that_has_no_classes_is_named(make, pets: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected <class>/<video> below .*cats, found a"):
        make(root=str(pets / "cats"))
    with pytest.raises(ValueError, match=r"found no videos"):
        make(root=str(tmp_path))
    with pytest.raises(PathNotFoundError, match=r"datamodule.lists: .*train.csv does not exist"):
        make(lists=str(tmp_path))


# ShanghaiTech Campus' layout


@pytest.mark.parametrize(
    ("chosen", "found"),
    [("0110111", (4, 3)), ("1101", (0, 2)), ("000", (0, 0)), ("0101", (1, 1)), ("11", (0, 2)), ("", (0, 0))],
)
def test_the_longest_run_is_found(chosen: str, found: tuple[int, int]) -> None:
    assert longest_run(np.array([each == "1" for each in chosen], dtype=bool)) == found


@pytest.fixture(scope="session")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four testing videos in ShanghaiTech's layout, frames from 0: normal, anomalous from 12 to 27, normal to 45."""
    root = tmp_path_factory.mktemp("campus")
    (root / "testing" / "test_frame_mask").mkdir(parents=True)
    (root / "testing" / "anomaly_boxes").mkdir()
    for scene in range(1, 5):
        name = f"0{scene}_0001"
        counters.write_frames(root / "testing" / "frames" / name, {number: f"{number:03}.jpg" for number in range(46)})
        mask = (np.arange(46) >= 12) & (np.arange(46) < 28)
        np.save(root / "testing" / "test_frame_mask" / f"{name}.npy", mask.astype(np.uint8))
        kind = {"video": name, "kind": "car" if scene % 2 else "running", "frames": {}}
        (root / "testing" / "anomaly_boxes" / f"{name}.json").write_text(json.dumps(kind))
    return root


def test_both_classes_are_parts_of_the_same_videos_which_stay_together(make, campus: Path) -> None:
    datamodule = make(root=str(campus), frame_step=2, eval_clips=2, repeat=3)
    assert datamodule.classes == ["normal", "anomalous"]
    ids = {"normal": 0, "anomalous": 1}
    parts = {part: {name.partition("/")[0] for name in names(datamodule, part)} for part in ("train", "val")}
    assert len(parts["val"]) == 1 and len(parts["train"]) == 3 and not parts["val"] & parts["train"]
    for loader in (datamodule.train_dataloader(), datamodule.val_dataloader()):
        for batch in loader:
            for name, label, frames in zip(batch["name"], batch["class_id"], batch["frames"], strict=True):
                inside = (frames >= 12) & (frames < 28)
                kind = name.partition("/")[2]
                assert label == ids[kind] and inside.all() == (kind == "anomalous") == inside.any()
                assert len(frames.unique()) == 8  # no clip repeats a frame


def test_kinds_and_places_are_classes_as_well_and_short_parts_are_left_out(make, campus: Path) -> None:
    kinds = make(root=str(campus), classes_by="kind", frame_step=2, val_fraction=0.0)
    assert kinds.classes == ["normal", "car", "running"]
    assert Counter(each.label for each in kinds.parts["train"]) == {"normal": 4, "car": 2, "running": 2}
    places = make(root=str(campus), classes_by="place", val_fraction=0.0)
    assert places.classes == ["01", "02", "03", "04"] and len(places.parts["train"]) == 4
    short = make(root=str(campus), frame_step=2, num_frames=9, val_fraction=0.0)  # 17 frames, and 16 are anomalous
    assert {each.label for each in short.parts["train"]} == {"normal"}


def test_what_the_layout_lacks_is_named(make, pets: Path, campus: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"test_frame_mask/\*.npy"):
        make(root=str(pets), classes_by="anomaly")
    (tmp_path / "testing" / "test_frame_mask").mkdir(parents=True)
    (tmp_path / "testing" / "frames").mkdir()
    for name in ("01_0001", "02_0001"):
        (tmp_path / "testing/test_frame_mask" / f"{name}.npy").symlink_to(
            campus / "testing/test_frame_mask" / f"{name}.npy"
        )
        (tmp_path / "testing/frames" / name).symlink_to(campus / "testing/frames" / name)
    with pytest.raises(FileNotFoundError, match="known for the generated sample alone"):
        make(root=str(tmp_path), classes_by="kind", frame_step=2)
    (tmp_path / "testing/frames/02_0001").unlink()
    with pytest.raises(DatasetNotFoundError, match="testing/frames/02_0001/"):
        make(root=str(tmp_path))
