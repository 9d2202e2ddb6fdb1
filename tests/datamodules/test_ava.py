"""AVA in its official files: what is in a batch, which frames a clip has, where the boxes are, what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.ava import AVA
from datamodules.errors import DataFileError, DatasetNotFoundError, PathNotFoundError, VideoReadError
from tests.datamodules import counters
from tests.datamodules.ava_set import (
    BOXES,
    CLASSES,
    FPS,
    KEY_SECONDS,
    SEEN,
    TRAINING,
    VALIDATION,
    change,
    write_ava,
    write_label_map,
)

EXCLUDED = 905
SIDE = counters.HEIGHT


@pytest.fixture(scope="module")
def ava_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ava(tmp_path_factory.mktemp("ava"))


@pytest.fixture
def copy(ava_root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ava_root, tmp_path / "copy"))


def make(root: Path, cache: Path, stage: str = "fit", **options: object) -> AVA:
    plain = {"short_side": SIDE, "num_frames": 8, "num_workers": 0, "flip": 0.0, "box_jitter": 0.0}
    data = AVA(root=str(root), cache=str(cache / "cache"), **plain | options)
    data.prepare_data()
    data.setup(stage)
    return data


def box(text: str) -> list[float]:
    return [float(side) for side in text.split(",")]


def test_a_batch_holds_what_the_contract_says(ava_root: Path, tmp_path: Path) -> None:
    data = make(ava_root, tmp_path)
    training, evaluation = next(iter(data.train_dataloader())), next(iter(data.val_dataloader()))
    assert "truth" not in training
    types = {
        **dict.fromkeys(("size", "frames", "index", "view", "views", "clip", "actor"), torch.int64),
        **dict.fromkeys(("second", "seconds", "boxes"), torch.float64),
        **dict.fromkeys(("rois", "scores", "targets"), torch.float32),
        "video": torch.uint8,
    }
    assert {key: value.dtype for key, value in training.items() if key != "name"} == types
    num_actors = len(training["clip"])
    assert training["video"].shape == (2, 3, 8, SIDE, counters.WIDTH)
    assert training["size"].tolist() == [[SIDE, counters.WIDTH]] * 2
    assert training["rois"].shape == training["boxes"].shape == (num_actors, 4)
    assert training["targets"].shape == (num_actors, len(CLASSES))
    boxes, actions = evaluation["truth"][0]
    assert boxes.tolist() == [box(text) for text in BOXES] and boxes.dtype == torch.float64
    assert actions.tolist() == [[0, 1, 0, 0], [0, 0, 1, 1]]
    moved = data.on_after_batch_transfer(evaluation, 0)
    assert set(moved) == set(AVA.provides)
    assert moved["video"].dtype == moved["mean"].dtype == torch.float32


def test_training_sees_annotated_boxes_and_those_of_the_detector_from_a_score_on(
    ava_root: Path, tmp_path: Path
) -> None:
    data = make(ava_root, tmp_path, train_min_score=0.9)
    sample = data.train_data[0]["actors"][0]
    assert sample["boxes"].tolist() == [*map(box, BOXES), box(SEEN[0])]
    assert sample["targets"].tolist() == [[0, 1, 0, 0], [0, 0, 1, 1], [0, 1, 0, 0]]
    assert sample["scores"].tolist() == pytest.approx([1, 1, 0.95])
    lower = make(ava_root, tmp_path, train_min_score=0.85).train_data[0]["actors"][0]
    assert lower["boxes"].tolist() == [*map(box, BOXES), *map(box, SEEN)]
    assert lower["targets"][3].sum() == 0  # nobody
    alone = make(ava_root, tmp_path, train_boxes="annotated").train_data[0]["actors"][0]
    assert alone["boxes"].tolist() == [*map(box, BOXES)]


def test_evaluation_sees_the_boxes_of_the_detector_and_keeps_their_places_whatever_the_score(
    ava_root: Path, tmp_path: Path
) -> None:
    data = make(ava_root, tmp_path, "validate", min_score=0.9)
    sample = data.val_data[0]
    assert sample["actors"][0]["boxes"].tolist() == [box(SEEN[0])] and not sample["actors"][0]["targets"].any()
    both = make(ava_root, tmp_path, "validate", min_score=0.5).val_data[0]["actors"][0]
    assert both["actor"][0] == sample["actors"][0]["actor"][0]
    annotated = make(ava_root, tmp_path, "validate", eval_boxes="annotated").val_data[0]["actors"][0]
    assert annotated["boxes"].tolist() == [*map(box, BOXES)] and annotated["targets"].sum() == 3


def test_a_key_frame_that_the_detector_missed_is_evaluated_without_actors(copy: Path, tmp_path: Path) -> None:
    file = copy / "annotations/ava_val_predicted_boxes.csv"
    file.write_text("".join(line for line in file.open() if ",0903," not in line))
    batches = list(make(copy, tmp_path, "test", batch_size=1).test_dataloader())
    counts = {batch["second"].item(): len(batch["clip"]) for batch in batches}
    assert counts == {second: 2 * (second != 903) for second in KEY_SECONDS if second != EXCLUDED}
    assert all(len(batch["truth"][0][0]) == 2 for batch in batches)


def test_excluded_seconds_are_left_out_unless_asked_for(ava_root: Path, tmp_path: Path) -> None:
    def seconds(**options: object) -> list[float]:
        index = make(ava_root, tmp_path, "test", **options).eval_data.annotations
        return index.second.tolist()

    assert seconds() == [second for second in KEY_SECONDS if second != EXCLUDED]
    assert seconds(excluded=False) == list(KEY_SECONDS)


@pytest.mark.parametrize("fps", [10, FPS, 30])
def test_clips_are_read_by_time_at_any_frame_rate(fps: int, tmp_path: Path) -> None:
    root = write_ava(tmp_path / "ava", fps)
    data = make(root, tmp_path, "test", num_frames=8, frame_step=2)
    place = (*TRAINING, *VALIDATION).index(VALIDATION[0])
    for sample in (data.eval_data[n] for n in range(len(data.eval_data))):
        moments = sample["second"].item() - 900 + (np.arange(8) - 4) * 2 / 30
        shown = np.floor(moments * fps + 1e-6).astype(int).clip(0, 12 * fps - 1)
        assert sample["frames"][0].tolist() == shown.tolist()
        numbers = counters.numbers_of(sample["video"][0].permute(1, 2, 3, 0).numpy())
        assert numbers == ((shown + place * 12 * fps) % 2**counters.BITS).tolist()


@pytest.mark.parametrize("template", ["{video}_%06d", "image_%06d", "img_%05d"])
def test_frame_folders_of_every_convention_are_read(template: str, copy: Path, tmp_path: Path) -> None:
    shutil.rmtree(copy / "videos")
    for video in (*TRAINING, *VALIDATION):
        names = {n: f"{template.replace('{video}', video) % (n + 1)}.jpg" for n in range(12 * 30)}
        counters.write_frames(copy / "frames" / video, names)
    data = make(copy, tmp_path, "test", frame_step=2)
    sample = data.eval_data[1]
    centre = (903 - 900) * 30
    assert sample["frames"][0].tolist() == list(range(centre + 1 - 8, centre + 1 + 8, 2))
    assert counters.numbers_of(sample["video"][0].permute(1, 2, 3, 0).numpy())[4] == centre
    with pytest.raises(VideoReadError, match=r"expected frame_001.jpg, found .*; set datamodule.frame_template"):
        make(copy, tmp_path, "test", frame_template="frame_%03d")


def test_a_movie_that_reaches_the_last_second_begins_at_zero(ava_root: Path, tmp_path: Path) -> None:
    short = {"first_s": 2, "last_s": 10, "excluded": False, "proposals": None, "max_bad_share": 1.0}
    data = AVA(root=str(ava_root), cache=str(tmp_path), **short)
    data.prepare_data()
    assert {movie.begins_s for movie in data.movies().values()} == {0.0}
    cut = AVA(root=str(ava_root), cache=str(tmp_path))
    assert {movie.begins_s for movie in cut.movies().values()} == {900.0}


def test_views_show_the_same_actors_where_they_then_are(ava_root: Path, tmp_path: Path) -> None:
    views = {"eval_flip": True, "eval_short_sides": (SIDE, SIDE // 2), "eval_shifts_s": (0.0, 0.2)}
    data = make(ava_root, tmp_path, "test", **views, min_score=0.5, batch_size=1)
    batch = next(iter(data.test_dataloader()))
    assert batch["view"].tolist() == list(range(8)) and set(batch["views"].tolist()) == {8}
    assert set(batch["index"].tolist()) == {0} and batch["actor"].tolist() == batch["actor"][:2].tolist() * 8
    assert batch["size"][:, 0].tolist() == [SIDE, SIDE, SIDE // 2, SIDE // 2] * 2
    plain, mirrored = batch["rois"][:2], batch["rois"][2:4]
    torch.testing.assert_close(mirrored, torch.stack((1 - plain[:, 2], plain[:, 1], 1 - plain[:, 0], plain[:, 3]), 1))
    assert torch.equal(batch["video"][0].flip(-1), batch["video"][1])
    assert (batch["frames"][4] - batch["frames"][0]).tolist() == [5] * 8  # 0.2 s at 25 Hz
    padded = data.on_after_batch_transfer(batch, 0)["video"][2]
    assert not padded[..., SIDE // 2 :, :].any() and not padded[..., counters.WIDTH // 2 :].any()
    assert padded[..., : SIDE // 2, : counters.WIDTH // 2].any()


def test_boxes_follow_the_crop(ava_root: Path, tmp_path: Path) -> None:
    """A square is cut out at a random place; a box around a block of the counter stays around it."""
    data = make(ava_root, tmp_path, crop=64, flip=0.5, train_boxes="annotated")
    cut_off = 0
    for n in range(len(data.train_data)):
        sample = data.train_data[1, n]
        assert sample["video"][0].shape[-2:] == (64, 64)
        actors = sample["actors"][0]
        widths = (actors["rois"][:, 2] - actors["rois"][:, 0]) * 64
        assert (actors["rois"] >= 0).all() and (actors["rois"] <= 1).all() and (widths > 0).all()
        cut_off += (widths < (actors["boxes"][:, 2] - actors["boxes"][:, 0]) * counters.WIDTH - 1e-3).sum()
    assert cut_off


def test_jitter_moves_what_is_looked_at_and_nothing_that_is_written_down(ava_root: Path, tmp_path: Path) -> None:
    data = make(ava_root, tmp_path, box_jitter=0.075, train_boxes="annotated")
    first, again, later = (data.train_data[epoch, 0]["actors"][0] for epoch in (0, 0, 1))
    assert first["boxes"].tolist() == [*map(box, BOXES)]
    assert np.array_equal(first["rois"], again["rois"]) and not np.array_equal(first["rois"], later["rois"])
    sides = np.tile(first["boxes"][:, 2:] - first["boxes"][:, :2], 2)
    assert (np.abs(first["rois"] - first["boxes"]) <= 0.075 * sides + 1e-6).all()
    three = make(ava_root, tmp_path, box_jitter=0.075, box_copies=3, train_boxes="annotated").train_data[0]["actors"][0]
    assert three["actor"].tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(three["rois"][[0, 3]], first["boxes"], atol=1e-6)


def test_every_key_frame_is_validated_once_in_order_or_those_of_some_seconds(ava_root: Path, tmp_path: Path) -> None:
    def seconds(**options: object) -> list[float]:
        data = make(ava_root, tmp_path, batch_size=1, **options)
        batches = list(data.val_dataloader())
        assert (
            [batch["index"].item() for batch in batches] == list(range(len(batches))) == list(range(len(data.val_data)))
        )
        return [batch["second"].item() for batch in batches]

    assert seconds() == [second for second in KEY_SECONDS if second != EXCLUDED]
    assert seconds(val_every_s=4) == [904, 908]


def test_the_number_of_classes_of_the_model_must_be_that_of_the_label_map(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"datamodule.num_classes=60: the data have 4 classes"):
        make(copy, tmp_path, num_classes=60)
    write_label_map(copy / "annotations/few.pbtxt", {12: CLASSES[12], 17: CLASSES[17]})
    data = make(copy, tmp_path, num_classes=2, label_map="few.pbtxt", train_boxes="annotated")
    assert [tuple(one) for one in data.classes] == [(12, "stand", "pose"), (17, "carry/hold (an object)", "object")]
    assert data.train_data[0]["actors"][0]["targets"].tolist() == [[1, 0], [0, 1]]  # 80 is AVA's, and not asked for


def test_an_unreadable_training_video_is_replaced_and_an_unreadable_validation_video_refused(
    copy: Path, tmp_path: Path
) -> None:
    (copy / f"videos/{TRAINING[1]}.mp4").write_bytes(b"no video")
    data = make(copy, tmp_path, max_bad_share=0.6, batch_size=1)
    names = {batch["name"][0] for batch in data.train_dataloader()}
    assert names == {TRAINING[0]} and len(data.train_data) == 2 * len(KEY_SECONDS) - 1
    with pytest.raises(VideoReadError, match=TRAINING[1]):
        make(copy, tmp_path, on_error="error")
    (copy / f"videos/{VALIDATION[0]}.mp4").write_bytes(b"no video")
    with pytest.raises(VideoReadError, match=VALIDATION[0]):
        make(copy, tmp_path, "test")


def test_what_is_missing_is_named(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match=r"datamodule.root: .*nowhere does not exist"):
        make(tmp_path / "nowhere", tmp_path)
    (copy / "annotations/ava_train_v2.2.csv").rename(copy / "annotations/ava_train_v2.1.csv")
    with pytest.raises(DatasetNotFoundError, match=r"lacks annotations/ava_train_v2.2.csv"):
        make(copy, tmp_path)
    shutil.rmtree(copy / "videos")
    with pytest.raises(DatasetNotFoundError, match=r"frames/<video>/ or videos/<video>.mkv"):
        make(copy, tmp_path)


def test_a_broken_label_map_is_refused_with_its_line(copy: Path, tmp_path: Path) -> None:
    file = copy / "annotations/ava_action_list_v2.2_for_activitynet_2019.pbtxt"
    file.write_text(file.read_text() + 'item {\n  name: "sit"\n  id: 12\n}\n')
    with pytest.raises(DataFileError, match=r"line 17: id 12 is 'sit', and 'stand' in line 5"):
        make(copy, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": 1000}, "datamodule.crop: expected at most the short side"),
        ({"box_jitter": 0.7}, "datamodule.box_jitter"),
        ({"box_copies": 2}, "datamodule.box_copies=2: copies are equal"),
        ({"train_short_side": (320, 256)}, "datamodule.train_short_side"),
        ({"version": "3.0"}, "datamodule.version: expected one of 2.1, 2.2, found '3.0'"),
        ({"eval_boxes": "some"}, "datamodule.eval_boxes: expected one of auto, proposed, annotated, found 'some'"),
        ({"last_s": 3}, "datamodule.last_s"),
        ({"min_score": 1.5}, "datamodule.min_score"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str, ava_root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        make(ava_root, tmp_path, **options)


def test_too_many_rows_that_cannot_be_used_are_an_error_and_one_is_not(copy: Path, tmp_path: Path) -> None:
    file = copy / "annotations/ava_train_v2.2.csv"
    change(file, 4, f"{TRAINING[0]},0903,0.5,0.2,0.3,0.8,12,0")
    make(copy, tmp_path)
    with pytest.raises(DataFileError, match=r"1 rows cannot be used.*\n.*ava_train_v2.2.csv, line 4: 0.5,0.2,0.3,0.8"):
        make(copy, tmp_path, on_error="error")
    change(file, 5, f"{TRAINING[0]},0903,30,20,110,80,12,0")
    with pytest.raises(DataFileError, match=r"2 rows cannot be used.*max_bad_share=0.01"):
        make(copy, tmp_path)
