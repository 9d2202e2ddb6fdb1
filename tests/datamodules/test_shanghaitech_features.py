"""Features of ShanghaiTech Campus as bags: pairs in training, single videos in evaluation, labels, splits, check."""

import logging
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.command_line.check import check_overrides
from core.errors import ConfigError
from datamodules.errors import PathNotFoundError
from datamodules.feature_folder import FeatureFolderError
from datamodules.frame_labels import write_frame_labels
from datamodules.segments import pooled
from datamodules.shanghaitech_features import ShanghaiTechFeatures
from tests.datamodules.dumps import RECIPE, write_dump

NORMAL = [f"{scene:02}_{number:03}" for scene in range(1, 5) for number in range(1, 5)]
ANOMALOUS = [f"{scene:02}_{number:04}" for scene in range(1, 5) for number in range(1, 4)]
NAMES = [*NORMAL, *ANOMALOUS]
TESTED = sorted(name for name in NAMES if name.endswith(("_002", "_004", "_0003")))
CHANNELS = 3


def num_frames(name: str) -> int:
    return 40 + 7 * NAMES.index(name)


def num_rows(name: str) -> int:
    return -(-num_frames(name) // 16)


def features(name: str) -> np.ndarray:
    """Rows that tell their video and their place in it."""
    rows = np.zeros((num_rows(name), CHANNELS), np.float32)
    rows[:, 0], rows[:, 1] = NAMES.index(name), np.arange(len(rows))
    return rows


def mask(name: str) -> np.ndarray:
    return (np.arange(num_frames(name)) % 11 < 4).astype(np.uint8)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in the layout of the sample, without pixels, and a dump of its features."""
    root = tmp_path_factory.mktemp("campus")
    for part in ("training/videos", "testing/test_frame_mask"):
        (root / part).mkdir(parents=True)
    (root / "sample.json").write_text("{}")
    for name in NORMAL:
        (root / "training" / "videos" / f"{name}.avi").touch()
    for name in ANOMALOUS:
        (root / "testing" / "frames" / name).mkdir(parents=True)
        np.save(root / "testing" / "test_frame_mask" / f"{name}.npy", mask(name))
    for name in NAMES:
        write_dump(root / "features", name, features(name), num_frames(name))
    return root


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(made, tmp_path / "campus"))


def make(root: Path, stage: str | None = None, place: tuple[int, int] = (0, 1), **options: Any) -> ShanghaiTechFeatures:
    plain = {"features": str(root / "features"), "root": str(root), "batch_size": 2, "repeat": 2}
    datamodule = ShanghaiTechFeatures(**plain | options)
    datamodule.place = lambda: place
    datamodule.prepare_data()
    datamodule.setup(stage)
    return datamodule


def epoch_of(datamodule: ShanghaiTechFeatures, epoch: int = 0) -> list[dict]:
    loader = datamodule.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return list(loader)


# Training.


def test_a_training_batch_holds_as_many_anomalous_as_normal_videos(made: Path) -> None:
    batches = epoch_of(make(made, "fit"))
    assert batches
    for batch in batches:
        assert sorted(batch) == ["features", "index", "label", "mask", "name"]
        assert batch["features"].shape == (4, 1, 32, CHANNELS) and batch["features"].dtype == torch.float32
        assert batch["mask"].shape == (4, 32) and batch["mask"].all()
        assert batch["label"].tolist() == [1, 0, 1, 0]
        assert [int(name in ANOMALOUS) for name in batch["name"]] == batch["label"].tolist()


def test_training_rows_are_the_segments_of_the_file(made: Path) -> None:
    for batch in epoch_of(make(made, "fit", segments=5)):
        for name, found in zip(batch["name"], batch["features"], strict=True):
            assert np.array_equal(found.numpy(), pooled(features(name)[None], 5))


def test_in_an_epoch_every_video_has_its_turn(made: Path) -> None:
    datamodule = make(made, "fit", batch_size=1, repeat=3, val_fraction=0)
    for epoch in range(2):
        times = Counter(name for batch in epoch_of(datamodule, epoch) for name in batch["name"])
        train = set(NAMES) - set(TESTED)
        assert set(times) == train
        assert {times[name] for name in train & set(NORMAL)} == {3}  # 8 videos of each kind
        assert {times[name] for name in train & set(ANOMALOUS)} == {3}


def test_the_rarer_kind_is_repeated_evenly(copied: Path, tmp_path: Path) -> None:
    lists = tmp_path / "list.txt"
    lists.write_text("\n".join(["01_001", "01_003", "02_001", "02_003", "03_001", "01_0001", "02_0001"]))
    datamodule = make(copied, "fit", train_list=str(lists), batch_size=1, repeat=1, val_fraction=0)
    times = Counter(name for batch in epoch_of(datamodule) for name in batch["name"])
    assert len(datamodule.train_data) == 5
    assert sorted(times.values()) == [1, 1, 1, 1, 1, 2, 3]


def test_pairs_are_other_ones_in_every_epoch(made: Path) -> None:
    datamodule = make(made, "fit", batch_size=1)
    epochs = [{tuple(batch["name"]) for batch in epoch_of(datamodule, epoch)} for epoch in range(3)]
    assert len({frozenset(pairs) for pairs in epochs}) == 3


def test_pairs_are_other_ones_at_every_visit_of_a_video(made: Path) -> None:
    pairs = [tuple(batch["name"]) for batch in epoch_of(make(made, "fit", batch_size=1, repeat=4))]
    assert len(pairs) == 24 and len(set(pairs)) > 12


@pytest.mark.parametrize("options", [{}, {"segments": None}, {"segments": None, "max_rows": 3}])
@pytest.mark.parametrize("world_size", [2, 3])
def test_a_sample_depends_on_seed_epoch_and_index_alone(made: Path, options: dict, world_size: int) -> None:
    def samples(place: tuple[int, int], **more: Any) -> dict[int, Any]:
        datamodule = make(made, "fit", place, batch_size=1, val_fraction=0, **options, **more)
        return {
            int(index): (name, rows[:, present].tolist())
            for batch in epoch_of(datamodule, 3)
            for index, name, rows, present in zip(
                batch["index"], batch["name"], batch["features"], batch["mask"], strict=True
            )
        }

    alone = samples((0, 1))
    torch.manual_seed(7)
    shared = [samples((rank, world_size)) for rank in range(world_size)]
    together = {index: sample for one in shared for index, sample in one.items()}
    assert sum(map(len, shared)) == len(together) and len(alone) - len(together) < 2 * world_size
    assert together.items() <= alone.items()
    assert samples((0, 1), seed=1) != alone


@pytest.mark.slow
def test_workers_change_nothing(made: Path) -> None:
    def rows(workers: int) -> list:
        batches = epoch_of(make(made, "fit", segments=None, max_rows=3, num_workers=workers), 1)
        return [(batch["name"], batch["features"].tolist()) for batch in batches]

    assert rows(2) == rows(0)


def test_a_run_that_is_cut_goes_on_with_the_rest_of_the_epoch(made: Path) -> None:
    whole = [batch["name"] for batch in epoch_of(make(made, "fit"))]
    first = make(made, "fit").train_dataloader()
    iterator = iter(first)
    begun = [next(iterator)["name"] for _ in range(3)]
    second = make(made, "fit").train_dataloader()
    second.load_state_dict(first.state_dict())
    assert begun + [batch["name"] for batch in second] == whole


def test_without_segments_all_rows_are_there_and_the_mask_says_which(made: Path) -> None:
    for batch in epoch_of(make(made, "fit", segments=None)):
        lengths = [num_rows(name) for name in batch["name"]]
        assert batch["mask"].sum(1).tolist() == lengths
        assert batch["features"].shape == (4, 1, max(lengths), CHANNELS)
        for name, length, found in zip(batch["name"], lengths, batch["features"], strict=True):
            assert np.array_equal(found[0, :length], features(name))
            assert not found[:, length:].any()


def test_at_most_max_rows_follow_one_another_from_a_start_that_is_drawn(made: Path) -> None:
    datamodule = make(made, "fit", segments=None, max_rows=4, repeat=10)
    starts = set()
    for epoch in range(5):
        for batch in epoch_of(datamodule, epoch):
            assert batch["mask"].sum(1).tolist() == [min(num_rows(name), 4) for name in batch["name"]]
            for place, (name, present) in enumerate(zip(batch["name"], batch["mask"], strict=True)):
                places = batch["features"][place, 0, present, 1]
                assert (places.diff() == 1).all()
                starts.add((name, int(places[0])))
    longest = max((name for name in NAMES if name not in TESTED), key=num_rows)
    assert {start for name, start in starts if name == longest} == set(range(num_rows(longest) - 3))


def test_a_process_without_a_whole_batch_is_refused(made: Path) -> None:
    with pytest.raises(ValueError, match=r"training: 12 pairs .* batch of 50; lower datamodule.batch_size"):
        make(made, "fit", batch_size=50).train_dataloader()


# Evaluation.


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_test_video_is_visited_once_with_all_rows_and_labels(made: Path, world_size: int) -> None:
    seen = {}
    for rank in range(world_size):
        datamodule = make(made, "test", (rank, world_size))
        assert datamodule.test_data.names == [video.name for video in datamodule.parts["test"]]
        for batch in datamodule.test_dataloader():
            [name], index = batch["name"], int(batch["index"])
            assert name not in seen and datamodule.test_data.names[index] == name
            seen[name] = index
            frames, rows = num_frames(name), num_rows(name)
            assert np.array_equal(batch["features"][0, 0], features(name))
            assert batch["mask"].tolist() == [[True] * rows]
            assert batch["num_frames"].tolist() == [frames]
            assert batch["scene"].tolist() == [int(name[:2])]
            assert batch["label"].tolist() == [int(name in ANOMALOUS)]
            expected = mask(name) if name in ANOMALOUS else np.zeros(frames)
            assert batch["frame_label"].tolist() == [expected.tolist()]
            spans = [[16 * row, min(16 * row + 15, frames - 1)] for row in range(rows)]
            assert batch["spans"].tolist() == [spans]
    assert sorted(seen) == TESTED and sorted(seen.values()) == list(range(len(TESTED)))


def test_prediction_visits_the_test_split(made: Path) -> None:
    names = [batch["name"][0] for batch in make(made, "predict").predict_dataloader()]
    assert sorted(names) == TESTED


def test_validation_looks_at_training_videos_that_are_not_trained_on(made: Path) -> None:
    datamodule = make(made, "fit")
    trained = {name for epoch in range(3) for batch in epoch_of(datamodule, epoch) for name in batch["name"]}
    held = [batch["name"][0] for batch in datamodule.val_dataloader()]
    assert sorted([*trained, *held, *TESTED]) == sorted(NAMES)
    assert {name in ANOMALOUS for name in held} == {True, False}
    for batch in datamodule.val_dataloader():
        if batch["name"][0] in ANOMALOUS:
            assert batch["frame_label"].tolist() == [mask(batch["name"][0]).tolist()]
    assert "model selected on 4 other training videos" in datamodule.protocol


def test_nothing_is_said_of_the_frames_of_a_held_out_video_without_labels(copied: Path) -> None:
    shutil.rmtree(copied / "testing" / "test_frame_mask")
    datamodule = make(copied, "fit")
    counts = {batch["name"][0]: int(batch["num_frames"]) for batch in datamodule.val_dataloader()}
    assert counts == {name: 0 if name in ANOMALOUS else num_frames(name) for name in datamodule.val_data.names}


def test_selection_on_the_test_split_says_so(made: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        datamodule = make(made, "fit", select_on_test=True)
    assert "MODEL SELECTED ON THE TEST SPLIT (datamodule.select_on_test=true)" in datamodule.protocol
    assert datamodule.protocol in caplog.text
    assert sorted(datamodule.val_data.names) == TESTED
    trained = {name for batch in epoch_of(datamodule) for name in batch["name"]}
    assert trained == set(NAMES) - set(TESTED)


def test_the_protocol_names_data_split_and_selection(made: Path, tmp_path: Path, caplog) -> None:
    assert make(made, "fit").protocol == (
        "generated sample, split weak: trained on 12 videos, model selected on 4 other training videos, tested on 12"
    )
    with caplog.at_level(logging.WARNING):
        assert "model selected on the training videos themselves" in make(made, "fit", val_fraction=0).protocol
    assert "the training videos themselves" in caplog.text
    real = ShanghaiTechFeatures(str(tmp_path), root=None)
    assert real.protocol.startswith("ShanghaiTech Campus, split weak (Zhong et al., CVPR 2019): trained on 190 videos")
    assert real.protocol.endswith("tested on 199")


def test_the_one_class_split_trains_on_normal_videos_and_tests_on_the_others(made: Path) -> None:
    datamodule = make(made, None, split="one_class")
    assert {label for batch in epoch_of(datamodule) for label in batch["label"].tolist()} == {0}
    assert sorted(datamodule.test_data.names) == sorted(ANOMALOUS)


# Labels.


@pytest.mark.parametrize("change", [-1, 0, 1])
def test_labels_may_differ_by_the_tolerance_and_decide_on_the_number_of_frames(copied: Path, change: int) -> None:
    frames = num_frames("01_0003") + change
    np.save(copied / "testing/test_frame_mask/01_0003.npy", np.ones(frames, np.uint8))
    datamodule = make(copied, "test")
    [batch] = [batch for batch in datamodule.test_dataloader() if batch["name"] == ["01_0003"]]
    assert batch["num_frames"].tolist() == [frames] and batch["frame_label"].shape == (1, frames)


@pytest.mark.parametrize(("tolerance", "change"), [(1, 2), (1, -2), (0, 1)])
def test_labels_of_another_length_are_refused_with_both_numbers(copied: Path, tolerance: int, change: int) -> None:
    for name in ("01_0003", "02_0003"):
        np.save(copied / f"testing/test_frame_mask/{name}.npy", np.ones(num_frames(name) + change, np.uint8))
    with pytest.raises(FeatureFolderError) as caught:
        make(copied, "test", frame_tolerance=tolerance)
    for name in ("01_0003", "02_0003"):
        lengths = f"{num_frames(name) + change} labels, and the features are of {num_frames(name)} frames"
        assert f"{name}.npy: {name} has {lengths} (datamodule.frame_tolerance={tolerance})" in str(caught.value)


def test_every_anomalous_video_without_labels_is_named_in_test(copied: Path) -> None:
    for name in ("01_0003", "02_0003"):
        (copied / f"testing/test_frame_mask/{name}.npy").unlink()
    with pytest.raises(FeatureFolderError, match=r"2 of 12 videos") as caught:
        make(copied, "test")
    for name in ("01_0003", "02_0003"):
        assert f"{name} has an anomaly, and there are no labels of its frames" in str(caught.value)
    make(copied, "fit")


def test_labels_of_normal_videos_need_not_fit_but_must_be_normal(copied: Path, tmp_path: Path) -> None:
    labels = {name: mask(name) for name in ANOMALOUS} | {name: np.zeros(16 * num_rows(name)) for name in NORMAL}
    write_frame_labels(tmp_path / "labels.npz", labels)
    datamodule = make(copied, "test", labels=str(tmp_path / "labels.npz"))
    for batch in datamodule.test_dataloader():
        assert batch["num_frames"].tolist() == [num_frames(batch["name"][0])]
    labels["01_002"][:5] = 1
    write_frame_labels(tmp_path / "labels.npz", labels)
    with pytest.raises(
        FeatureFolderError, match=r"01_002 counts as normal, and 5 of its frames are labelled anomalous"
    ):
        make(copied, "test", labels=str(tmp_path / "labels.npz"))


def test_labels_may_be_named_relative_to_the_root(copied: Path) -> None:
    (copied / "testing" / "test_frame_mask").rename(copied / "masks")
    assert make(copied, "test", labels="masks").test_data.names
    with pytest.raises(PathNotFoundError, match="mask"):
        make(copied, "test", labels="mask")


def test_one_vector_of_all_test_videos_has_16_labels_for_each_row(made: Path, tmp_path: Path) -> None:
    tested = [*(name for name in TESTED if name in ANOMALOUS), *(name for name in TESTED if name in NORMAL)]
    (tmp_path / "test.txt").write_text("\n".join(f"i3d/{name}_i3d.npy" for name in tested))
    labels = {name: np.arange(16 * num_rows(name)) % 5 < 2 * (name in ANOMALOUS) for name in tested}
    np.save(tmp_path / "gt-sh.npy", np.concatenate(list(labels.values())).astype(np.float64))
    for name in NAMES:
        folder = tmp_path / "features"
        folder.mkdir(exist_ok=True)
        np.save(folder / f"{name}_i3d.npy", np.repeat(features(name)[:, None], 10, 1))
    options = {"labels": str(tmp_path / "gt-sh.npy"), "test_list": str(tmp_path / "test.txt"), "layout": "rows_first"}
    datamodule = make(made, "test", features=str(tmp_path / "features"), **options)
    assert datamodule.test_data.names == tested
    for batch in datamodule.test_dataloader():
        assert batch["features"].shape[1] == 10
        assert batch["frame_label"].tolist() == [labels[batch["name"][0]].astype(int).tolist()]
    make(made, "fit", features=str(tmp_path / "features"), **options)


def test_a_normal_video_of_foreign_features_is_as_long_as_its_list_says_or_its_rows(
    copied: Path, tmp_path: Path
) -> None:
    for path in (copied / "features").glob("*.json"):
        path.unlink()
    short = 16 * (num_rows("01_002") - 1) + 3
    (tmp_path / "test.txt").write_text(f"01_002,0,{short}\n01_004,0,-1\n")
    datamodule = make(copied, "test", layout="rows_first", test_list=str(tmp_path / "test.txt"))
    frames = {batch["name"][0]: int(batch["num_frames"]) for batch in datamodule.test_dataloader()}
    assert frames == {"01_002": short, "01_004": 16 * num_rows("01_004")}
    (tmp_path / "test.txt").write_text("01_002,0,9\n")
    with pytest.raises(FeatureFolderError, match=rf"01_002: {num_rows('01_002')} rows do not fit 9 frames"):
        make(copied, "test", layout="rows_first", test_list=str(tmp_path / "test.txt"))


# Folders and options.


def test_only_the_features_that_are_needed_must_be_there(copied: Path, caplog) -> None:
    (copied / "features" / "01_0003.npy").unlink()
    with caplog.at_level(logging.WARNING):
        make(copied, "fit")
    assert "features of 1 videos that are not needed yet are missing or cannot be used: 01_0003" in caplog.text
    with pytest.raises(FeatureFolderError, match=r"1 of 12 videos cannot be used:\n  there is no file of 01_0003"):
        make(copied, "test")


def test_the_features_of_training_and_test_have_one_recipe(copied: Path) -> None:
    recipe = RECIPE | {"model": {"class": "V", "pool": "tokens"}}
    write_dump(copied / "features", "01_0003", features("01_0003"), num_frames("01_0003"), recipe=recipe)
    with pytest.raises(FeatureFolderError, match=r"01_0003.npy: found recipe.model.pool='tokens', expected 'mean'"):
        make(copied, "test")


@pytest.mark.parametrize("key", ["features", "root", "train_list", "test_list"])
def test_what_is_not_there_is_named_by_its_setting(made: Path, key: str) -> None:
    with pytest.raises(PathNotFoundError, match=f"datamodule.{key}: .*nowhere does not exist"):
        ShanghaiTechFeatures(**{"features": str(made), "root": str(made), key: str(made / "nowhere")}).setup("fit")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"split": "week"}, "datamodule.split: expected one of weak, one_class, found 'week'"),
        ({"layout": "guess"}, "datamodule.layout: expected one of sidecar, rows_first, .*found 'guess'"),
        ({"val_fraction": 1.0}, "datamodule.val_fraction: expected a share in"),
        ({"segments": 0}, "datamodule.segments: expected at least 1, found 0"),
    ],
)
def test_a_wrong_option_is_refused(option: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ShanghaiTechFeatures("features", **option)


def test_the_command_line_asks_for_the_features() -> None:
    with pytest.raises(ConfigError, match=r"datamodule.features: missing; give it as datamodule.features=VALUE"):
        check_overrides(["task=focusmae", "datamodule=shanghaitech_features"])


# mode=check


def defects(root: Path, **options: Any) -> list[tuple[str, str, str]]:
    datamodule = ShanghaiTechFeatures(**{"features": str(root / "features"), "root": str(root)} | options)
    found = [defect for step in datamodule.check() for defect in step.defects]
    assert {defect.kind for defect in found} <= set(datamodule.kinds_of_defects)
    return [(defect.kind, defect.split, Path(defect.path).name) for defect in found]


def test_check_counts_the_videos_and_finds_nothing_wrong_with_whole_data(made: Path) -> None:
    steps = list(ShanghaiTechFeatures(str(made / "features"), root=str(made)).check())
    assert sum(step.videos for step in steps) == len(NAMES)
    assert sum(step.frames for step in steps) == sum(map(num_frames, NAMES))
    assert defects(made) == []


def test_check_names_everything_that_is_wrong(copied: Path) -> None:
    folder = copied / "features"
    (folder / "01_002.npy").unlink()
    content = bytearray((folder / "01_004.npy").read_bytes())
    content[-1] ^= 1
    (folder / "01_004.npy").write_bytes(content)
    (folder / "02_002.npy").write_bytes(b"")
    write_dump(folder, "09_001", features("01_001"), num_frames("01_001"))
    write_dump(folder, "02_004", features("02_004"), num_frames("02_004"), recipe={"model": "other"})
    np.save(copied / "testing/test_frame_mask/01_0003.npy", np.ones(7, np.uint8))
    (copied / "testing/test_frame_mask/02_0003.npy").unlink()
    assert sorted(defects(copied)) == [
        ("labels of wrong length", "test", "01_0003.npy"),
        ("missing annotation", "test", "02_0003.npy"),
        ("missing features", "test", "01_002.npy"),
        ("orphan features", "all", "09_001.npy"),
        ("other recipe", "test", "02_004.npy"),
        ("unreadable", "test", "01_004.npy"),
        ("unreadable", "test", "02_002.npy"),
    ]


def test_check_names_a_video_whose_labels_contradict_it(copied: Path, tmp_path: Path) -> None:
    labels = {name: mask(name) for name in ANOMALOUS} | {"01_002": np.ones(num_frames("01_002"))}
    write_frame_labels(tmp_path / "labels.json", labels)
    assert defects(copied, labels=str(tmp_path / "labels.json")) == [("broken annotation", "test", "01_002.npy")]


@pytest.mark.slow
def test_the_sample_has_the_weak_split_and_says_that_it_is_a_sample(sample_cache: Path, caplog) -> None:
    datamodule = ShanghaiTechFeatures(str(sample_cache), cache=str(sample_cache))
    with caplog.at_level(logging.WARNING):
        datamodule.prepare_data()
    assert "datamodule.root=sample: splits and labels of the small GENERATED sample" in caplog.text
    assert {part: len(videos) for part, videos in datamodule.parts.items()} == {
        "training": 48,
        "validation": 12,
        "test": 42,
    }
