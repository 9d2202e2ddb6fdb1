"""The generated sample: ShanghaiTech's layout, true annotations, the same files for the same seed, never half of it."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from datamodules.samples import making, shanghaitech
from datamodules.samples.campus import story
from datamodules.samples.campus.detector import Detector
from datamodules.samples.campus.film import FPS, Shot, film
from datamodules.samples.campus.places import visit
from datamodules.samples.campus.recording import Settings, anomaly_boxes
from datamodules.samples.campus.story import KINDS
from datamodules.samples.shanghaitech import generate
from datamodules.splits import of_sample

SIZE = (64, 96)
TINY = {"num_training": 1, "num_testing": 1, "seconds": 2.0, "size": SIZE}
PLACES = 6
NUM_FRAMES = 144  # of the videos of a sample with the usual 6 seconds


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two normal videos and one test video of each place, at the usual length: large enough for two processes."""
    folder = tmp_path_factory.mktemp("data") / "sample"
    return generate(folder, num_training=2, num_testing=PLACES, size=SIZE)


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def changed(first: Shot, second: Shot, threshold: int) -> np.ndarray:
    return np.abs(first.image.astype(int) - second.image).max(-1) > threshold


# Layout and formats ---------------------------------------------------------------------------------------------------


def test_names_follow_the_official_layout(sample):
    videos = sorted(path.name for path in (sample / "training" / "videos").iterdir())
    assert videos == ["01_001.avi", "02_001.avi"]
    tests = sorted(path.name for path in (sample / "testing" / "frames").iterdir())
    assert tests == [f"{scene:02d}_0001" for scene in range(1, 7)]
    masks = sorted(path.stem for path in (sample / "testing" / "test_frame_mask").iterdir())
    assert masks == tests
    regions = {path.name for path in (sample / "regions").iterdir()}
    assert regions == {f"res_frcnn_{name.removesuffix('.avi')}.json" for name in videos + tests}


def test_training_videos_are_closed_key_framed_and_complete(sample):
    for path in (sample / "training" / "videos").iterdir():
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.average_rate == FPS
            assert (stream.height, stream.width) == SIZE
            packets = [packet for packet in container.demux(stream) if packet.size]
        assert [number for number, packet in enumerate(packets) if packet.is_keyframe] == list(
            range(0, NUM_FRAMES, FPS)
        )
        times = [packet.dts for packet in packets]
        assert times == sorted(set(times))  # decoding order is presentation order: no frame leans on a later one
        assert decode(path).shape == (NUM_FRAMES, *SIZE, 3)


def test_masks_count_the_frames_of_their_folder(sample):
    for path in (sample / "testing" / "test_frame_mask").iterdir():
        mask = np.load(path, allow_pickle=False)
        frames = sorted((sample / "testing" / "frames" / path.stem).iterdir())
        assert [frame.name for frame in frames] == [f"{number:03d}.jpg" for number in range(NUM_FRAMES)]
        assert mask.dtype == np.uint8
        assert mask.shape == (NUM_FRAMES,)
        assert set(np.unique(mask)) == {0, 1}
        with Image.open(frames[-1]) as image:
            assert image.format == "JPEG"
            assert (image.height, image.width) == SIZE


def test_every_test_video_begins_and_ends_normally(sample):
    for path in (sample / "testing" / "test_frame_mask").iterdir():
        mask = np.load(path, allow_pickle=False)
        assert not mask[: FPS // 2].any()
        assert not mask[-FPS // 4 :].any()
        assert mask.sum() >= FPS


def test_region_files_have_the_detectors_schema(sample):
    scored = []
    for path in (sample / "regions").iterdir():
        content = json.loads(path.read_text())
        assert set(content) == {"results"}
        assert [item["image_id"] for item in content["results"]] == [
            f"{number:03d}.jpg" for number in range(NUM_FRAMES)
        ]
        for item in content["results"]:
            assert set(item) == {"image_id", "Boxes", "Scores", "Labels"}
            assert len(item["Boxes"]) == len(item["Scores"]) <= 5
            assert item["Labels"] == ([1] * len(item["Boxes"]) or [3])
            assert item["Scores"] == sorted(item["Scores"], reverse=True)
            assert all(0.25 <= score < 1 for score in item["Scores"])
            for box in item["Boxes"]:
                assert all(type(edge) is int for edge in box)
                assert 0 <= box[0] < box[2] <= SIZE[1]
                assert 0 <= box[1] < box[3] <= SIZE[0]
            scored += item["Scores"]
    assert np.mean(scored) > 0.7


def test_detections_mostly_overlap_people_but_not_exactly():
    detector = Detector((160, 240), np.random.default_rng(0))
    shots = film("01_001", num_frames=24, scene=0, size=(160, 240), seed=0)
    hits = people = exact = boxes = 0
    for shot in shots:
        found = detector.report("000.jpg", shot.sightings)["Boxes"]
        truth = [sighting.box for sighting in shot.sightings if sighting.visible > 0.7]
        overlaps = [max((overlap(box, other) for other in found), default=0.0) for box in truth]
        hits, people = hits + sum(value > 0.5 for value in overlaps), people + min(5, len(truth))
        exact, boxes = exact + sum(tuple(box) in truth for box in found), boxes + len(found)
    assert hits > 0.7 * people
    assert exact < 0.5 * boxes


def overlap(first, second) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    both = max(0, width) * max(0, height)
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return both / (area - both)


def test_the_folder_says_that_it_is_generated(sample):
    text = (sample / "README.txt").read_text()
    assert text.startswith("THIS IS NOT THE SHANGHAITECH CAMPUS DATA SET")
    assert json.loads((sample / "sample.json").read_text())["seed"] == 0


# Annotations ----------------------------------------------------------------------------------------------------------


def test_anomaly_boxes_exist_exactly_where_the_mask_is_set(sample):
    for path in (sample / "testing" / "anomaly_boxes").iterdir():
        content = json.loads(path.read_text())
        mask = np.load(sample / "testing" / "test_frame_mask" / f"{path.stem}.npy", allow_pickle=False)
        assert content["video"] == path.stem
        assert content["kind"] in KINDS
        assert [int(number) for number in content["frames"]] == np.flatnonzero(mask).tolist()
        for boxes in content["frames"].values():
            for x1, y1, x2, y2 in boxes:
                assert 0 <= x1 < x2 <= SIZE[1]
                assert 0 <= y1 < y2 <= SIZE[0]


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_lie_where_the_anomaly_changes_the_picture(kind):
    scene = KINDS.index(kind) % PLACES
    what = {"num_frames": NUM_FRAMES, "scene": scene, "size": (80, 120), "seed": 0, "kind": kind}
    shares, stray = [], []
    for shot, without in zip(film("v", **what), film("v", **what, anomalous=False), strict=True):
        boxes = anomaly_boxes(shot)
        assert not anomaly_boxes(without)
        difference, inside = changed(shot, without, 12), np.zeros((80, 120), bool)
        for x1, y1, x2, y2 in boxes:
            inside[y1:y2, x1:x2] = True
        if boxes:
            x1, y1, x2, y2 = min(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
            shares.append(difference[y1:y2, x1:x2].mean())
            stray.append((changed(shot, without, 40) & ~inside).mean())
    assert np.median(shares) > 0.3
    assert max(stray) < 0.02  # shadows are faint and outside


def test_normal_videos_hold_nothing_anomalous(sample):
    for scene in range(6):
        for shot in film(f"{scene + 1:02d}_001", num_frames=24, scene=scene, size=SIZE, seed=0):
            assert not anomaly_boxes(shot)
    annotated = {path.stem for path in (sample / "testing" / "anomaly_boxes").iterdir()}
    assert not any(len(name.split("_")[1]) == 3 for name in annotated)


def test_people_move_and_the_camera_does_not():
    shots = list(film("01_001", num_frames=48, scene=0, size=(160, 240), seed=0))
    video = np.stack([shot.image for shot in shots[::8]]).astype(float).mean(-1)
    spread = video.std(0)
    assert np.median(spread) < 6  # noise and slow light
    assert (spread > 20).mean() > 0.01
    assert len({sighting.actor for shot in shots for sighting in shot.sightings}) >= 2


# Making it ------------------------------------------------------------------------------------------------------------


def test_one_seed_makes_the_same_files_and_another_seed_others(tmp_path):
    first, again, other = (
        generate(tmp_path / name, seed=seed, **TINY) for name, seed in (("first", 3), ("again", 3), ("other", 4))
    )
    assert list(files(first)) == list(files(again))
    for name, path in files(first).items():
        assert path.read_bytes() == files(again)[name].read_bytes(), name
    video, twin, stranger = (decode(folder / "training" / "videos" / "01_001.avi") for folder in (first, again, other))
    assert np.array_equal(video, twin)
    assert (np.abs(video.astype(int) - stranger).max(-1) > 20).mean() > 0.02
    frame = "testing/frames/01_0001/000.jpg"
    assert files(first)[frame].read_bytes() != files(other)[frame].read_bytes()


def test_a_second_call_makes_nothing(tmp_path, monkeypatch):
    folder = generate(tmp_path / "sample", **TINY)
    before = {name: path.stat().st_mtime_ns for name, path in files(folder).items()}
    monkeypatch.setattr(shanghaitech, "record", None)  # would fail if it were called
    assert generate(tmp_path / "sample", **TINY) == folder
    assert {name: path.stat().st_mtime_ns for name, path in files(folder).items()} == before


def test_two_processes_at_once_end_with_one_complete_sample(tmp_path):
    code = (
        "import sys; from datamodules.samples.shanghaitech import generate; "
        f"generate(sys.argv[1], num_training=1, num_testing=1, seconds=2.0, size={SIZE})"
    )
    environment = {**os.environ, "PYTHONPATH": str(making.REPOSITORY)}
    command = [sys.executable, "-c", code, str(tmp_path / "data" / "sample")]
    rivals = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [rival.wait() for rival in rivals] == [0, 0]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["sample"]
    alone = generate(tmp_path / "alone", **TINY)
    assert {name: path.read_bytes() for name, path in files(alone).items()} == {
        name: path.read_bytes() for name, path in files(tmp_path / "data" / "sample").items()
    }


def test_a_failing_second_process_is_an_error(tmp_path, monkeypatch):
    def failing(*_):
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])

    monkeypatch.setattr(making, "_cores", lambda: 2)
    monkeypatch.setattr(making, "ALONE", 0)
    monkeypatch.setattr(making, "_start_helper", failing)
    with pytest.raises(RuntimeError, match="exit code 3"):
        generate(tmp_path / "sample", **{**TINY, "num_testing": 2})
    assert list(tmp_path.iterdir()) == []


def test_a_sample_of_other_settings_is_never_taken_for_this_one(tmp_path):
    generate(tmp_path / "sample", **TINY)
    with pytest.raises(ValueError, match=r"holds a sample made with .*'seed': 0.* delete the folder"):
        generate(tmp_path / "sample", seed=1, **TINY)


def test_the_usual_sample_has_enough_videos_for_a_weakly_supervised_split():
    usual = {name: value.default for name, value in inspect.signature(generate).parameters.items() if name != "folder"}
    videos = Settings(**usual).videos()
    assert sum(video.kind is None for video in videos) >= 24
    assert sum(video.kind is not None for video in videos) >= 16
    assert {video.kind for video in videos} == {None, *KINDS}
    assert len({video.scene for video in videos}) >= 4
    assert all(video.num_frames >= 6 * FPS for video in videos)


def test_all_kinds_of_anomalies_are_trained_on_and_tested():
    usual = {name: value.default for name, value in inspect.signature(generate).parameters.items() if name != "folder"}
    kinds = {video.name: video.kind for video in Settings(**usual).videos()}
    for side in of_sample("weak", kinds):
        assert {kinds[video.name] for video in side} == {None, *KINDS}


# Nothing but the anomaly itself ---------------------------------------------------------------------------------------


def test_the_length_of_a_video_does_not_tell_whether_it_is_anomalous():
    assert len({video.num_frames for video in Settings(0, 12, 12, 6.0, SIZE).videos()}) == 1


def test_a_normal_story_is_one_whose_anomaly_is_left_out(monkeypatch):
    place, _ = visit(0, SIZE, 0)
    monkeypatch.setattr(story, "TURNS", ("van",))  # what every normal story leaves out
    for seed in range(5):
        rng = np.random.default_rng(seed)
        rng.integers(1)  # the draw of the kind
        expected = story.without_anomaly(story.tell(place, 6.0, "van", rng))
        roles = story.tell(place, 6.0, None, np.random.default_rng(seed))
        assert all(role.kind is None for role in roles)
        assert [role.actor.route for role in roles] == [role.actor.route for role in expected]


@pytest.mark.parametrize("kind", ["van", "cart", "motorcycle", "running"])
def test_people_keep_clear_of_what_comes_their_way(kind):
    for scene in range(PLACES):
        place, _ = visit(scene, SIZE, 0)
        for seed in range(4):
            *people, other = story.tell(place, 6.0, kind, np.random.default_rng(seed))
            ahead, aside = other.actor.room
            x, y = other.actor.route.heading
            for time in np.arange(0, 6, 0.25):
                for role in people:
                    way = role.actor.route.at(time) - other.actor.route.at(time)
                    inside = abs(way @ [x, y]) < ahead + 0.5 and abs(way @ [-y, x]) < aside + 0.5
                    assert not inside, f"scene {scene}, seed {seed}, second {time}"
