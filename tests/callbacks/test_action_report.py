"""What an evaluation of an action detector leaves behind, and whom its pictures and films show."""

import io
import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from lightning import LightningModule
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks.action_charts import draw_confusion, draw_precisions
from callbacks.action_pictures import COLOURS, Person, Scene, described, picture, sheet
from callbacks.action_report import ActionReport
from callbacks.action_scenes import pixels, predicted, scene_of, scenes_of
from callbacks.video_file import mp4
from metrics.ava import FrameMAP
from tests.callbacks.action_report_ranks import (
    CLASSES,
    FRAMES,
    HEIGHT,
    LEFT,
    MIDDLE,
    WIDTH,
    Streets,
    Witness,
    key_frame,
    trainer,
)  # fmt: skip
from tests.callbacks.report_runs import run_on_ranks
from tests.files import names_in


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_a_test_leaves_detections_results_pictures_and_films(tmp_path: Path) -> None:
    task = Witness()
    trainer(tmp_path, num_clips=3).test(task, datamodule=Streets(), verbose=False)
    pictures = ("clip_1.mp4", "clip_2.mp4", "clips.png", "confusion.png", "precision.png")
    assert names_in(tmp_path) == ["detections.csv", *(f"pictures/test_{name}" for name in pictures), "results.json"]
    lines = (tmp_path / "detections.csv").read_text().splitlines()
    assert len(lines) == 6 * 2 * len(CLASSES) and lines[0] == "scene_0,902,0.1,0.2,0.3,0.9,3,0.9"
    assert lines[-1] == "scene_2,907,0.8,0.0,1.0,0.2,17,0.705"
    assert json.loads((tmp_path / "results.json").read_text()) == {
        "metrics": {"test/map": pytest.approx(task.frame_map["test"].compute()["map"].item(), abs=1e-6)},
        "evaluator": "frame mAP@0.5 of 3 classes, the best 50 rows of a key frame (cap=official)",
        "protocol": "toy streets",
        "checkpoint": None,
        "key_frames": 6,
        "true_boxes": {"walk": 6, "sit": 6, "read": 6},
    }


def test_any_number_of_processes_writes_the_same_detections_and_numbers(tmp_path: Path) -> None:
    run_on_ranks("tests.callbacks.action_report_ranks", tmp_path)
    for name in ("detections.csv", "results.json", "pictures/test_precision.png", "pictures/test_confusion.png"):
        assert len({(tmp_path / ranks / name).read_bytes() for ranks in "123"}) == 1
    assert names_in(tmp_path / "1") == names_in(tmp_path / "3")


def test_clips_are_spread_over_the_split_and_the_model_is_asked_for_no_others(tmp_path: Path) -> None:
    task = Witness()
    trainer(tmp_path, num_clips=3).test(task, datamodule=Streets(), verbose=False)
    assert task.asked == [0, 2, 4]
    assert len(size_of(tmp_path / "pictures" / "test_clips.png")) == 2


def test_a_validation_writes_beside_a_test_and_a_training_writes_nothing(tmp_path: Path) -> None:
    run, task = trainer(tmp_path, num_clips=1, num_films=1), Witness()
    run.fit(task, datamodule=Streets())
    assert names_in(tmp_path) == [] and task.asked == []
    run.test(task, datamodule=Streets(), verbose=False)
    before = {name: (tmp_path / name).read_bytes() for name in names_in(tmp_path)}
    run.validate(task, datamodule=Streets(), verbose=False)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert set(names_in(tmp_path)) - set(before) == {
        "detections_validate.csv",
        "results_validate.json",
        *(f"pictures/validate_{name}" for name in ("clip_1.mp4", "clips.png", "confusion.png", "precision.png")),
    }


def test_what_an_earlier_evaluation_drew_and_this_one_does_not_is_gone(tmp_path: Path) -> None:
    trainer(tmp_path, num_clips=2).test(Witness(), datamodule=Streets(), verbose=False)
    trainer(tmp_path, num_clips=0, confusion="", decimals=3).test(Witness(), datamodule=Streets(), verbose=False)
    assert names_in(tmp_path) == ["detections.csv", "pictures/test_precision.png", "results.json"]
    assert (tmp_path / "detections.csv").read_text().startswith("scene_0,902,0.100,0.200,0.300,0.900,3,0.900\n")


def test_pictures_go_to_loggers_that_take_them(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path / "logs")
    trainer(tmp_path, logger, num_clips=1).test(Witness(), datamodule=Streets(), verbose=False)
    events = EventAccumulator(logger.log_dir).Reload()
    assert sorted(events.Tags()["images"]) == ["test/clips", "test/confusion", "test/precision"]


def test_a_task_without_actions_is_told_so(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    with pytest.raises(ValueError, match=r"LightningModule has no 'frame_map' to report on; leave this callback out"):
        run.callbacks[0].setup(run, LightningModule(), "test")


@pytest.mark.parametrize(
    ("option", "value"),
    [("num_clips", -1), ("num_films", -1), ("num_frames", 0), ("threshold", 1.5), ("decimals", 0)],
)
def test_options_that_make_no_sense_are_refused(option: str, value: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"callbacks.action_report.{option}: expected .*, found {value}"):
        ActionReport(str(tmp_path), **{option: value})


def scene(**changes: object) -> Scene:
    batch = key_frame(0) | changes
    return scene_of(batch, 0, Witness().scores(key_frame(0)), FrameMAP(CLASSES), threshold=0.3)


def test_a_scene_names_what_is_true_and_predicted_of_each_box_and_who_was_missed() -> None:
    found = scene()
    assert [(person.true, person.predicted) for person in found.people] == [
        (["walk", "read"], [("walk", pytest.approx(0.9)), ("read", pytest.approx(0.3))]),
        ([], [("read", pytest.approx(0.7)), ("walk", pytest.approx(0.6))]),
        (["sit"], None),
    ]
    assert [person.box for person in found.people] == [
        pytest.approx(LEFT),
        pytest.approx((0.8, 0, 1, 0.2)),
        list(MIDDLE),
    ]
    assert found.key == 4 and found.seconds[4] == 0 and found.fps == pytest.approx(10, rel=1e-3)
    assert found.title == "scene_0   at 902 s"


def test_who_was_missed_has_no_box_in_a_view_that_is_cropped_or_mirrored() -> None:
    boxes = key_frame(0)["rois"]
    mirrored = scene(rois=torch.stack([1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]], 1))
    assert mirrored.people[0].box == pytest.approx((0.7, 0.2, 0.9, 0.9)) and mirrored.people[2].box is None
    picture(mirrored, mirrored.key)


def test_pixels_are_those_before_normalisation_without_what_was_filled_up() -> None:
    frames = pixels(key_frame(0), 0)
    assert frames.shape == (FRAMES, HEIGHT, WIDTH, 3) and frames.dtype == np.uint8
    assert frames[0].max() == 0 and (frames[-1] == 128).all()


def test_the_highest_label_is_predicted_whatever_its_score() -> None:
    assert predicted([0.1, 0.3, 0.2], ["a", "b", "c"], 0.5) == [("b", 0.3)]
    assert predicted([0.5, 0.3, 0.9], ["a", "b", "c"], 0.5) == [("c", 0.9), ("a", 0.5)]


def test_only_first_views_are_drawn_and_key_frames_without_boxes_come_last() -> None:
    batch, other = key_frame(0), key_frame(1)
    both = {name: torch.cat([batch[name], other[name]]) for name in ("video", "size", "second", "seconds", "view")}
    both |= {name: batch[name] for name in ("mean", "std", "rois", "boxes")}
    nothing = torch.zeros(0, 4), torch.zeros(0, 3)
    both |= {"name": ["empty", "full"], "clip": torch.tensor([1, 1]), "truth": [nothing, other["truth"][0]]}
    scores, metric = Witness().scores(batch), FrameMAP(CLASSES)
    assert [each.title.split()[0] for each in scenes_of(both, scores, metric, 0.5)] == ["full", "empty"]
    both["view"] = torch.tensor([0, 1])
    assert [each.title.split()[0] for each in scenes_of(both, scores, metric, 0.5)] == ["empty"]


def test_labels_are_marked_as_right_wrong_and_missed() -> None:
    lines = described(2, Person(LEFT, ["walk", "read"], [("walk", 0.9), ("sit", 0.625)]))
    assert [[text for _, text, _ in line] for line in lines] == [
        ["2", "true", "walk", "- read"],
        ["predicted", "walk 0.90", "x sit 0.62"],
        [],
    ]
    assert len({colour for _, text, colour in lines[0] + lines[1] if text in ("walk", "walk 0.90")}) == 1
    assert [text for _, text, _ in described(1, Person(LEFT, [], None))[1]] == ["predicted", "not detected"]


def test_long_lists_of_labels_are_broken_into_lines_beside_the_picture() -> None:
    lines = described(1, Person(LEFT, [f"a rather long action {number}" for number in range(9)], []))
    assert len(lines) > 5


def coloured(image: Image.Image, colour: str) -> np.ndarray:
    """Where an image has a colour: y and x."""
    wanted = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
    return np.argwhere((np.asarray(image) == wanted).all(-1))


def test_boxes_are_drawn_where_they_are_solid_and_dashed() -> None:
    frames = np.zeros((1, 288, 288, 3), dtype=np.uint8)
    people = [Person((0.25, 0.25, 0.5, 0.75), ["walk"], []), Person((0.6, 0.25, 0.85, 0.75), ["walk"], None)]
    image = picture(Scene("a", frames, [0.0], 0, people), 0)
    top = image.height - 288
    image = image.crop((0, top, 288, image.height))
    for colour, left, right in ((COLOURS[0], 72, 144), (COLOURS[1], 173, 244)):
        places = coloured(image, colour)
        assert np.abs(places.min(0) - (72, left)).max() <= 2 and np.abs(places.max(0) - (215, right)).max() <= 6
    assert len(coloured(image, COLOURS[0])) > 1.3 * len(coloured(image, COLOURS[1]))


def test_a_sheet_holds_all_scenes() -> None:
    one, three = (sheet([scene()] * count, 4) for count in (1, 3))
    assert one.width == three.width and three.height > 2.5 * one.height


def test_a_film_plays_every_frame_at_the_speed_of_the_clip() -> None:
    frames = [np.full((31, 41, 3), 20 * number, dtype=np.uint8) for number in range(10)]
    content = mp4(frames, 12.5)
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.video[0]
        read = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert float(stream.average_rate) == 12.5 and stream.codec_context.name == "h264"
    assert [frame.shape for frame in read] == [(30, 40, 3)] * 10
    assert [abs(int(frame.mean()) - 20 * number) <= 4 for number, frame in enumerate(read)] == [True] * 10


def test_charts_have_nothing_to_draw_where_nothing_was_measured() -> None:
    assert draw_precisions(CLASSES, np.full(3, np.nan), np.zeros(3, dtype=int)) is None
    assert draw_confusion(["walk"], np.zeros((1, 2), dtype=int)) is None


def test_a_chart_grows_with_the_classes_that_have_true_boxes() -> None:
    classes = [(number, f"action {number}", "pose" if number < 30 else "") for number in range(60)]
    heights = []
    for known in (2, 30, 60):
        precisions = np.where(np.arange(60) < known, 0.5, np.nan)
        with Image.open(io.BytesIO(draw_precisions(classes, precisions, np.ones(60, dtype=int)))) as image:
            heights.append(image.height)
    assert heights[0] < heights[1] < heights[2]
