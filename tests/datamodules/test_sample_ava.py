"""The generated sample in AVA's formats: official files that fit the videos, the same for the same seed."""

import csv
import re
from collections import defaultdict
from pathlib import Path

import av
import numpy as np
import pytest

from datamodules.samples.ava import generate
from datamodules.samples.ava_lists import ACTIONS
from datamodules.samples.campus.action_recording import FIRST_SECOND, FPS, Settings, cast
from datamodules.samples.campus.film import Weather, shoot
from datamodules.samples.campus.stages import visit
from tests.files import contents_of

SIZE = (64, 96)
SMALL = {"num_training": 3, "num_validation": 3, "seconds": 8, "size": SIZE}
TINY = {"num_training": 1, "num_validation": 1, "seconds": 6, "size": SIZE}
KEYS = [f"{second:04d}" for second in range(902, 907)]  # of a video of 8 seconds
SPLITS = ("train", "val")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every sketch in each split."""
    return generate(tmp_path_factory.mktemp("data") / "sample", **SMALL)


def rows(folder: Path, name: str) -> list[list[str]]:
    with (folder / "annotations" / f"{name}.csv").open(newline="") as stream:
        return list(csv.reader(stream))


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    both = np.prod(np.maximum(high - low, 0))
    return float(both / (np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]) - both))


# Formats --------------------------------------------------------------------------------------------------------------


def test_videos_begin_at_second_900_and_hold_a_frame_for_every_key_second(sample):
    videos = sorted(path.name for path in (sample / "videos").iterdir())
    assert videos == [f"sample{number:05d}.avi" for number in range(1, 7)]
    for path in (sample / "videos").iterdir():
        assert len(path.stem) == 11
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert (stream.average_rate, stream.height, stream.width) == (FPS, *SIZE)
            assert sum(1 for _ in container.decode(video=0)) == 8 * FPS
    assert (Settings(0, 3, 3, 8, SIZE).key_seconds()[0] - FIRST_SECOND) * FPS == 2 * FPS


@pytest.mark.parametrize("split", SPLITS)
def test_annotations_have_the_official_columns(sample, split):
    videos = {video.name for video in Settings(0, 3, 3, 8, SIZE).videos() if video.split == split}
    numbers = {str(action.number) for action in ACTIONS.values()}
    found = rows(sample, f"ava_{split}_v2.2")
    assert {row[0] for row in found} == videos
    assert {row[1] for row in found} == set(KEYS)
    for row in found:
        assert len(row) == 8
        assert all(re.fullmatch(r"[01]\.\d{3}", edge) for edge in row[2:6])
        x1, y1, x2, y2 = map(float, row[2:6])
        assert 0 <= x1 < x2 <= 1
        assert 0 <= y1 < y2 <= 1
        assert row[6] in numbers
        assert row[7].isdigit()
    assert len({tuple(row) for row in found}) == len(found)


@pytest.mark.parametrize("split", SPLITS)
def test_everybody_has_one_pose_and_some_do_more_at_once(sample, split):
    actions = defaultdict(list)
    for row in rows(sample, f"ava_{split}_v2.2"):
        actions[(*row[:6], row[7])].append(int(row[6]))
    assert all(sum(number <= 14 for number in numbers) == 1 for numbers in actions.values())
    assert sum(len(numbers) > 1 for numbers in actions.values()) > len(actions) // 5


def test_both_label_maps_name_the_actions_as_ava_does(sample):
    official = (Path(__file__).parents[1] / "fixtures" / "fbil" / "ava_eval" / "label_map.pbtxt").read_text()
    known = dict(re.findall(r'name: "(.*)"\n\s*id: (\d+)', official))
    typed = (sample / "annotations" / "ava_action_list_v2.2.pbtxt").read_text()
    plain = (sample / "annotations" / "ava_action_list_v2.2_for_activitynet_2019.pbtxt").read_text()
    named = re.findall(r'label \{\n  name: "(.*)"\n  label_id: (\d+)\n  label_type: (\w+)\n\}', typed)
    assert len(named) == len(ACTIONS) >= 8
    assert [(name, number) for name, number, _ in named] == re.findall(
        r'item \{\n  name: "(.*)"\n  id: (\d+)\n\}', plain
    )
    assert [int(number) for _, number, _ in named] == sorted(int(number) for _, number, _ in named)
    for name, number, kind in named:
        assert known[name] == number
        assert kind == (
            "PERSON_MOVEMENT"
            if int(number) < 15
            else "OBJECT_MANIPULATION"
            if int(number) < 64
            else "PERSON_INTERACTION"
        )


def test_excluded_seconds_are_annotated_incompletely(tmp_path, monkeypatch):
    monkeypatch.setattr("datamodules.samples.ava_lists.EXCLUDED", 0.5)
    folder = generate(tmp_path / "sample", **TINY)
    excluded = {tuple(row) for split in SPLITS for row in rows(folder, f"ava_{split}_excluded_timestamps_v2.2")}
    assert excluded
    people = defaultdict(set)
    for split in SPLITS:
        for row in rows(folder, f"ava_{split}_v2.2"):
            people[tuple(row[:2])].add(row[7])
    assert all(len(people[key]) <= 1 for key in excluded)
    assert max(len(found) for key, found in people.items() if key not in excluded) > 1


@pytest.mark.parametrize("split", SPLITS)
def test_predicted_boxes_name_actions_in_training_only(sample, split):
    found = rows(sample, f"ava_{split}_predicted_boxes")
    assert all(len(row) == 8 and 0 < float(row[7]) <= 1 for row in found)
    assert {row[1] for row in found} == set(KEYS)
    labelled = [row for row in found if row[6]]
    if split == "val":
        assert not labelled
        return
    assert 0.3 * len(found) < len(labelled) < len(found)
    truth = defaultdict(set)
    for row in rows(sample, "ava_train_v2.2"):
        truth[tuple(row[:2])].add((tuple(map(float, row[2:6])), row[6]))
    for row in labelled:
        box = np.array(row[2:6], float)
        assert any(number == row[6] and overlap(box, np.array(other)) > 0.7 for other, number in truth[tuple(row[:2])])


def test_predicted_boxes_mostly_meet_people_but_miss_some_and_invent_some(sample):
    truth, predicted = defaultdict(set), defaultdict(set)
    for split in SPLITS:
        for row in rows(sample, f"ava_{split}_v2.2"):
            truth[tuple(row[:2])].add(tuple(map(float, row[2:6])))
        for row in rows(sample, f"ava_{split}_predicted_boxes"):
            predicted[tuple(row[:2])].add(tuple(map(float, row[2:6])))

    def met(some: dict, others: dict) -> tuple[int, int]:
        best = [
            max((overlap(np.array(box), np.array(other)) for other in others[key]), default=0.0)
            for key, boxes in some.items()
            for box in boxes
        ]
        return sum(value >= 0.5 for value in best), len(best)

    hits, people = met(truth, predicted)
    assert 0.8 * people < hits < people
    hits, boxes = met(predicted, truth)
    assert 0.8 * boxes < hits < boxes
    assert sum(len(found & truth[key]) for key, found in predicted.items()) < 0.5 * boxes  # they tremble


def test_the_folder_says_that_it_is_generated(sample):
    text = (sample / "README.txt").read_text()
    assert text.startswith("THIS IS NOT THE AVA DATA SET")
    assert "seconds 902 to 906" in text
    for path in (path for path in sample.rglob("*") if path.is_file()):
        assert path.name in text or path.parent.name == "videos" or path.name == "README.txt"


def test_boxes_of_a_second_fit_the_frame_of_that_second(sample):
    settings = Settings(0, 3, 3, 8, SIZE)
    for video in settings.videos():
        with av.open(str(sample / "videos" / f"{video.name}.avi")) as container:
            frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
        (place, backdrop), (_, rng) = visit(video.scene, SIZE, 0), cast(video, settings)
        weather = Weather.draw(rng)
        empty = list(shoot(place, backdrop, [], weather, rng, num_frames=video.num_frames, fps=FPS))
        shares = []
        for name, second, *edges, _, _ in rows(sample, f"ava_{video.split}_v2.2"):
            if name == video.name:
                number = (int(second) - FIRST_SECOND) * FPS
                (x1, y1, x2, y2) = np.round(np.array(edges, float) * [*SIZE[::-1], *SIZE[::-1]]).astype(int)
                difference = np.abs(frames[number] - empty[number].image).max(-1) > 15
                shares.append(difference[y1:y2, x1:x2].mean())
        assert min(shares) > 0.2
        assert np.median(shares) > 0.4


# Making it ------------------------------------------------------------------------------------------------------------


def test_one_seed_makes_the_same_files_and_another_seed_others(tmp_path):
    first, again, other = (
        contents_of(generate(tmp_path / str(place), seed=seed, **TINY)) for place, seed in enumerate((3, 3, 4))
    )
    assert first == again
    assert list(first) == list(other)
    assert all(first[name] != other[name] for name in first if name.startswith("videos/"))
    assert first["annotations/ava_train_v2.2.csv"] != other["annotations/ava_train_v2.2.csv"]
